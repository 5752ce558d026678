"""If the API server calls this webhook, does it get an answer?

The road is: Service (port to target port), a ready endpoint, NetworkPolicy on istiod's pods, TLS
with `caBundle`. Mirrors what the API server does (webhook client resolver) and what istiod's
webhook patcher keeps true (pkg/webhooks/webhookpatch.go, 1.18 to 1.32-dev).
"""

import base64
import binascii
from collections.abc import Iterable
from enum import StrEnum
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from meshdoctor.mesh.selectors import label_selected
from meshdoctor.model.kubernetes import (
    EndpointSlice,
    IntOrString,
    NetworkPolicy,
    NetworkPolicyIngress,
    Pod,
    Service,
    WebhookService,
)

INJECT_PORT = 15017


class CaBundle(StrEnum):
    """How `caBundle` compares with the roots that istiod is known to sign with."""

    MATCHES = "matches"
    EMPTY = "empty"
    UNREADABLE = "unreadable"
    DIFFERS = "differs"
    NOT_COMPARED = "not-compared"


def ca_bundle(encoded: str, roots: Iterable[str]) -> CaBundle:
    """Compare by subject and key: a root renewed with its own key is the same authority.

    No readable root at all: NOT_COMPARED, never a mismatch.
    """
    if not encoded.strip():
        return CaBundle.EMPTY
    try:
        text = base64.b64decode(encoded, validate=False)
    except (binascii.Error, ValueError):
        return CaBundle.UNREADABLE
    trusted = authorities(text)
    if not trusted:
        return CaBundle.UNREADABLE
    signing: set[bytes] = set()
    for root in roots:
        signing |= authorities(root.encode())
    if not signing:
        return CaBundle.NOT_COMPARED
    return CaBundle.MATCHES if trusted & signing else CaBundle.DIFFERS


@lru_cache(maxsize=128)
def authorities(pem: bytes) -> frozenset[bytes]:
    """Subject and public key of every certificate in the text; empty when none is readable."""
    try:
        found = x509.load_pem_x509_certificates(pem)
        return frozenset(
            c.subject.public_bytes()
            + c.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            for c in found
        )
    except (ValueError, TypeError):
        return frozenset()


def target_port(service: Service, called: WebhookService) -> IntOrString:
    """The port of istiod's pods that the call ends at; 0 when the Service has no such port."""
    port = next((p for p in service.spec.ports if p.port == called.port), None)
    if port is None:
        return 0
    return port.target_port or port.port


def ready_endpoints(slices: Iterable[EndpointSlice], namespace: str, service: str) -> int:
    """Ready addresses behind a Service."""
    return sum(
        len(endpoint.addresses)
        for one in slices
        if one.namespace == namespace and one.service_name == service
        for endpoint in one.endpoints
        if endpoint.conditions.ready
    )


def closing_policy(
    policies: Iterable[NetworkPolicy], pods: Iterable[Pod], port: int = INJECT_PORT
) -> NetworkPolicy | None:
    """The NetworkPolicy that keeps the API server from a port of these pods; None: none does.

    Policies add up: one that opens the port is enough. The API server is no pod, so a rule that
    names only pods or namespaces does not admit it; an ipBlock may, and counts as open.
    """
    selecting: list[NetworkPolicy] = []
    for pod in pods:
        chosen = [
            p
            for p in policies
            if p.namespace == pod.namespace
            and ("Ingress" in p.spec.policy_types or not p.spec.policy_types)
            and label_selected(p.spec.pod_selector, pod.labels)
        ]
        if not chosen or any(_opens(rule, port) for p in chosen for rule in p.spec.ingress):
            return None
        selecting += chosen
    return selecting[0] if selecting else None


def _opens(rule: NetworkPolicyIngress, port: int) -> bool:
    ports = not rule.ports or any(
        one.protocol == "TCP"
        and (
            one.port is None
            or one.port == port
            or isinstance(one.port, str)
            or (one.end_port is not None and one.port <= port <= one.end_port)
        )
        for one in rule.ports
    )
    return ports and (not rule.from_ or any(peer.ip_block is not None for peer in rule.from_))
