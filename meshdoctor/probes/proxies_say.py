"""What do proxies that may be in trouble say of what goes between them and istiod?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.log_lines import Said
from meshdoctor.mesh.proxy_xds_log import read
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import owner_of
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.kubernetes import Pod
from meshdoctor.model.subjects import MeshSubject, SubjectKind
from meshdoctor.probes import propagation_reading as shared
from meshdoctor.probes.view import View, attempt, probe


class ProxiesSay(Struct, frozen=True, kw_only=True):
    """Logs of a few proxies that could be read. Only what is seen counts: none seen is no
    evidence."""

    too_large: Annotated[Fact[int], "messages over gRPC's limit", OBSERVED]
    too_large_text: Annotated[
        Fact[str], "the last such line, else istiod's where it can be read", OBSERVED
    ]
    too_large_of: Annotated[Fact[Ref], "the workload whose proxy says it; empty: none does"]


@probe("proxies-say", subject=SubjectKind.MESH, reads=("Pod", "log", "proxy-status"))
def proxies_say(view: View, _: MeshSubject) -> ProxiesSay:
    """What do proxies that may be in trouble say of what goes between them and istiod?"""
    large: list[tuple[Pod, Said]] = [
        (pod, one)
        for pod, text in shared.suspect_logs(view)
        for one in read(text).too_large
        if shared.is_recent(one, view.now)
    ]
    pod, said = large[-1] if large else (None, None)
    return ProxiesSay(
        too_large=len(large),
        too_large_text=clean(said.text if said is not None else _of_istiod(view), 200),
        too_large_of=Ref(owner_of(pod).ref if pod is not None else ""),
    )


def _of_istiod(view: View) -> str:
    log = attempt(lambda: shared.istiod_log(view).log.kind("too_large"))
    return log[-1].text if isinstance(log, tuple) and log else ""
