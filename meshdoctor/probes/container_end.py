"""Why does a container of Istio's end as soon as it starts?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.container_end import lacks_program, message, of_mesh, wrong_format
from meshdoctor.mesh.files_exhausted import exhausted, limit
from meshdoctor.mesh.pod_startup import Startup
from meshdoctor.mesh.text import clean
from meshdoctor.model.facts import OBSERVED, Fact
from meshdoctor.model.kubernetes import Node
from meshdoctor.model.subjects import SubjectKind, WorkloadSubject
from meshdoctor.probes.startup_reads import startups
from meshdoctor.probes.view import View, attempt, known, probe

ARCHITECTURE = "kubernetes.io/arch"


class ContainerEnd(Struct, frozen=True, kw_only=True):
    """Of the worst pod's blocking container, where it is one of Istio's; else empty."""

    wrong_format: Annotated[
        Fact[str], "the line that says its image is of another architecture; empty: none", OBSERVED
    ]
    no_files: Annotated[
        Fact[str], "the line that says that it could open or watch no more files", OBSERVED
    ]
    files_limit: Annotated[Fact[str], "the limit that it met"]
    lacks: Annotated[
        Fact[str],
        "program that its image does not hold, as the runtime says; empty: none",
        OBSERVED,
    ]
    image: Annotated[Fact[str], "its image; empty: no container of Istio's ended"]
    architecture: Annotated[Fact[str], "the node's architecture; or: unknown"]


@probe(
    "container-end",
    subject=SubjectKind.WORKLOAD,
    reads=("Deployment", "Event", "Node", "Pod", "log"),
)
def container_end(view: View, subject: WorkloadSubject) -> ContainerEnd:
    """Why does a container of Istio's end as soon as it starts?"""
    one = startups(view, subject).worst
    if not of_mesh(one):
        return ContainerEnd(
            wrong_format="",
            lacks="",
            no_files="",
            files_limit="",
            image="",
            architecture="unknown",
        )
    container = one.pod.container(one.container)
    lacks = lacks_program(message(one)) or lacks_program(one.event)
    no_files = attempt(lambda: _no_files(view, one)) if not lacks else ""
    return ContainerEnd(
        wrong_format=attempt(lambda: _wrong_format(view, one)) if not lacks else "",
        lacks=lacks,
        no_files=no_files,
        files_limit=attempt(lambda: limit(said) if (said := known(no_files)) else ""),
        image=clean(container.image, 200) if container is not None else "",
        architecture=attempt(lambda: _architecture(view, one)),
    )


def _wrong_format(view: View, one: Startup) -> str:
    return wrong_format(message(one)) or wrong_format(_log(view, one))


def _no_files(view: View, one: Startup) -> str:
    return exhausted(message(one)) or exhausted(_log(view, one))


def _log(view: View, one: Startup) -> str:
    """The last run's log where the present one has said nothing."""
    pod = one.pod
    current = view.log(pod.namespace, pod.name, one.container).text
    if current.strip() or one.restarts == 0:
        return current
    return view.log(pod.namespace, pod.name, one.container, previous=True).text


def _architecture(view: View, one: Startup) -> str:
    node = view.object("Node", Node, "", one.pod.spec.node_name)
    found = node.labels.get(ARCHITECTURE, "") if node is not None else ""
    return clean(found, 40) or "unknown"
