"""How does untrusted text become safe to show?

Log lines, annotations and API messages may hold terminal escapes, control characters, bidi
overrides and megabytes. What passes here is printable, single-line and bounded.
"""

from collections.abc import Mapping

from meshdoctor.mesh.secrets import mask
from meshdoctor.model.patterns import pattern

_ANSI = pattern(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])")
_CONTROL = pattern(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]+")


def strip_ansi(text: str) -> str:
    """The text without ANSI escape sequences; line breaks stay."""
    return _ANSI.sub("", text)


def pairs(labels: Mapping[str, str], limit: int = 200) -> str:
    """Labels in words, safe to show.

    >>> pairs({"istio": "ingress", "app": "edge"})
    'app=edge, istio=ingress'
    """
    return clean(", ".join(f"{k}={v}" for k, v in sorted(labels.items())), limit)


def clean(text: str, limit: int = 300) -> str:
    """One printable line of at most `limit` characters; secrets are masked and control
    characters become a space."""
    if not text:
        return ""
    if len(text) <= limit and text.isascii() and text.isprintable():
        line = mask(text).strip()  # most of what there is: nothing to take out
        return line if len(line) <= limit else line[: limit - 1] + "…"
    line = _CONTROL.sub(" ", mask(strip_ansi(text[: limit * 8]))).strip()
    return line if len(line) <= limit else line[: limit - 1] + "…"
