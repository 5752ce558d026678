"""Does a sidecar know a host that is no Service?"""

import msgspec
import pytest

from meshdoctor.mesh.external_host import host_of, judge, visible
from meshdoctor.mesh.visibility import Scope
from meshdoctor.model.istio import MeshConfig, ServiceEntry, ServiceEntrySpec, Sidecar, SidecarSpec
from meshdoctor.model.kubernetes import Meta

META = "metadata.google.internal"


def entry(ns: str, **more: object) -> ServiceEntry:
    spec = {"hosts": [META], "ports": [{"number": 80, "protocol": "HTTP"}], **more}
    meta = Meta(name="meta", namespace=ns)
    return ServiceEntry(
        kind="ServiceEntry", metadata=meta, spec=msgspec.convert(spec, ServiceEntrySpec)
    )


def importing(*hosts: str) -> Scope:
    spec = msgspec.convert({"egress": [{"hosts": list(hosts)}]}, SidecarSpec)
    sidecar = Sidecar(kind="Sidecar", metadata=Meta(name="default", namespace="shop"), spec=spec)
    return Scope(namespace="shop", sidecar=sidecar, level="namespace")


ALL = Scope(namespace="shop")
OWN = importing("./*")


@pytest.mark.parametrize(
    ("entries", "host", "port", "in_force", "why"),
    [
        ([], META, 80, ALL, "unregistered"),
        ([entry("istio-system")], "other.example", 80, ALL, "unregistered"),
        ([entry("istio-system")], META, 80, ALL, ""),
        ([entry("istio-system")], META, 0, ALL, ""),
        ([entry("istio-system")], META, 443, ALL, "port"),
        ([entry("istio-system")], META, 80, OWN, "sidecar"),
        ([entry("shop")], META, 80, OWN, ""),
        ([entry("istio-system")], META, 80, importing("./*", "istio-system/*"), ""),
        ([entry("web", exportTo=["."])], META, 80, ALL, "exportTo"),
        ([entry("web", exportTo=["."]), entry("shop")], META, 80, OWN, ""),
        ([entry("web", hosts=["*.google.internal"])], META, 80, ALL, ""),
        ([entry("web", addresses=["169.254.169.254"])], "169.254.169.254", 80, ALL, ""),
        ([entry("web", addresses=["169.254.0.0/16"])], "169.254.169.254", 80, ALL, ""),
        ([entry("web", addresses=["10.0.0.0/8"])], "169.254.169.254", 80, ALL, "unregistered"),
        ([entry("web", addresses=["10.0.0.0/8"])], "other.example", 80, ALL, "unregistered"),
    ],
)
def test_known(
    entries: list[ServiceEntry], host: str, port: int, in_force: Scope, why: str
) -> None:
    assert judge(entries, host, port, in_force, MeshConfig()).why == why


def test_the_entrys_own_name_of_the_host() -> None:
    assert host_of(entry("web", hosts=["x.example", "*.google.internal"]), META) == (
        "*.google.internal"
    )
    assert host_of(entry("web", addresses=["169.254.0.0/16"]), "169.254.169.254") == META


def test_what_a_sidecar_sees() -> None:
    far, near, hidden = entry("infra"), entry("shop"), entry("vault", exportTo=["."])
    mesh = MeshConfig()
    assert visible([far, near, hidden], ALL, mesh) == (far, near)
    assert visible([far, near, hidden], OWN, mesh) == (near,)
