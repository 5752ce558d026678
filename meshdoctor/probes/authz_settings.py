"""Which settings of the mesh do policies depend on, and which policies reach a proxy?

Not a probe: shared reads of the authorization probes.
"""

from meshdoctor.mesh.authz_call import Judge, Settings
from meshdoctor.mesh.authz_custom import service_of
from meshdoctor.mesh.authz_policies import candidate_namespaces
from meshdoctor.mesh.services import named_by_client
from meshdoctor.model.istio import (
    AuthorizationPolicy,
    MeshConfig,
    RequestAuthentication,
    ServiceEntry,
)
from meshdoctor.model.kubernetes import Service
from meshdoctor.ports import EvidenceError
from meshdoctor.probes.reading import istiod_pods, mesh_config, release
from meshdoctor.probes.view import View

MULTIPLE = "PILOT_ENABLE_MULTIPLE_CUSTOM_AUTHZ_PROVIDERS"
SELECTOR = "ENABLE_SELECTOR_BASED_K8S_GATEWAY_POLICY"
REMOTE_JWKS = "PILOT_JWT_ENABLE_REMOTE_JWKS"


def settings(view: View) -> Settings:
    """Mesh config and istiod's environment, as far as policies depend on them."""
    return view.memo("authz-settings", _settings)


def _settings(view: View) -> Settings:
    config = mesh_config(view)
    env = istiod_env(view)
    return Settings(
        root_namespace=config.root_namespace,
        trust_domains=(config.trust_domain, *config.trust_domain_aliases),
        normalization=config.path_normalization.normalization,
        providers=config.extension_providers,
        multiple_providers=_is_true(env.get(MULTIPLE, "false")),
        selector_on_gateways=_is_true(env.get(SELECTOR, "true")),
        release=release(view),
        known_hosts=_known_hosts(view, config),
    )


def _is_true(text: str) -> bool:
    return text.strip().lower() in ("1", "t", "true")


def istiod_env(view: View) -> dict[str, str]:
    """Plain environment values of istiod's newest pod; empty when no pod is seen."""
    try:
        pods = istiod_pods(view)
    except EvidenceError:
        return {}
    out: dict[str, str] = {}
    for pod in pods:
        for container in pod.spec.containers:
            out.update({e.name: e.value for e in container.env if e.value is not None})
    return out


def _known_hosts(view: View, config: MeshConfig) -> frozenset[str] | None:
    """The hosts of ext_authz providers that exist; None when that cannot be told."""
    found: set[str] = set()
    for provider in config.extension_providers:
        service = service_of(provider)
        if service is None or not service.service:
            continue
        host = service.service.rpartition("/")[2]
        try:
            exists = _exists(view, host)
        except EvidenceError:
            return None
        if exists:
            found.add(host)
    return frozenset(found)


def _exists(view: View, host: str) -> bool:
    where = named_by_client(host, "") if ".svc." in host else None
    if where is not None and view.object("Service", Service, *where) is not None:
        return True
    return any(host in e.spec.hosts for e in view.objects("ServiceEntry", ServiceEntry))


def policies(view: View, judge: Judge) -> tuple[AuthorizationPolicy, ...]:
    """Every AuthorizationPolicy of the namespaces that can reach this proxy."""
    spaces = candidate_namespaces(judge, settings(view))
    return tuple(
        one
        for space in spaces
        for one in view.objects("AuthorizationPolicy", AuthorizationPolicy, space)
    )


def authentications(view: View, judge: Judge) -> tuple[RequestAuthentication, ...]:
    """Every RequestAuthentication of the same namespaces."""
    spaces = candidate_namespaces(judge, settings(view))
    return tuple(
        one
        for space in spaces
        for one in view.objects("RequestAuthentication", RequestAuthentication, space)
    )
