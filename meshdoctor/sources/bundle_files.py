"""Which files does a recorded run become? Redacted, in a fixed order, ready to be written."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import msgspec
import yaml

from meshdoctor import __version__
from meshdoctor.model.decode import kind_of
from meshdoctor.model.kubernetes import Object
from meshdoctor.ports import Defaults
from meshdoctor.sources import settings
from meshdoctor.sources.recorder import Recorder
from meshdoctor.sources.redact import Redactor


def files(recorder: Recorder, scope: Any) -> Iterator[tuple[str, bytes]]:
    """Path and contents of each file. `scope` is what was asked: `from_`, `to`, `request`."""
    redactor = Redactor()
    yield settings.SETTINGS, _settings(recorder, scope, redactor)
    yield from _objects(recorder, redactor)
    yield from _texts(recorder, redactor)
    yield settings.ERRORS, _errors(recorder, redactor)
    done = sorted({*recorder.answers, *recorder.found, *recorder.texts})
    yield settings.READS, _pretty(done)
    if aside := recorder.set_aside():
        rows = [{"where": a.where, "ref": a.ref, "problem": a.problem} for a in aside]
        yield settings.ASIDE, _pretty([redactor.data(row) for row in rows])


def _settings(recorder: Recorder, scope: Any, redactor: Redactor) -> bytes:
    said: Defaults = recorder.defaults()
    request = getattr(scope, "request", None)
    data: dict[str, Any] = {"observed_at": f"{recorder.now():%Y-%m-%dT%H:%M:%SZ}"}
    for name, part in (("from", "from_"), ("to", "to")):
        value = getattr(scope, part, None) or getattr(said, part)
        if value:
            data[name] = str(value)
    fields = {
        name: str(getattr(request, name, "") or getattr(said, name))
        for name in ("method", "path", "host")
    }
    asked: dict[str, Any] = {k: redactor.text(v) for k, v in fields.items() if v}
    headers: dict[str, list[str]] = defaultdict(list)
    for name, value in getattr(request, "headers", ()) or said.headers:
        headers[name].append(redactor.header(name, value))
    if headers:
        asked["headers"] = {n: v[0] if len(v) == 1 else v for n, v in headers.items()}
    if asked:
        data["request"] = asked
    if said.versions:
        data["versions"] = dict(said.versions)
    data["recorder"] = f"meshdoctor {__version__}"
    data["source"] = redactor.text(recorder.describe())
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=1000).encode()


def _objects(recorder: Recorder, redactor: Redactor) -> Iterator[tuple[str, bytes]]:
    by_kind: dict[str, dict[tuple[str, str], Object]] = defaultdict(dict)
    listed = [obj for answer in recorder.answers.values() for obj in answer.objects]
    for obj in (*listed, *(one for one in recorder.found.values() if one is not None)):
        kind = kind_of(obj)
        if kind is not None:
            by_kind[kind.name][(obj.namespace, obj.name or obj.metadata.uid)] = obj
    for name in sorted(by_kind):
        found = by_kind[name]
        items = [_item(found[key], redactor) for key in sorted(found)]
        body = b",\n".join(items)
        yield (
            f"objects/{name}.json",
            b'{"apiVersion":"v1","kind":"List","items":[\n' + body + b"\n]}\n",
        )


def _item(obj: Object, redactor: Redactor) -> bytes:
    data = msgspec.to_builtins(obj)
    data.setdefault("metadata", {})
    if hasattr(obj, "spec"):
        data.setdefault("spec", {})
    return msgspec.json.encode(redactor.object(data))


def _texts(recorder: Recorder, redactor: Redactor) -> Iterator[tuple[str, bytes]]:
    for key in sorted(recorder.texts):
        text = recorder.texts[key].text
        path = path_of(key, text)
        clean = redactor.evidence(text) if path.startswith("istioctl/") else redactor.text(text)
        yield path, clean.encode("utf-8", "replace")


def path_of(key: str, text: str = "") -> str:
    """Where the text of a read is kept."""
    command, *words = key.split(" ")
    suffix = "json" if text.lstrip()[:1] in ("{", "[") else "txt"
    if command == "log":
        previous = ".previous" if words[3:] else ""
        return f"logs/{_safe('_'.join(words[:3]))}{previous}.log"
    if command == "metrics":
        return f"metrics/{_safe('_'.join(words))}.prom"
    if command in ("proxy-config", "debug"):
        what, namespace, pod = words
        return f"istioctl/{command}-{_safe(what)}_{_safe(pod)}.{_safe(namespace)}.{suffix}"
    if command == "authz-check":
        namespace, pod = words
        return f"istioctl/authz-check_{_safe(pod)}.{_safe(namespace)}.{suffix}"
    return f"istioctl/{_safe(command)}.{suffix}"


def _safe(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-._" else "-" for c in name).lstrip(".")


def _errors(recorder: Recorder, redactor: Redactor) -> bytes:
    rows = []
    for key in sorted(recorder.failed):
        why = recorder.failed[key]
        rows.append(
            {
                "read": key,
                "reason": why.reason.value,
                "what": why.what,
                "detail": redactor.text(why.detail),
                "remedy": redactor.text(why.remedy),
            }
        )
    return _pretty(rows)


def _pretty(data: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(data), indent=1) + b"\n"
