"""Do CertificateSigningRequests of the mesh wait, or were they denied?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.text import clean
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.kubernetes import CertificateSigningRequest
from meshdoctor.model.subjects import MeshSubject, SubjectKind
from meshdoctor.probes.view import View, probe


class SigningRequests(Struct, frozen=True, kw_only=True):
    """Requests that istiod made for proxies: only with a Kubernetes signer as CA."""

    pending: Annotated[Fact[int], "neither approved nor denied", OBSERVED]
    denied: Annotated[Fact[int], "denied or failed", OBSERVED]
    first: Annotated[Fact[Ref], "the first of them by name; empty: none"]
    first_name: Annotated[Fact[str], "its name"]
    signer: Annotated[Fact[str], "the signer it asks"]


@probe(
    "signing-requests",
    subject=SubjectKind.MESH,
    reads=("CertificateSigningRequest",),
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
    first = (pending + denied)[0] if pending or denied else None
    return SigningRequests(
        pending=len(pending),
        denied=len(denied),
        first=Ref(first.ref if first else ""),
        first_name=first.name if first else "",
        signer=clean(first.spec.signer_name) if first else "",
    )


def _has(request: CertificateSigningRequest, *types: str) -> bool:
    return any(c.type in types and c.status != "False" for c in request.status.conditions)
