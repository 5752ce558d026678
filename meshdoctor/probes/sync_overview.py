"""How many proxies hold what istiod sent, and how many are in trouble?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.sync_judgement import in_words, overview, proxy_never_gets_ready
from meshdoctor.mesh.workloads import is_ready
from meshdoctor.model.evidence import Reason, Unavailable
from meshdoctor.model.facts import OBSERVED, Fact
from meshdoctor.model.subjects import MeshSubject, SubjectKind
from meshdoctor.ports import EvidenceError
from meshdoctor.probes import propagation_reading as shared
from meshdoctor.probes import reading
from meshdoctor.probes.view import View, probe


class SyncOverview(Struct, frozen=True, kw_only=True):
    """All istiods together. Known false alarms are not counted (RDS STALE on 1.22.0 to 1.22.3,
    NOT SENT of types that a proxy need not ask for)."""

    proxies: Annotated[Fact[int], "proxies that the istiods list"]
    shows_state: Annotated[Fact[bool], "False: `proxy-status` from 1.27 on hides the states"]
    wrong: Annotated[Fact[int], "proxies with a type in ERROR, STALE or NOT SENT", OBSERVED]
    wrong_share: Annotated[Fact[int], "their share, in percent", OBSERVED]
    errors: Annotated[Fact[int], "proxies with a type in ERROR", OBSERVED]
    first: Annotated[Fact[str], "the first of them and its states; empty: none", OBSERVED]
    absent: Annotated[
        Fact[int], "running proxies of connected revisions that no istiod lists", OBSERVED
    ]
    absent_first: Annotated[Fact[str], "the first of them, namespace/pod"]
    problems: Annotated[Fact[int], "istiods or records that could not be read"]
    proxies_not_ready: Annotated[
        Fact[int], "pods whose istio-proxy has started and is not ready", OBSERVED
    ]
    told_in_step: Annotated[
        Fact[bool],
        "states could be read, and they and the pods tell of no trouble (False: some do, none "
        "could be read, or proxies are not back yet after a start of istiod)",
    ]
    trouble_seen: Annotated[
        Fact[bool],
        "some evidence that could be read shows a proxy or istiod in trouble (False says only "
        "that none was seen)",
    ]


@probe("sync-overview", subject=SubjectKind.MESH, reads=("Pod", "proxy-status"))
def sync_overview(view: View, _: MeshSubject) -> SyncOverview:
    """How many proxies hold what istiod sent, and how many are in trouble?"""
    pods = shared.proxy_pods(view)
    istiods = reading.istiod_pods(view)
    not_ready = sum(map(proxy_never_gets_ready, shared.unready_proxies(view)))
    down = any(not is_ready(p) for p in istiods)
    try:
        sync = shared.sync(view)
    except EvidenceError as error:
        return _unseen(error.unavailable, not_ready, not_ready > 0 or down)
    table = sync.table
    found = overview(table, sync.wrong, pods, istiods, view.now)
    first, gone = next(iter(found.wrong), None), next(iter(found.absent), None)
    total = len(table.proxies)
    trouble = bool(found.wrong or found.absent or not_ready or down)
    return SyncOverview(
        proxies=total,
        shows_state=table.shows_state,
        wrong=len(found.wrong) if table.shows_state else HIDDEN,
        wrong_share=100 * len(found.wrong) // total if total else 0,
        errors=found.errors if table.shows_state else HIDDEN,
        first=f"{first.namespace}/{first.pod}: {in_words(first, view.now)}" if first else "",
        absent=len(found.absent),
        absent_first=f"{gone.namespace}/{gone.name}" if gone else "",
        problems=len(table.problems),
        proxies_not_ready=not_ready,
        told_in_step=table.shows_state and not trouble and not found.early,
        trouble_seen=trouble,
    )


HIDDEN = Unavailable(
    reason=Reason.NOT_RECORDED,
    what="sync state of the proxies",
    detail="this proxy-status layout shows no states",
    remedy="istioctl proxy-status -v 1, or /debug/syncz of every istiod",
)


def _unseen(why: Unavailable, not_ready: int, trouble: bool) -> SyncOverview:
    return SyncOverview(
        proxies=why,
        shows_state=why,
        wrong=why,
        wrong_share=why,
        errors=why,
        first=why,
        absent=why,
        absent_first=why,
        problems=why,
        proxies_not_ready=not_ready,
        told_in_step=False,
        trouble_seen=trouble,
    )
