"""Did the application, a further hop or a service outside answer 401 or 403, and not the mesh?"""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh import authz_evidence as ev
from meshdoctor.mesh.access_log import Line
from meshdoctor.mesh.app_log import misses_token
from meshdoctor.mesh.authority import bare_host
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import WorkloadPods, app_containers, has_proxy
from meshdoctor.model.evidence import Reason, Unavailable
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.istio import ServiceEntry
from meshdoctor.model.subjects import EdgeSubject, SubjectKind
from meshdoctor.ports import EvidenceError
from meshdoctor.probes import container_logs
from meshdoctor.probes.authz_denial import READS
from meshdoctor.probes.authz_gateways import cluster_service
from meshdoctor.probes.authz_hop import Hop, Situation, read_log
from meshdoctor.probes.authz_hops import situation, unseen_by_caller
from meshdoctor.probes.view import View, probe

GATEWAY_NOT_SEEN = Unavailable(
    reason=Reason.NOT_FOUND,
    what="log of the gateway that the calls were sent to",
    detail="no gateway behind the service that was called logged such calls",
    remedy="kubectl logs of that gateway's pods, or diagnose the whole mesh",
)
FORBIDDEN = ('is forbidden: User "', '"reason":"Forbidden"', "cannot list resource")


class AuthzApp(Struct, frozen=True, kw_only=True):
    """Answers 401 and 403 that came through the proxies from beyond them (`via_upstream`)."""

    denied: Annotated[Fact[int], "answers of the server's application", OBSERVED]
    code: Annotated[Fact[int], "their code", OBSERVED]
    path: Annotated[Fact[str], "path of one of them", OBSERVED]
    further: Annotated[Fact[int], "of them with a refusal further on, same request id", OBSERVED]
    further_host: Annotated[Fact[str], "the host called further on", OBSERVED]
    remote: Annotated[Fact[int], "answers of a host outside the mesh", OBSERVED]
    remote_host: Annotated[Fact[str], "that host", OBSERVED]
    remote_ref: Annotated[Fact[Ref], "its ServiceEntry; else the caller"]
    kubernetes: Annotated[Fact[str], "the application's log on a refusal by the API", OBSERVED]
    misses_token: Annotated[
        Fact[str], "the application's log on a request without token; empty: none", OBSERVED
    ]
    server: Annotated[Fact[Ref], "the server's workload"]
    server_namespace: Annotated[Fact[str], "its namespace"]
    server_name: Annotated[Fact[str], "its name"]
    server_target: Annotated[Fact[str], "it as kubectl takes it, kind/name"]
    account: Annotated[Fact[str], "the service account of the workload that Kubernetes refuses"]
    client: Annotated[Fact[Ref], "the client's workload"]


@probe("authz-app", subject=SubjectKind.EDGE, reads=READS)
def authz_app(view: View, edge: EdgeSubject) -> AuthzApp:
    """Did the application or a service outside answer, and not the mesh?"""
    found = situation(view, edge)
    hop = next((one for one in found.hops if one.kind == "sidecar"), None)
    lines = [line for line in hop.lines if ev.answered_by_app(line)] if hop is not None else []
    further = _further(view, found, lines)
    remote = _remote(found)
    subject = found.server.subject if found.server is not None else None
    client = found.client.subject.ref if found.client is not None else ""
    entry = _entry(view, remote[0].cluster_host or remote[0].authority) if remote else ""
    return AuthzApp(
        denied=_count(found, hop, len(lines)),
        code=_count(found, hop, lines[-1].code if lines else 0),
        path=clean(lines[-1].path.partition("?")[0], 200) if lines else "",
        further=_count(found, hop, len(further)),
        further_host=clean(further[0].cluster_host or further[0].authority, 200) if further else "",
        remote=_remote_count(found, remote),
        remote_host=clean(remote[0].authority or remote[0].cluster_host, 200) if remote else "",
        remote_ref=Ref(entry or client),
        kubernetes=_kubernetes(view, found) if lines or remote else "",
        misses_token=_misses_token(view, found) if lines else "",
        server=Ref(subject.ref if subject is not None else ""),
        server_namespace=subject.namespace if subject is not None else "",
        server_name=subject.name if subject is not None else "",
        server_target=found.server.target if found.server is not None else "",
        account=_account(found),
        client=Ref(client),
    )


def _count(found: Situation, hop: Hop | None, value: int) -> Fact[int]:
    """Zero is a fact when the log was read, the caller's shows no such answer, or an earlier
    proxy refused, so that requests did not come so far."""
    if hop is None or value or hop.log is None or unseen_by_caller(found):
        return value
    judge = found.judge
    return value if judge is not None and judge is not hop and judge.refused else hop.log


def _further(view: View, found: Situation, lines: list[Line]) -> list[Line]:
    """Refusals that the server itself met when it called on for the same request."""
    if not lines or found.server is None:
        return []
    ids = {line.request_id for line in lines} - {""}
    log = read_log(view, found.server)
    if isinstance(log, Unavailable):
        return []
    return [
        line
        for line in log.lines
        if line.is_outbound and line.request_id in ids and line.code in (401, 403)
    ]


def _remote(found: Situation) -> list[Line]:
    """401 and 403 of hosts behind which no workload of the mesh stands; where calls were sent to
    a gateway on the way out, those that it did not give itself."""
    if found.server is not None:
        return []
    answers = [line for line in found.client_lines if ev.answered_by_app(line)]
    direct = [line for line in answers if not cluster_service(line)]
    if len(direct) == len(answers):
        return direct
    return direct + [line for hop in found.hops for line in hop.lines if ev.answered_by_app(line)]


def _remote_count(found: Situation, remote: list[Line]) -> Fact[int]:
    """How many; not known where the log of the gateway that was called does not tell."""
    answers = [line for line in found.client_lines if ev.answered_by_app(line)]
    led = found.server is None and any(cluster_service(line) for line in answers)
    if remote or not led or any(hop.lines for hop in found.hops):
        return len(remote)
    unread = next((hop.log for hop in found.hops if hop.log is not None), None)
    return unread or GATEWAY_NOT_SEEN


def _entry(view: View, host: str) -> str:
    bare = bare_host(host)
    for entry in view.objects("ServiceEntry", ServiceEntry):
        if bare in (one.lower() for one in entry.spec.hosts):
            return entry.ref
    return ""


def _kubernetes(view: View, found: Situation) -> Fact[str]:
    """A line of the application's own log in which the Kubernetes API refuses it; "" if none.

    Unavailable when none is found and some log could not be read.
    """
    failed: Unavailable | None = None
    for text in _app_logs(view, found.server or found.client):
        if isinstance(text, EvidenceError):
            failed = text.unavailable
            continue
        for line in text.splitlines()[-2000:]:
            if any(mark in line for mark in FORBIDDEN):
                return clean(line, 300)
    return failed or ""


def _account(found: Situation) -> str:
    """`namespace:name` of the account under which the workload calls the Kubernetes API."""
    who = found.server or found.client
    return f"{who.subject.namespace}:{who.service_account}" if who is not None else ""


def _misses_token(view: View, found: Situation) -> str:
    """Of the logs that can be read: silence proves nothing here."""
    texts = (text for text in _app_logs(view, found.server) if isinstance(text, str))
    return next((said for text in texts if (said := misses_token(text))), "")


def _app_logs(view: View, who: WorkloadPods | None) -> Iterator[str | EvidenceError]:
    pod = who.pod if who is not None else None
    if pod is not None and has_proxy(pod):
        yield from container_logs.each(view, pod, app_containers(pod)[:2])
