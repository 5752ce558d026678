"""What do the containers of a pod say in their logs?"""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from meshdoctor.mesh.workloads import app_containers
from meshdoctor.model.kubernetes import Container, Pod
from meshdoctor.ports import EvidenceError
from meshdoctor.probes.view import View

T = TypeVar("T")


def each(view: View, pod: Pod, containers: Iterable[Container]) -> Iterator[str | EvidenceError]:
    """The log of each container, or why it cannot be read; no more are read than are asked for."""
    for container in containers:
        try:
            yield view.log(pod.namespace, pod.name, container.name).text
        except EvidenceError as error:
            yield error


def readable(view: View, pod: Pod, containers: Iterable[Container]) -> list[str]:
    """Of the containers whose log can be read: for what may add to a sentence, and no more."""
    return [one for one in each(view, pod, containers) if isinstance(one, str)]


def of_last_end(
    view: View, pod: Pod, container: str, tells: Callable[[str], T], found: Callable[[T], object]
) -> T:
    """What a container's log tells of its last end: the present run's log, which is the last one's
    while the container waits; where nothing is `found` there, the previous one's."""
    told = tells(view.log(pod.namespace, pod.name, container).text)
    if found(told):
        return told
    return tells(view.log(pod.namespace, pod.name, container, previous=True).text)


def read(view: View, pod: Pod, containers: Iterable[Container]) -> list[str]:
    """The logs that can be read; raises EvidenceError when none of them can be."""
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


def told(
    view: View, pods: Iterable[Pod], tells: Callable[[str], Iterable[T]]
) -> list[tuple[Pod, T]]:
    """What the applications of these pods tell in their logs, with the pod that tells it.

    What is found counts though other logs cannot be read; raises EvidenceError when nothing is
    found and one of them cannot be.
    """
    found: list[tuple[Pod, T]] = []
    missing: EvidenceError | None = None
    for pod in pods:
        for one in each(view, pod, app_containers(pod)):
            if isinstance(one, EvidenceError):
                missing = one
            else:
                found.extend((pod, it) for it in tells(one))
    if missing is not None and not found:
        raise missing
    return found
