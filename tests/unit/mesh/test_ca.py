"""Who signs a proxy's certificates, told from its pod?"""

import pytest

from meshdoctor.mesh import ca
from meshdoctor.model.kubernetes import (
    Container,
    Csi,
    EnvVar,
    Pod,
    PodSpec,
    Projected,
    Projection,
    TokenProjection,
    Volume,
)

TOKEN = Projection(service_account_token=TokenProjection(path="istio-token", audience="istio-ca"))
OTHER = Projection(service_account_token=TokenProjection(path="token", audience="api"))
SPIRE = Volume(name="workload-socket", csi=Csi(driver="csi.spiffe.io"))


def pod(address: str | None, *volumes: Volume, name: str = "istio-proxy") -> Pod:
    env = (EnvVar(name="CA_ADDR", value=address),) if address is not None else ()
    proxy = Container(name=name, env=(EnvVar(name="X", value="1"), *env))
    return Pod(spec=PodSpec(containers=(proxy,), volumes=volumes))


def projected(*sources: Projection) -> Volume:
    return Volume(name="token", projected=Projected(sources=sources))


CSR = "cert-manager-istio-csr.cert-manager.svc:443"


@pytest.mark.parametrize(
    ("found", "expected", "kind"),
    [
        (pod(None), ("", False, ""), ca.SELF_SIGNED),
        (
            pod("istiod.istio-system.svc:15012", projected(OTHER, TOKEN)),
            ("istiod.istio-system.svc:15012", False, "istio-ca"),
            ca.SELF_SIGNED,
        ),
        (pod(CSR), (CSR, True, ""), ca.ISTIO_CSR),
        (pod("ca.example.com:443"), ("ca.example.com:443", True, ""), ca.OTHER),
        (pod(None, Volume(name="x"), SPIRE), ("", True, ""), ca.SPIRE),
        (pod(CSR, SPIRE), (CSR, True, ""), ca.SPIRE),
        (pod(None, projected(OTHER), projected(TOKEN)), ("", False, "istio-ca"), ca.SELF_SIGNED),
    ],
)
def test_what_a_pod_says_of_its_ca(found: Pod, expected: tuple[str, bool, str], kind: str) -> None:
    told = ca.signing(found)
    assert (told.address, told.external, told.audience) == expected
    assert ca.kind([], [found], False) == kind


def test_of_two_values_of_a_variable_the_later_one_counts() -> None:
    """As istiod writes CA_ADDR, and as proxyMetadata of a pod's annotation adds it again."""
    env = (EnvVar(name="CA_ADDR", value="istiod.istio-system.svc:15012"), EnvVar(name="X"))
    proxy = Container(name="istio-proxy", env=(*env, EnvVar(name="CA_ADDR", value=CSR)))
    told = ca.signing(Pod(spec=PodSpec(containers=(proxy,))))
    assert (told.address, told.external) == (CSR, True)


def test_a_pod_without_proxy_says_nothing_of_the_mesh() -> None:
    assert ca.kind([], [pod(CSR, SPIRE, name="app")], True) == ca.PLUGGED_IN
