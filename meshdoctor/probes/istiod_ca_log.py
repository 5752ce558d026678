"""What do the istiods log about their CA?"""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.istiod_log import failing
from meshdoctor.mesh.log_lines import Said, of
from meshdoctor.mesh.text import clean
from meshdoctor.model.evidence import Reason, Unavailable
from meshdoctor.model.facts import OBSERVED, Fact
from meshdoctor.model.patterns import pattern
from meshdoctor.model.subjects import MeshSubject, SubjectKind
from meshdoctor.ports import EvidenceError, MissingError
from meshdoctor.probes import istiod_said, reading
from meshdoctor.probes.view import View, probe


class IstiodCaLog(Struct, frozen=True, kw_only=True):
    """Lines of all istiods' logs that concern certificates; zero when none was written."""

    root_kept: Annotated[Fact[int], "a new root was not taken over", OBSERVED]
    incomplete: Annotated[Fact[int], "incomplete signing CA bundle", OBSERVED]
    update_failed: Annotated[Fact[int], "new plug-in certificates could not be loaded", OBSERVED]
    not_created: Annotated[Fact[int], "istiod could not create its CA, and ended", OBSERVED]
    csr_refused: Annotated[Fact[int], "signing requests refused", OBSERVED]
    cluster_unknown: Annotated[Fact[int], "callers of a cluster istiod does not know", OBSERVED]
    claimed: Annotated[Fact[str], "the cluster that they claim", OBSERVED]
    local: Annotated[Fact[str], "the cluster that istiod knows", OBSERVED]
    distrusted: Annotated[
        Fact[bool],
        "for a minute or longer, and lately, clients refused istiod's certificate",
        OBSERVED,
    ]
    distrusted_text: Annotated[Fact[str], "the last line that says so", OBSERVED]
    map_skipped: Annotated[Fact[int], "istio-ca-root-cert could not be written", OBSERVED]
    text: Annotated[Fact[str], "the last of these lines", OBSERVED]
    last: Annotated[Fact[datetime], "when it was written", OBSERVED]


KINDS = (
    "root_not_updated",
    "ca_incomplete",
    "ca_update_failed",
    "ca_not_created",
    "csr_refused",
    "cluster_unknown",
    "root_map_skipped",
)
_DISTRUST = pattern(r"remote error: tls: (?:bad certificate|unknown certificate|expired cert)")


@probe("istiod-ca-log", subject=SubjectKind.MESH, reads=("Pod", "log"), costly=True)
def istiod_ca_log(view: View, mesh: MeshSubject) -> IstiodCaLog:
    """What do the istiods log about their CA?"""
    said: list[Said] = []
    missing: EvidenceError | None = None
    pods = reading.istiod_pods(view)
    if not pods:
        raise MissingError(f"istiod pods in {view.istio_namespace}")
    for pod in pods:
        try:
            said += istiod_said.lines(view, pod.namespace, pod.name)
        except EvidenceError as error:
            missing = error
    refused = [s for s in of(said, "tls_refused") if _DISTRUST.search(s.get("reason"))]
    if missing is not None and not of(said, *KINDS) and not refused:
        raise missing
    return _facts(of(said, *KINDS), refused, view.now)


def _facts(said: Iterable[Said], refused: list[Said], now: datetime) -> IstiodCaLog:
    said = tuple(said)
    unknown = of(said, "cluster_unknown")
    times = [one.at for one in said if one.at is not None]
    return IstiodCaLog(
        root_kept=len(of(said, "root_not_updated")),
        incomplete=len(of(said, "ca_incomplete")),
        update_failed=len(of(said, "ca_update_failed")),
        not_created=len(of(said, "ca_not_created")),
        csr_refused=len(of(said, "csr_refused")),
        cluster_unknown=len(unknown),
        claimed=unknown[-1].get("claimed") if unknown else "",
        local=unknown[-1].get("local") if unknown else "",
        distrusted=failing(refused, now),
        distrusted_text=clean(refused[-1].text, 200) if refused else "",
        map_skipped=len(of(said, "root_map_skipped")),
        text=said[-1].text if said else "",
        last=max(times)
        if times
        else Unavailable(reason=Reason.NOT_FOUND, what="CA lines in istiod's log"),
    )
