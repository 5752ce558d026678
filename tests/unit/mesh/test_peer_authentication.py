"""Which mTLS mode is in force, row by row of the documented rules."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshdoctor.mesh import peer_authentication as pa
from meshdoctor.model.istio import (
    MutualTls,
    PeerAuthentication,
    PeerAuthenticationSpec,
    WorkloadSelector,
)
from meshdoctor.model.kubernetes import Meta

T0 = datetime(2026, 1, 1, tzinfo=UTC)
ROOT = "istio-system"
PAY = {"app": "pay"}


def policy(
    ns: str,
    name: str = "default",
    mode: str = "UNSET",
    *,
    labels: dict[str, str] | None = None,
    ports: dict[str, str] | None = None,
    age: int = 0,
) -> PeerAuthentication:
    return PeerAuthentication(
        kind="PeerAuthentication",
        metadata=Meta(name=name, namespace=ns, creation_timestamp=T0 - timedelta(days=age)),
        spec=PeerAuthenticationSpec(
            selector=None if labels is None else WorkloadSelector(match_labels=labels),
            mtls=MutualTls(mode=mode),
            port_level_mtls={k: MutualTls(mode=v) for k, v in (ports or {}).items()},
        ),
    )


ROWS = [
    ("no policy is PERMISSIVE", [], 8080, "PERMISSIVE", "default", ""),
    ("mesh", [policy(ROOT, mode="STRICT")], 8080, "STRICT", "mesh", f"{ROOT}/default"),
    (
        "namespace over mesh",
        [policy(ROOT, mode="STRICT"), policy("shop", mode="DISABLE")],
        8080,
        "DISABLE",
        "namespace",
        "shop/default",
    ),
    (
        "namespace UNSET inherits the mesh",
        [policy(ROOT, mode="STRICT"), policy("shop")],
        8080,
        "STRICT",
        "mesh",
        f"{ROOT}/default",
    ),
    (
        "workload over namespace",
        [policy("shop", mode="STRICT"), policy("shop", "pay", "PERMISSIVE", labels=PAY)],
        8080,
        "PERMISSIVE",
        "workload",
        "shop/pay",
    ),
    (
        "workload UNSET inherits the namespace",
        [policy("shop", mode="STRICT"), policy("shop", "pay", labels=PAY)],
        8080,
        "STRICT",
        "namespace",
        "shop/default",
    ),
    (
        "port over workload",
        [policy("shop", "pay", "STRICT", labels=PAY, ports={"8080": "DISABLE"})],
        8080,
        "DISABLE",
        "port",
        "shop/pay",
    ),
    (
        "port rule of another port",
        [policy("shop", "pay", "STRICT", labels=PAY, ports={"9090": "DISABLE"})],
        8080,
        "STRICT",
        "workload",
        "shop/pay",
    ),
    (
        "port UNSET inherits the workload",
        [policy("shop", "pay", "STRICT", labels=PAY, ports={"8080": "UNSET"})],
        8080,
        "STRICT",
        "workload",
        "shop/pay",
    ),
    (
        "port rules without a selector have no effect",
        [policy("shop", mode="STRICT", ports={"8080": "DISABLE"})],
        8080,
        "STRICT",
        "namespace",
        "shop/default",
    ),
    (
        "a selector in the root namespace is ignored",
        [policy(ROOT, "pay", "STRICT", labels=PAY)],
        8080,
        "PERMISSIVE",
        "default",
        "",
    ),
    (
        "empty matchLabels is no selector",
        [policy("shop", "all", "STRICT", labels={})],
        8080,
        "STRICT",
        "namespace",
        "shop/all",
    ),
    (
        "a selector that matches other labels",
        [policy("shop", "x", "STRICT", labels={"app": "x"})],
        8080,
        "PERMISSIVE",
        "default",
        "",
    ),
    (
        "a policy of another namespace",
        [policy("other", mode="STRICT")],
        8080,
        "PERMISSIVE",
        "default",
        "",
    ),
    (
        "the oldest of one scope wins",
        [policy("shop", "new", "STRICT"), policy("shop", "old", "DISABLE", age=5)],
        8080,
        "DISABLE",
        "namespace",
        "shop/old",
    ),
    (
        "equal age: the name decides",
        [policy("shop", "b", "STRICT"), policy("shop", "a", "PERMISSIVE")],
        8080,
        "PERMISSIVE",
        "namespace",
        "shop/a",
    ),
    (
        "port rules of a younger workload policy are lost",
        [
            policy("shop", "old", "STRICT", labels=PAY, age=5),
            policy("shop", "new", "STRICT", labels=PAY, ports={"8080": "DISABLE"}),
        ],
        8080,
        "STRICT",
        "workload",
        "shop/old",
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=[r[0] for r in ROWS])
def test_effective(row: tuple[str, list[PeerAuthentication], int, str, str, str]) -> None:
    _, policies, port, mode, level, source = row
    ruling = pa.effective(policies, "shop", PAY, ROOT, port)
    assert (ruling.mode, ruling.level) == (mode, level)
    assert ruling.source == (f"PeerAuthentication/{source}" if source else "")


def test_a_cluster_does_not_see_workload_policies() -> None:
    policies = [policy("shop", mode="DISABLE"), policy("shop", "pay", "STRICT", labels=PAY)]
    assert pa.for_cluster(policies, "shop", ROOT).mode == "DISABLE"
    assert pa.effective(policies, "shop", PAY, ROOT).mode == "STRICT"


def test_root_namespace_is_what_mesh_config_says() -> None:
    policies = [policy("mesh-root", mode="STRICT")]
    assert pa.effective(policies, "shop", PAY, "mesh-root").mode == "STRICT"
    assert pa.effective(policies, "shop", PAY, ROOT).mode == "PERMISSIVE"


def test_shadowed_by() -> None:
    old, new = policy("shop", "old", "STRICT", age=3), policy("shop", "new", "DISABLE")
    assert pa.shadowed_by(new, [new, old], ROOT) == old
    assert pa.shadowed_by(old, [new, old], ROOT) is None
    assert pa.shadowed_by(new, [new, policy("other", mode="STRICT", age=9)], ROOT) is None


def test_dead_ports() -> None:
    rule = policy("shop", "pay", labels=PAY, ports={"8000": "STRICT", "80": "STRICT"})
    assert pa.dead_ports(rule, [80, 15021]) == (8000,)


MODES = st.sampled_from(["STRICT", "PERMISSIVE", "DISABLE", "UNSET"])
POLICIES = st.lists(
    st.builds(
        policy,
        st.sampled_from([ROOT, "shop", "other"]),
        st.sampled_from("abcd"),
        MODES,
        labels=st.sampled_from([None, {}, PAY, {"app": "x"}]),
        ports=st.dictionaries(st.sampled_from(["80", "8080"]), MODES, max_size=2),
        age=st.integers(0, 3),
    ),
    max_size=6,
    unique_by=lambda p: (p.namespace, p.name),
)


@given(POLICIES, st.integers(0, 1000))
def test_the_order_of_policies_is_irrelevant(policies: list[PeerAuthentication], seed: int) -> None:
    shuffled = list(policies)
    random.Random(seed).shuffle(shuffled)
    for port in (0, 80, 8080):
        one = pa.effective(policies, "shop", PAY, ROOT, port)
        assert one == pa.effective(shuffled, "shop", PAY, ROOT, port)


@given(POLICIES)
def test_a_mode_is_always_decided(policies: list[PeerAuthentication]) -> None:
    ruling = pa.effective(policies, "shop", PAY, ROOT, 80)
    assert ruling.mode in ("STRICT", "PERMISSIVE", "DISABLE")
    assert (ruling.policy is None) == (ruling.level == "default")


@given(POLICIES)
def test_other_namespaces_never_matter(policies: list[PeerAuthentication]) -> None:
    mine = [p for p in policies if p.namespace != "other"]
    assert pa.effective(policies, "shop", PAY, ROOT, 80) == pa.effective(
        mine, "shop", PAY, ROOT, 80
    )
