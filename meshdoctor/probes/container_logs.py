"""What do the containers of a pod say in their logs?"""

from collections.abc import Iterable, Iterator

from meshdoctor.model.kubernetes import Container, Pod
from meshdoctor.ports import EvidenceError
from meshdoctor.probes.view import View


def each(view: View, pod: Pod, containers: Iterable[Container]) -> Iterator[str | EvidenceError]:
    """The log of each container, or why it cannot be read; no more are read than are asked for."""
    for container in containers:
        try:
            yield view.log(pod.namespace, pod.name, container.name).text
        except EvidenceError as error:
            yield error


def readable(view: View, pod: Pod, containers: Iterable[Container]) -> list[str]:
    """Of the containers whose log can be read."""
    return [one for one in each(view, pod, containers) if isinstance(one, str)]


def read(view: View, pod: Pod, containers: Iterable[Container]) -> list[str]:
    """The same; raises EvidenceError when none of them can be read."""
    texts: list[str] = []
    missing: EvidenceError | None = None
    for one in each(view, pod, containers):
        if isinstance(one, EvidenceError):
            missing = one
        else:
            texts.append(one)
    if missing is not None and not texts:
        raise missing
    return texts
