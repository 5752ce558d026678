"""Which options do commands share, and how do they become a source and a scope?"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click

from meshdoctor.engine.scope import Scope, ScopeError, parse_target
from meshdoctor.model.subjects import Request
from meshdoctor.ports import Defaults, Source

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """Where evidence comes from."""

    bundle: Path | None
    context: str
    kubeconfig: str
    istio_namespace: str
    istioctl: str
    since: str
    deadline: float
    with_change: Path | None

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> "SourceOptions":
        """Its part of all the options of a command."""
        return cls(**{one.name: options[one.name] for one in fields(cls)})


def source_options(function: F) -> F:
    """--bundle, --context, --kubeconfig, --istio-namespace, --istioctl, --since, --deadline,
    --with-change."""
    for option in reversed(_SOURCE):
        function = option(function)
    return function


_SOURCE = (
    click.option(
        "--bundle",
        "-b",
        type=click.Path(path_type=Path),
        help="Recorded evidence: a bundle, its .tgz, an istioctl bug-report, or manifests.",
    ),
    click.option("--context", default="", help="Kubeconfig context.", metavar="NAME"),
    click.option("--kubeconfig", default="", help="Kubeconfig file.", metavar="FILE"),
    click.option(
        "--istio-namespace",
        "-i",
        default="istio-system",
        show_default=True,
        help="Where istiod runs.",
    ),
    click.option("--istioctl", default="", help="Path of istioctl [default: from PATH]."),
    click.option("--since", default="15m", show_default=True, help="How far back logs are read."),
    click.option(
        "--deadline",
        default=60.0,
        show_default=True,
        type=click.FloatRange(min=1),
        help="Seconds until the report is printed with what is known.",
    ),
    click.option(
        "--with-change",
        type=click.Path(path_type=Path, exists=True),
        help="Judge as if this manifest were applied.",
    ),
)


def open_source(options: SourceOptions) -> Source:
    """The source the options name; raises SourceError with what to do next."""
    return opening(options)()


def opening(options: SourceOptions, reading: float | None = None) -> Callable[[], Source]:
    """The same source, on its way: it is had by calling what is returned, and a live one is
    connected to meanwhile. Both raise SourceError.

    `reading`: how many seconds of the deadline are for reads; by default all of them.
    """
    from meshdoctor.sources.open import open_recorded, opening_live, with_overlay

    if options.bundle is not None:
        opened: Callable[[], Source] = partial(open_recorded, options.bundle)
    else:
        opened = opening_live(
            context=options.context,
            kubeconfig=options.kubeconfig,
            istio_namespace=options.istio_namespace,
            istioctl=options.istioctl,
            since_seconds=seconds(options.since),
            deadline_seconds=reading or options.deadline,
        )
    change = options.with_change
    return opened if change is None else lambda: with_overlay(opened(), change)


def seconds(text: str) -> int:
    """`30s`, `15m`, `2h`, `1d`; raises BadParameter."""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    number, unit = (text[:-1], text[-1:]) if text[-1:] in units else (text, "s")
    if not number.isdigit() or int(number) <= 0:
        raise click.BadParameter(f"{text!r}: expected a duration such as 30s, 15m or 2h")
    return int(number) * units[unit]


def scope_options(function: F) -> F:
    """--from, --to, --request, -H, --namespace."""
    for option in reversed(_SCOPE):
        function = option(function)
    return function


_SCOPE = (
    click.option("--from", "from_", default="", metavar="NS/WORKLOAD", help="The caller."),
    click.option(
        "--to", default="", metavar="NS/NAME:PORT", help="Workload or service called, or host:port."
    ),
    click.option(
        "--request", "-r", default="", metavar='"GET /path"', help="The request that fails."
    ),
    click.option(
        "--header", "-H", "headers", multiple=True, metavar="NAME:VALUE", help="A request header."
    ),
    click.option(
        "--namespace", "-n", "namespaces", multiple=True, help="Judge this namespace only."
    ),
)


def build_scope(
    defaults: Defaults,
    from_: str,
    to: str,
    request: str,
    headers: tuple[str, ...],
    namespaces: tuple[str, ...],
) -> Scope:
    """The scope of the options; what they do not say comes from the bundle's own defaults."""
    if not from_ and not to and not namespaces:
        from_, to = defaults.from_, defaults.to
    source = parse_target(from_, "--from") if from_ else None
    target = parse_target(to, "--to") if to else None
    return Scope(
        from_=source,
        to=target,
        namespaces=namespaces,
        request=_request(defaults, request, headers),
    )


def _request(defaults: Defaults, text: str, headers: tuple[str, ...]) -> Request:
    method, path = defaults.method, defaults.path
    if text:
        words = text.split()
        if len(words) == 1:
            words = ["GET", *words] if words[0].startswith("/") else [words[0], "/"]
        if len(words) != 2 or not words[1].startswith(("/", "http")):
            raise ScopeError(f'--request {text!r}: expected "METHOD /path"')
        method, path = words[0].upper(), words[1]
    pairs = list(defaults.headers)
    for header in headers:
        name, colon, value = header.partition(":")
        if not colon or not name.strip():
            raise ScopeError(f"--header {header!r}: expected NAME:VALUE")
        pairs = [p for p in pairs if p[0] != name.strip().lower()]
        pairs.append((name.strip().lower(), value.strip()))
    host = next((v for k, v in pairs if k == "host"), defaults.host)
    return Request(
        method=method, path=path, host=host, headers=tuple(p for p in pairs if p[0] != "host")
    )
