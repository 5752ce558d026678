"""Which EnvoyFilter has a proxy ask an external authorizer, without any CUSTOM policy?

Before 1.9 this was the only way (envoy.ext_authz, later envoy.filters.http.ext_authz), and filters
written then still run. The filter asks for every request of every proxy that it selects.
"""

from collections.abc import Iterable, Mapping

from meshdoctor.mesh.filter_blame import fields, of_proxy, texts
from meshdoctor.model.istio import EnvoyFilter, EnvoyFilterPatch

_ADDS = ("INSERT_BEFORE", "INSERT_AFTER", "INSERT_FIRST", "ADD", "MERGE", "REPLACE")
_CONTEXTS = {
    "sidecar": ("ANY", "SIDECAR_INBOUND"),
    "gateway": ("ANY", "GATEWAY"),
}
_TARGETS = ("target_uri", "targetUri", "cluster_name", "clusterName", "uri")


def asking(
    filters: Iterable[EnvoyFilter],
    root: str,
    namespace: str,
    labels: Mapping[str, str],
    kind: str,
) -> EnvoyFilter | None:
    """The first filter that puts ext_authz into the inbound chain of a proxy: a `sidecar` or a
    `gateway` with these labels."""
    return adding(of_proxy(filters, root, namespace, labels), kind, ("ext_authz",))


def adding(filters: Iterable[EnvoyFilter], kind: str, words: Iterable[str]) -> EnvoyFilter | None:
    """The first of a proxy's filters that puts one whose name or type holds such a word into the
    inbound chain of a `sidecar` or a `gateway`."""
    wanted = tuple(words)
    return next(
        (
            one
            for one in filters
            if any(_asks(patch, kind) for patch in one.spec.config_patches)
            and any(word in text for text in texts(one) for word in wanted)
        ),
        None,
    )


def asked(filter_: EnvoyFilter) -> str:
    """Whom it asks, as its patches name it; "" when they do not."""
    found = (
        text
        for patch in filter_.spec.config_patches
        if _is_filter(patch)
        for name, text in fields(patch)
        if name in _TARGETS and isinstance(text, str) and text
    )
    return next(found, "")


def _asks(patch: EnvoyFilterPatch, kind: str) -> bool:
    return _is_filter(patch) and patch.match.context in _CONTEXTS.get(kind, ())


def _is_filter(patch: EnvoyFilterPatch) -> bool:
    kinds = ("HTTP_FILTER", "NETWORK_FILTER")
    return patch.apply_to in kinds and patch.patch.operation in _ADDS
