"""Does every istiod hold the object as the API server has it?"""

from collections.abc import Mapping
from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.configz import Key, lagging, parse
from meshdoctor.model.facts import OBSERVED, Fact
from meshdoctor.model.subjects import ConfigSubject, SubjectKind
from meshdoctor.probes import reading
from meshdoctor.probes.config_reading import CONFIG_KINDS, read
from meshdoctor.probes.propagation_reading import MOST_ISTIODS
from meshdoctor.probes.view import View, probe


class ConfigIngested(Struct, frozen=True, kw_only=True):
    """resourceVersion in `/debug/configz` of every istiod against the API's."""

    istiods: Annotated[Fact[int], "istiods asked"]
    holders: Annotated[Fact[int], "of them that hold the object", OBSERVED]
    lagging: Annotated[
        Fact[str], "an istiod with another version while a second has the API's", OBSERVED
    ]


@probe(
    "config-ingested",
    subject=SubjectKind.CONFIG,
    reads=(*CONFIG_KINDS, "Pod", "debug"),
    costly=True,
)
def config_ingested(view: View, config: ConfigSubject) -> ConfigIngested:
    """Does every istiod hold the object as the API server has it?"""
    obj = read(view, config)
    key = (obj.kind, obj.namespace, obj.name)
    held = {name: found.get(key) for name, found in view.memo("configz", _configz).items()}
    return ConfigIngested(
        istiods=len(held),
        holders=sum(version is not None for version in held.values()),
        lagging=lagging(held, obj.metadata.resource_version),
    )


def _configz(view: View) -> Mapping[str, Mapping[Key, str]]:
    return {
        pod.name: parse(view.debug("configz", pod.namespace, pod.name).text)
        for pod in reading.istiod_pods(view)[:MOST_ISTIODS]
    }
