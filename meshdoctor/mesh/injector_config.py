"""What has the injector of a revision been told to do?

ConfigMap `istio-sidecar-injector[-REV]`: key `config` (policy, selectors, templates) and key
`values` (the chart's values). Mirrors pkg/kube/inject UnmarshalConfig and NewValuesConfig
(1.18 to 1.32-dev). Text that does not parse keeps the former config in istiod: `UnparsableError`.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import yaml
from msgspec import Struct

from meshdoctor.mesh.text import clean
from meshdoctor.model.decode import without_nulls
from meshdoctor.model.kubernetes import ConfigMap, LabelSelector
from meshdoctor.model.patterns import pattern
from meshdoctor.model.ready import ready
from meshdoctor.ports import UnparsableError

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MISMATCH = "Template_Version_And_Istio_Version_Mismatched"
OWN_TEMPLATES = frozenset(
    {"sidecar", "gateway", "grpc-simple", "grpc-agent", "waypoint", "kube-gateway"}
)
_CONTAINERS = pattern(r"(?m)^ *containers:(?:\n.*){0,400}")


class InjectorConfig(Struct, frozen=True, kw_only=True):
    """`templates` are the names a pod may ask for, `texts` what each of them says. `values_error`
    says why `values` is unusable: every injection then fails."""

    ref: str
    policy: str
    never: tuple[LabelSelector, ...]
    always: tuple[LabelSelector, ...]
    templates: tuple[str, ...]
    default_templates: tuple[str, ...]
    values: Mapping[str, Any]
    values_error: str
    texts: Mapping[str, str]

    def value(self, *path: str) -> Any:
        """One of the chart's values; None when absent or null."""
        found: Any = self.values
        for key in path:
            found = found.get(key) if isinstance(found, Mapping) else None
        return found

    @property
    def cni(self) -> bool:
        """Whether pods are told that istio-cni redirects them; the key moved in 1.24."""
        return bool(self.value("pilot", "cni", "enabled") or self.value("istio_cni", "enabled"))

    @property
    def rewrites_probes(self) -> bool:
        """Whether the agent answers the applications' probes where a pod does not say."""
        return self.value("sidecarInjectorWebhook", "rewriteAppHTTPProbe") is True


def naming_among_containers(config: InjectorConfig, asked: Iterable[str], name: str) -> str:
    """The first of the templates asked for, the release's own aside, that puts a container of this
    name among `containers`; "": none does."""
    for one in asked:
        text = config.texts.get(one, "") if one not in OWN_TEMPLATES else ""
        part = _CONTAINERS.search(text)
        if part is not None and re.search(rf"name: *[\"']?{re.escape(name)}\b", part[0]):
            return clean(one, 60)
    return ""


def config_map_name(revision: str) -> str:
    """The ConfigMap of a revision's injector."""
    default = revision in ("", "default")
    return "istio-sidecar-injector" if default else f"istio-sidecar-injector-{revision}"


def parse(config_map: ConfigMap) -> InjectorConfig:
    """The injector's configuration. Raises UnparsableError when `config` is no valid YAML."""
    data = _mapping(_yaml(config_map, "config"))
    values: Mapping[str, Any] = {}
    problem = ""
    try:
        values = _mapping(_yaml(config_map, "values"))
    except UnparsableError as error:
        problem = clean(str(error))
    templates = _mapping(data.get("templates"))
    aliases = _mapping(data.get("aliases"))
    try:
        selectors = ready(tuple[LabelSelector, ...])
        never = msgspec.convert(_list(data, "neverInjectSelector"), selectors)
        always = msgspec.convert(_list(data, "alwaysInjectSelector"), selectors)
    except msgspec.ValidationError as error:
        raise UnparsableError(f"selectors in {config_map.ref}", str(error)) from error
    return InjectorConfig(
        ref=config_map.ref,
        policy=str(data.get("policy") or ""),
        never=never,
        always=always,
        templates=tuple(sorted({*map(str, templates), *map(str, aliases)})),
        default_templates=tuple(map(str, data.get("defaultTemplates") or ("sidecar",))),
        values=values,
        values_error=problem,
        texts={str(name): text for name, text in templates.items() if isinstance(text, str)},
    )


def _yaml(config_map: ConfigMap, key: str) -> Any:
    try:
        return yaml.load(config_map.data.get(key, "") or "{}", Loader=_LOADER)  # noqa: S506
    except yaml.YAMLError as error:
        what = f"key {key} in {config_map.ref}"
        raise UnparsableError(what, str(error).splitlines()[0]) from error


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(data: Mapping[str, Any], key: str) -> Any:
    return without_nulls(data.get(key) or [])
