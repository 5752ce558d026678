"""How long is istiod told to gather changes before it pushes?

Mirrors pilot/pkg/features (PILOT_DEBOUNCE_AFTER 100ms, PILOT_DEBOUNCE_MAX 10s; 1.18 to 1.32-dev):
a push waits until no change came for the first, but never longer than the second.
"""

from collections.abc import Iterable
from datetime import timedelta

from msgspec import Struct

from meshdoctor.mesh.istiod_health import CONTAINER
from meshdoctor.mesh.log_lines import go_duration
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import owner_of
from meshdoctor.model.kubernetes import Pod

AFTER, MOST = "PILOT_DEBOUNCE_AFTER", "PILOT_DEBOUNCE_MAX"
_DEFAULT = {AFTER: timedelta(milliseconds=100), MOST: timedelta(seconds=10)}


class Settling(Struct, frozen=True, kw_only=True):
    """Of the istiod that waits longest. `told` are the settings as they are written."""

    wait: timedelta
    told: str
    workload: str


def settling(istiods: Iterable[Pod]) -> Settling:
    """The longest wait that any istiod is told to make before each push, quiet or not."""
    found = [_of(pod) for pod in istiods]
    return max(found, key=lambda s: s.wait, default=Settling(wait=_wait({}), told="", workload=""))


def _of(pod: Pod) -> Settling:
    container = pod.container(CONTAINER)
    env = {e.name: e.value for e in container.env if e.value} if container is not None else {}
    told = {name: env[name] for name in (AFTER, MOST) if name in env}
    text = " ".join(f"{name}={clean(value, 20)}" for name, value in told.items())
    return Settling(wait=_wait(told), told=text, workload=owner_of(pod).ref)


def _wait(told: dict[str, str]) -> timedelta:
    """What istiod cannot read as a duration leaves it at its default."""
    after, most = (go_duration(told.get(n, "")) or _DEFAULT[n] for n in (AFTER, MOST))
    return min(after, most)
