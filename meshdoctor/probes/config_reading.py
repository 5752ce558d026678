"""How is the object of a configuration subject read? Not a probe: it judges nothing."""

from meshdoctor.model.kinds import BY_NAME
from meshdoctor.model.kubernetes import Object
from meshdoctor.model.subjects import ConfigSubject
from meshdoctor.ports import MissingError
from meshdoctor.probes.view import View

CONFIG_KINDS = (
    "AuthorizationPolicy",
    "DestinationRule",
    "EnvoyFilter",
    "GRPCRoute",
    "Gateway",
    "HTTPRoute",
    "K8sGateway",
    "PeerAuthentication",
    "RequestAuthentication",
    "ServiceEntry",
    "Sidecar",
    "TCPRoute",
    "TLSRoute",
    "Telemetry",
    "VirtualService",
    "WasmPlugin",
)


def read(view: View, config: ConfigSubject) -> Object:
    """The object of the subject; raises MissingError when it is gone."""
    kind = BY_NAME[config.config_kind]
    found = view.object(kind.name, kind.type, config.namespace, config.name)
    if found is None:
        raise MissingError(str(config), "it does not exist any more")
    return found
