"""`meshdoctor authz`: would this request be allowed, and by which policy?"""

import contextlib
import dataclasses
from typing import Any

import click
from msgspec.structs import replace

from meshdoctor.cli.options import (
    SourceOptions,
    build_scope,
    open_source,
    scope_options,
    source_options,
)

EXITS = {"allow": 0, "deny": 1, "unknown": 3}
SCHEMA = "meshdoctor.authz/v1"
SAID = frozenset(
    {"AuthorizationPolicy", "DestinationRule", "PeerAuthentication", "RequestAuthentication"}
)


class Given:
    """A source whose unrecorded kinds count as absent, and are said to: manifests are a part."""

    def __init__(self, source: Any) -> None:
        self._source = source
        self._absent: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def assumptions(self) -> list[str]:
        """What was taken as absent because nothing was given."""
        policies = sorted(self._absent & SAID)
        return [f"there is no {kind} but those given" for kind in policies]

    def list(self, kind: str, namespace: str | None) -> Any:
        """Objects of a kind; none when the recording holds no such kind."""
        from meshdoctor.ports import Answer, NotRecordedError

        try:
            return self._source.list(kind, namespace)
        except NotRecordedError:
            self._absent.add(kind)
            return Answer(objects=())

    def get(self, kind: str, namespace: str, name: str) -> Any:
        """One object; None when the recording does not hold it."""
        from meshdoctor.ports import NotRecordedError

        try:
            return self._source.get(kind, namespace, name)
        except NotRecordedError:
            self._absent.add(kind)
            return None


@click.command(
    epilog="""\b
Examples:
  meshdoctor authz --from shop/cart --to shop/pay:8080 --request "GET /v1/charge"
  meshdoctor authz --from shop/cart --to shop/pay:8080 -r "GET /" -H "authorization: Bearer ..."
  meshdoctor authz --to shop/pay:8080 -r "GET /" --plaintext --bundle manifests/ -o json

Exit status: 0 allowed, 1 denied, 3 not known, 2 usage error, 4 source not reached.
"""
)
@scope_options
@source_options
@click.option("--principal", default="", help="The caller's identity, td/ns/NS/sa/SA.")
@click.option("--plaintext", is_flag=True, help="The caller presents no identity.")
@click.option("--client-ip", default="", help="The caller's address.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
def authz(**options: Any) -> None:
    """Judge one request by the policies in force, line by line, at every proxy on its way.

    Headers that are not given with -H count as not sent. Signatures of tokens are not verified.
    """
    from meshdoctor.engine.evidence import Evidence, RecordingView
    from meshdoctor.engine.scope import ScopeError
    from meshdoctor.engine.subjects import resolve

    if options["plaintext"] and options["principal"]:
        raise click.UsageError("--plaintext and --principal contradict each other")
    source_of = SourceOptions.of(options)
    source = open_source(source_of)
    names = ("from_", "to", "request", "headers", "namespaces")
    scope = build_scope(source.defaults(), *(options[name] for name in names))
    if scope.to is None:
        raise ScopeError("name the workload or service called: --to namespace/name:port")
    spaces = _spaces(source, scope, source_of.istio_namespace)
    given = Given(source)
    view = RecordingView(Evidence(given, scope.request, spaces, source_of.istio_namespace))
    edges = resolve(view, scope).edges
    answers = [one for edge in edges for one in _answers(view, edge, options)]
    for one in answers:
        one["assumptions"] += given.assumptions()
        one["reasoning"] += [f"assumed: {text}" for text in given.assumptions()]
    click.echo(_json(answers) if options["output"] == "json" else _text(answers), nl=False)
    raise click.exceptions.Exit(EXITS[overall(answers)])


def _spaces(source: Any, scope: Any, istio_namespace: str) -> tuple[str, ...]:
    """The namespaces that matter: both ends, istiod's and the root's; never the whole cluster."""
    from meshdoctor.engine.scope import namespace_of
    from meshdoctor.mesh.meshconfig import parse
    from meshdoctor.ports import EvidenceError

    home = namespace_of(scope.from_, "default")
    spaces = {istio_namespace, home, namespace_of(scope.to, home or "default")} - {""}
    with contextlib.suppress(EvidenceError):
        spaces.add(parse(source.get("ConfigMap", istio_namespace, "istio")).root_namespace)
    return tuple(sorted(spaces))


def _answers(view: Any, edge: Any, options: dict[str, Any]) -> list[dict[str, Any]]:
    """What every proxy on the way would say, from the objects alone: logs are not asked."""
    from meshdoctor.mesh.authorization import decide
    from meshdoctor.mesh.authz_explain import explain
    from meshdoctor.mesh.authz_request import call_of
    from meshdoctor.probes.authz_hops import situation

    if options["client_ip"]:
        edge = dataclasses.replace(edge, client_ip=options["client_ip"])
    found = situation(view, edge)
    out = []
    for number, hop in enumerate(found.hops):
        call = call_of(hop.expected, found.request, None)
        if hop.kind == "ztunnel":
            call = hop.inputs.call
        if number == 0:
            call = _stated(call, options)
        verdict = decide(replace(hop.inputs, call=call))
        out.append(_row(edge, hop, verdict, list(explain(verdict))))
    if not found.hops:
        out.append(_nobody(edge))
    return out


def _stated(call: Any, options: dict[str, Any]) -> Any:
    if options["plaintext"]:
        call = replace(call, principal="")
    if options["principal"]:
        call = replace(call, principal=options["principal"].removeprefix("spiffe://"))
    if options["client_ip"]:
        call = replace(call, direct_ip=options["client_ip"])
        call = replace(call, remote_ip=call.remote_ip or options["client_ip"])
    return call


def _row(edge: Any, hop: Any, verdict: Any, reasoning: list[str]) -> dict[str, Any]:
    nearest = [
        {
            "policy": miss.policy,
            "rule": miss.rule,
            "left_out": miss.skipped,
            "fields": [
                {"field": f"{c.where}.{c.field}", "wanted": list(c.wanted), "seen": c.seen}
                for c in miss.clauses
            ],
        }
        for miss in verdict.misses[:20]
    ]
    return {
        "edge": str(edge),
        "proxy": f"{hop.kind} of {hop.workload.subject}",
        "decision": verdict.decision.value,
        "action": verdict.layer,
        "policy": verdict.policy,
        "rule": verdict.rule,
        "status": verdict.status,
        "details": verdict.details,
        "nearest": nearest,
        "needs": list(verdict.needs),
        "assumptions": list(verdict.assumptions),
        "reasoning": reasoning,
    }


def _nobody(edge: Any) -> dict[str, Any]:
    line = "allow: no proxy stands before the server, so no policy is enforced"
    if edge.server is None:
        line = "allow: no workload of the mesh stands behind the host"
    return {
        "edge": str(edge),
        "proxy": "",
        "decision": "allow",
        "action": "",
        "policy": "",
        "rule": -1,
        "status": 0,
        "details": "",
        "nearest": [],
        "needs": [],
        "assumptions": [],
        "reasoning": [line],
    }


def overall(answers: list[dict[str, Any]]) -> str:
    """deny when any proxy denies, else unknown when any is not known."""
    decisions = {one["decision"] for one in answers}
    for decision in ("deny", "unknown"):
        if decision in decisions:
            return decision
    return "allow"


def _text(answers: list[dict[str, Any]]) -> str:
    lines = []
    for one in answers:
        lines.append(f"{one['edge']}  at the {one['proxy'] or 'server'}")
        lines += [f"  {line}" for line in one["reasoning"]]
        if one["details"]:
            lines.append(f"  expect in its access log: {one['details']}")
    lines.append(overall(answers).upper())
    return "\n".join(lines) + "\n"


def _json(answers: list[dict[str, Any]]) -> str:
    import msgspec

    body = {"schema": SCHEMA, "decision": overall(answers), "proxies": answers}
    return msgspec.json.format(msgspec.json.encode(body), indent=2).decode() + "\n"
