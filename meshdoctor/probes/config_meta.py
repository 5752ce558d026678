"""Is a configuration object meant for this control plane, and when was it last changed?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh import revisions
from meshdoctor.mesh.changes import reverted, writes
from meshdoctor.mesh.text import clean
from meshdoctor.model.evidence import Reason, Unavailable
from meshdoctor.model.facts import Fact, Ref
from meshdoctor.model.kubernetes import Object
from meshdoctor.model.subjects import ConfigSubject, SubjectKind
from meshdoctor.probes.config_reading import CONFIG_KINDS, read
from meshdoctor.probes.propagation_reading import running_revisions
from meshdoctor.probes.view import View, probe


class ConfigMeta(Struct, frozen=True, kw_only=True):
    """Labels and managedFields of one object."""

    ref: Annotated[Fact[Ref], "the object"]
    resource: Annotated[Fact[str], "its kind, as kubectl takes it"]
    name: Annotated[Fact[str], "its name"]
    namespace: Annotated[Fact[str], "its namespace"]
    revision: Annotated[Fact[str], "its label istio.io/rev; empty: for every istiod"]
    revision_runs: Annotated[Fact[bool], "an istiod of exactly that revision runs"]
    running: Annotated[Fact[str], "the revisions that run"]
    age_seconds: Annotated[Fact[int], "seconds since its last change outside status"]
    changed_by: Annotated[Fact[str], "who made the last change; empty: not kept"]
    taken_back: Annotated[Fact[bool], "a person's change was soon followed by a controller's"]
    person: Annotated[Fact[str], "who made the former change"]
    generation: Annotated[Fact[int], "its generation"]


class _Running(Struct, frozen=True):
    """The revisions that run, and the same in words."""

    names: frozenset[str]
    text: str


def _running(view: View) -> _Running:
    def build(v: View) -> _Running:
        names = running_revisions(v)
        return _Running(names, ", ".join(sorted(names)))

    return view.memo("running-in-words", build)


def _unknown(obj: Object) -> Unavailable:
    return Unavailable(reason=Reason.NOT_RECORDED, what=f"times of {obj.ref}")


@probe("config-meta", subject=SubjectKind.CONFIG, reads=(*CONFIG_KINDS, "Pod"))
def config_meta(view: View, config: ConfigSubject) -> ConfigMeta:
    """Is a configuration object meant for this control plane, and when was it last changed?"""
    obj = read(view, config)
    running = _running(view)
    wanted = obj.labels.get(revisions.REVISION, "")
    who, back = writes(obj), reverted(obj)
    changed = who[-1].at if who else obj.metadata.creation_timestamp
    return ConfigMeta(
        ref=Ref(obj.ref),
        resource=obj.kind.lower(),
        name=obj.name,
        namespace=obj.namespace,
        revision=clean(wanted, 63),
        revision_runs=wanted in running.names,
        running=running.text,
        age_seconds=int((view.now - changed).total_seconds()) if changed else _unknown(obj),
        changed_by=clean(who[-1].manager, 60) if who else "",
        taken_back=back is not None,
        person=clean(back.person.manager, 60) if back else "",
        generation=obj.metadata.generation,
    )
