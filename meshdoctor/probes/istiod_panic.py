"""Does the istiod that ends again and again end in a panic of its own?"""

from datetime import timedelta
from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.go_panic import Panic, panic
from meshdoctor.mesh.istiod_health import CONTAINER, health
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.kubernetes import Pod
from meshdoctor.model.subjects import MeshSubject, SubjectKind
from meshdoctor.probes import reading
from meshdoctor.probes.container_logs import of_last_end
from meshdoctor.probes.view import View, attempt, known, probe

WINDOW = timedelta(hours=1)


class IstiodPanic(Struct, frozen=True, kw_only=True):
    """Of the log of the istiod that restarted most in the last hour; empty: none did."""

    reason: Annotated[Fact[str], "what the Go runtime says; empty: no panic", OBSERVED]
    place: Annotated[Fact[str], "Istio's function in which it happened; empty: not told", OBSERVED]
    pushed: Annotated[
        Fact[str], "the change that was pushed last before, KIND/NAMESPACE/NAME; or: none", OBSERVED
    ]
    change: Annotated[Fact[Ref], "the object of that change; empty: not told", OBSERVED]
    image: Annotated[Fact[str], "istiod's image"]
    release: Annotated[Fact[str], "its tag"]


@probe("istiod-panic", subject=SubjectKind.MESH, reads=("Pod", "log"))
def istiod_panic(view: View, _: MeshSubject) -> IstiodPanic:
    """Does the istiod that ends again and again end in a panic of its own?"""
    pods = reading.istiod_pods(view)
    ended = health(pods, view.now, WINDOW).pod
    pod = next((p for p in pods if p.name == ended), None) if ended else None
    container = pod.container(CONTAINER) if pod is not None else None
    image = container.image if container is not None else ""
    found = attempt(lambda: _panic(view, pod)) if pod is not None else Panic()
    return IstiodPanic(
        reason=attempt(lambda: known(found).reason),
        place=attempt(lambda: known(found).place),
        pushed=attempt(lambda: known(found).pushed or "none"),
        change=attempt(lambda: Ref(known(found).pushed)),
        image=image,
        release=image.rpartition(":")[2],
    )


def _panic(view: View, pod: Pod) -> Panic:
    return of_last_end(view, pod, CONTAINER, panic, lambda one: one.reason)
