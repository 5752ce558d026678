"""Does an application load balancer of AWS check a path that its gateway does not know?

Without annotations an ALB asks for / by the target's address, and takes 200 alone for well
(aws-load-balancer-controller docs/guide/ingress/annotations.md, pkg/ingress
model_build_target_group.go). A gateway answers 404 to a host that none of its routes names.
"""

from collections.abc import Iterable, Mapping

from meshdoctor.model.istio import VirtualService
from meshdoctor.model.kubernetes import Ingress, Service

_PREFIX = "alb.ingress.kubernetes.io/"
_GIVEN = ("healthcheck-path", "healthcheck-port", "backend-protocol-version")


def checks_root(ingress: Ingress, service: Service) -> bool:
    """Whether the ALB asks the traffic port for / by plain HTTP and wants 200. The Service's own
    annotations come before the Ingress's.

    >>> from meshdoctor.model.kubernetes import Meta
    >>> checks_root(Ingress(), Service())
    True
    """
    notes: Mapping[str, str] = {**ingress.annotations, **service.annotations}
    own = {k.removeprefix(_PREFIX): v.strip() for k, v in notes.items() if k.startswith(_PREFIX)}
    if any(own.get(key) for key in _GIVEN):
        return False
    if own.get("success-codes", "200") != "200":
        return False
    protocol = own.get("healthcheck-protocol") or own.get("backend-protocol") or "HTTP"
    return protocol.upper() == "HTTP"


def takes_any_host(routes: Iterable[VirtualService]) -> bool:
    """Whether some gateway's route answers whatever host is asked for."""
    return any("*" in one.spec.hosts and set(one.spec.gateways) - {"mesh"} for one in routes)
