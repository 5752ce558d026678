"""Do CertificateSigningRequests of the mesh wait, or were they denied?"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.text import clean
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.kubernetes import CertificateSigningRequest, Workload
from meshdoctor.model.subjects import MeshSubject, SubjectKind
from meshdoctor.ports import EvidenceError
from meshdoctor.probes.view import View, probe


class SigningRequests(Struct, frozen=True, kw_only=True):
    """Requests that istiod made for proxies: only with a Kubernetes signer as CA."""

    pending: Annotated[Fact[int], "neither approved nor denied", OBSERVED]
    denied: Annotated[Fact[int], "denied or failed", OBSERVED]
    unissued: Annotated[Fact[int], "approved a minute ago or more, and never signed", OBSERVED]
    first: Annotated[Fact[Ref], "the first of them by name; empty: none"]
    first_name: Annotated[Fact[str], "its name"]
    signer: Annotated[Fact[str], "the signer it asks"]
    controller: Annotated[
        Fact[Ref], "the workload that signs for it; empty: not cert-manager, or not in sight"
    ]
    lacks: Annotated[Fact[str], "why it signs no such request, in words; empty: not known"]


@probe(
    "signing-requests",
    subject=SubjectKind.MESH,
    reads=("CertificateSigningRequest", "Deployment"),
    costly=True,
)
def signing_requests(view: View, mesh: MeshSubject) -> SigningRequests:
    """Do CertificateSigningRequests of the mesh wait, or were they denied?"""
    account = f"system:serviceaccount:{view.istio_namespace}:"
    found = [
        one
        for one in view.objects("CertificateSigningRequest", CertificateSigningRequest)
        if one.spec.username.startswith(account)
    ]
    denied = [one for one in found if _has(one, "Denied", "Failed")]
    pending = [one for one in found if not _has(one, "Approved", "Denied", "Failed")]
    unissued = [one for one in found if _approved_only(one, view.now)]
    stuck = (*pending, *denied, *unissued)
    first = stuck[0] if stuck else None
    signer = _cert_manager(view, first.spec.signer_name) if first is not None else None
    return SigningRequests(
        pending=len(pending),
        denied=len(denied),
        unissued=len(unissued),
        first=Ref(first.ref if first else ""),
        first_name=first.name if first else "",
        signer=clean(first.spec.signer_name) if first else "",
        controller=Ref(signer.ref if signer else ""),
        lacks=_GATE_MISSING if signer is not None and unissued and not _signs(signer) else "",
    )


_PATIENCE = timedelta(minutes=1)
_GATE = "ExperimentalCertificateSigningRequestControllers=true"
_GATE_MISSING = f"; cert-manager signs such requests only with feature gate {_GATE}, and lacks it"
_WHERE = "cert-manager"


def _approved_only(one: CertificateSigningRequest, now: datetime) -> bool:
    """Whether nobody signed a request, though it was approved long enough ago."""
    made = one.metadata.creation_timestamp
    approved = _has(one, "Approved") and not _has(one, "Denied", "Failed")
    return approved and not one.status.certificate and made is not None and now - made > _PATIENCE


def _cert_manager(view: View, signer: str) -> Workload | None:
    """cert-manager's controller, when the signer is one of its issuers."""
    if ".cert-manager.io/" not in signer:
        return None
    try:
        known = view.objects("Deployment", Workload, _WHERE)
    except EvidenceError:
        return None
    return next((d for d in known if any("cert-manager-controller" in i for i in _images(d))), None)


def _images(one: Workload) -> Iterator[str]:
    return (container.image for container in one.spec.template.spec.containers)


def _signs(one: Workload) -> bool:
    """Whether it was started so that it signs Kubernetes' own requests (cert-manager's
    internal/controller/feature/features.go)."""
    return any(_GATE in word for c in one.spec.template.spec.containers for word in c.args)


def _has(request: CertificateSigningRequest, *types: str) -> bool:
    return any(c.type in types and c.status != "False" for c in request.status.conditions)
