"""Which patch gives new pods of a workload what they need, and leaves all else as it is?

A merge patch keeps the other annotations but replaces the whole text of one, and
proxy.istio.io/config holds a whole ProxyConfig as its text: what is wanted is laid over what it
says already, as istiod does (pkg/kube/inject/webhook.go, mergeProxyConfig over the defaults).
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import yaml

from meshdoctor.mesh.annotations import PROXY_CONFIG
from meshdoctor.mesh.secrets import MASK, TOKEN, is_secret_name, mask
from meshdoctor.mesh.workloads import PROXY
from meshdoctor.model.kubernetes import Pod, PodTemplate, Workload
from meshdoctor.model.patterns import pattern

PROXY_IMAGE = "sidecar.istio.io/proxyImage"
LIMIT = 2000
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_HUMP = pattern(r"(?<=[a-z0-9])(?=[A-Z])")
AUTO = "auto"
"""The image of a container of the template that stands for "the injector's" (inject.go)."""


def template_of(controller: Workload | None, pod: Pod) -> PodTemplate:
    """What new pods are made of: the controller's template; of a pod without one its annotations
    alone, for its containers are what came of the injection."""
    if controller is not None:
        return controller.spec.template
    return PodTemplate(metadata=pod.metadata)


def proxy_config_patch(template: PodTemplate, wanted: str, **spec: int) -> str:
    """A merge patch that adds a line to the annotation proxy.istio.io/config, and fields to the
    pod's `spec`; "" where the annotation is no ProxyConfig or holds what must not be shown."""
    return _config_patch(template.metadata.annotations.get(PROXY_CONFIG, ""), wanted, **spec)


@lru_cache(maxsize=256)
def _config_patch(said: str, wanted: str, **spec: int) -> str:
    text = _merged(said, wanted)
    made = {"metadata": {"annotations": {PROXY_CONFIG: text}}}
    return _patch({**made, "spec": spec} if spec else made) if text else ""


def image_pin(template: PodTemplate) -> tuple[str, str]:
    """The image of the sidecar that the template itself asks for, and the strategic merge patch
    that leaves it to the injector; both "" where it asks for none."""
    annotated = template.metadata.annotations.get(PROXY_IMAGE, "")
    if annotated:
        return annotated, _patch({"metadata": {"annotations": {PROXY_IMAGE: None}}})
    image = next((c.image for c in template.spec.containers if c.name == PROXY), AUTO)
    if image in ("", AUTO):
        return "", ""
    return image, _patch({"spec": {"containers": [{"name": PROXY, "image": AUTO}]}})


def _patch(template: Mapping[str, Any]) -> str:
    """Fit to stand between single quotes of a shell."""
    text = json.dumps({"spec": {"template": template}}, separators=(",", ":"))
    return text.replace("'", "\\u0027")


def _merged(text: str, wanted: str) -> str:
    """The annotation's text with one line more; as JSON where a line does not do."""
    if not text.strip():
        return wanted
    added = f"{text.rstrip()}\n{wanted}"
    if len(added) > LIMIT or mask(text) != text or MASK in text:
        return ""
    try:
        said = _read(text)
        whole = {} if _has_secret(said) else _laid_over(said, _read(wanted))
        written = json.dumps(whole, allow_nan=False)
    except (yaml.YAMLError, TypeError, ValueError):
        return ""
    try:
        kept = added if _read(added) == whole else written
    except yaml.YAMLError:
        kept = written
    return kept if whole else ""


def _read(text: str) -> Any:
    return yaml.load(text, Loader=_LOADER)  # noqa: S506


def _laid_over(said: Any, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings are merged key by key, all else is replaced; a field may be written as in the
    .proto file. Raises TypeError for what is no mapping."""
    if not isinstance(said, dict):
        raise TypeError("not a mapping")
    out = {key: value for key, value in said.items() if key not in map(_snake, wanted)}
    for name, value in wanted.items():
        old = said.get(name, said.get(_snake(name)))
        out[name] = _laid_over(old or {}, value) if isinstance(value, Mapping) else value
    return out


def _snake(name: str) -> str:
    return _HUMP.sub("_", name).lower()


def _has_secret(said: Any) -> bool:
    """Whether a field or variable is named as secrets are, or stands for one that was taken out."""
    if isinstance(said, Mapping):
        named = any(is_secret_name(str(key)) and one for key, one in said.items())
        return named or any(map(_has_secret, said.values()))
    return isinstance(said, str) and bool(TOKEN.match(said))
