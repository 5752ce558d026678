"""Which path do policies compare, once the proxy has normalised it?

Mirrors listener_builder.go (meshConfig.pathNormalization) and Envoy's order of work: escaped
slashes, RFC 3986 normalisation, merged slashes; query and fragment are cut off for matching.
Checked on 1.20 to 1.31; DEFAULT is BASE.
"""

import re

from meshdoctor.model.patterns import pattern

_UNRESERVED = pattern(r"%([0-9A-Fa-f]{2})")
_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")


def normalised(target: str, mode: str) -> str:
    """The path that rules see of a request target; `mode` is `pathNormalization.normalization`."""
    path = re.split(r"[?#]", target, maxsplit=1)[0]
    if mode == "NONE" or not path.startswith("/"):
        return path
    if mode == "DECODE_AND_MERGE_SLASHES":
        path = re.sub(r"%2[fF]", "/", path)
        path = re.sub(r"%5[cC]", "\\\\", path)
    path = _dots_removed(_decoded(path).replace("\\", "/"))
    if mode in ("MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"):
        path = re.sub(r"/{2,}", "/", path)
    return path


def _decoded(path: str) -> str:
    def one(match: re.Match[str]) -> str:
        char = chr(int(match.group(1), 16))
        return char if char in _SAFE else match.group(0)

    return _UNRESERVED.sub(one, path)


def _dots_removed(path: str) -> str:
    parts = path.split("/")[1:]
    out: list[str] = []
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        if part == ".":
            if last:
                out.append("")
        elif part == "..":
            if out:
                out.pop()
            if last:
                out.append("")
        else:
            out.append(part)
    return "/" + "/".join(out)
