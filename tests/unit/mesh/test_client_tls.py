"""Which DestinationRule is in force, and what does it say of tls?"""

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshdoctor.mesh import client_tls as c
from meshdoctor.model.istio import (
    ClientTls,
    DestinationRule,
    DestinationRuleSpec,
    PortSelector,
    PortTrafficPolicy,
    Subset,
    TrafficPolicy,
    WorkloadSelector,
)
from meshdoctor.model.kubernetes import Meta

ROOT = "istio-system"
HOST = "pay.shop.svc.cluster.local"
T0 = datetime(2026, 1, 1, tzinfo=UTC)


def tls(mode: str) -> ClientTls | None:
    return ClientTls(mode=mode) if mode else None


def policy(mode: str = "", ports: dict[int, str] | None = None) -> TrafficPolicy:
    return TrafficPolicy(
        tls=tls(mode),
        port_level_settings=tuple(
            PortTrafficPolicy(port=PortSelector(number=n), tls=tls(m))
            for n, m in (ports or {}).items()
        ),
    )


def rule(
    ns: str,
    name: str = "pay",
    mode: str | None = None,
    *,
    host: str = HOST,
    ports: dict[int, str] | None = None,
    subsets: dict[str, str] | None = None,
    export: tuple[str, ...] = (),
    labels: dict[str, str] | None = None,
    age: int = 0,
    credential: str = "",
) -> DestinationRule:
    top = None if mode is None and not ports else policy(mode or "", ports)
    if credential:
        top = TrafficPolicy(tls=ClientTls(mode=mode or "SIMPLE", credential_name=credential))
    return DestinationRule(
        kind="DestinationRule",
        metadata=Meta(name=name, namespace=ns, creation_timestamp=T0 - timedelta(days=age)),
        spec=DestinationRuleSpec(
            host=host,
            traffic_policy=top,
            subsets=tuple(
                Subset(name=n, traffic_policy=policy(m) if m else None)
                for n, m in (subsets or {}).items()
            ),
            export_to=export,
            workload_selector=None if labels is None else WorkloadSelector(match_labels=labels),
        ),
    )


def chosen(*rules: DestinationRule, ns: str = "web", proxy: str = "sidecar") -> c.Merged | None:
    client = c.Client(namespace=ns, labels={"app": "cart"}, proxy=proxy)
    return c.choose(rules, client, HOST, "shop", ROOT)


def ruling(
    *rules: DestinationRule,
    ns: str = "web",
    port: int = 8080,
    subset: str = "",
    proxy: str = "sidecar",
) -> c.ClientTlsRuling:
    client = c.Client(namespace=ns, labels={"app": "cart"}, proxy=proxy)
    return c.ruling(chosen(*rules, ns=ns, proxy=proxy), client, port, subset)


LOOKUP: list[tuple[str, list[DestinationRule], str, str]] = [
    ("none", [], "web", ""),
    ("service namespace", [rule("shop")], "web", "shop/pay"),
    ("client namespace first", [rule("shop"), rule("web", "mine")], "web", "web/mine"),
    (
        "even a wildcard of the client's namespace",
        [rule("shop"), rule("web", "all", host="*.local")],
        "web",
        "web/all",
    ),
    ("root last", [rule(ROOT, "all", host="*.local")], "web", f"{ROOT}/all"),
    ("service before root", [rule("shop"), rule(ROOT, "all")], "web", "shop/pay"),
    (
        "a client in the root namespace skips its own public rules",
        [rule("shop"), rule(ROOT, "all", host="*.local")],
        ROOT,
        "shop/pay",
    ),
    (
        "but not its private ones",
        [rule("shop"), rule(ROOT, "own", host="*.local", export=(".",))],
        ROOT,
        f"{ROOT}/own",
    ),
    ("a private root rule is for root only", [rule(ROOT, "own", export=(".",))], "web", ""),
    ("private in the service namespace", [rule("shop", export=(".",))], "web", ""),
    ("private, from inside", [rule("shop", export=(".",))], "shop", "shop/pay"),
    ("exported by name", [rule("shop", export=("web",))], "web", "shop/pay"),
    ("exported to others", [rule("shop", export=("x",))], "web", ""),
    (
        "hidden in the service namespace: root is asked",
        [rule("shop", export=("x",)), rule(ROOT, "all", host="*.local")],
        "web",
        f"{ROOT}/all",
    ),
    ("a third namespace is never asked", [rule("third")], "web", ""),
    ("a short host takes the rule's namespace", [rule("shop", host="pay")], "web", "shop/pay"),
    ("a short host elsewhere is another host", [rule("web", host="pay")], "web", ""),
    ("svc.ns stays literal", [rule("shop", host="pay.shop")], "web", ""),
    (
        "exact before wildcard",
        [rule("shop", "all", host="*.shop.svc.cluster.local", age=9), rule("shop")],
        "web",
        "shop/pay",
    ),
    (
        "longest wildcard",
        [rule("shop", "a", host="*.local"), rule("shop", "b", host="*.svc.cluster.local")],
        "web",
        "shop/b",
    ),
    (
        "oldest names a merge",
        [rule("shop", "new"), rule("shop", "old", age=2)],
        "web",
        "shop/old",
    ),
    (
        "a selector that matches the client beats one without",
        [rule("web", "all"), rule("web", "mine", labels={"app": "cart"})],
        "web",
        "web/mine",
    ),
    (
        "a selector that does not match",
        [rule("web", "all"), rule("web", "x", labels={"app": "x"})],
        "web",
        "web/all",
    ),
    (
        "a rule with selector stays in its namespace",
        [rule("shop", labels={"app": "cart"})],
        "web",
        "",
    ),
]


@pytest.mark.parametrize("row", LOOKUP, ids=[r[0] for r in LOOKUP])
def test_lookup(row: tuple[str, list[DestinationRule], str, str]) -> None:
    _, rules, ns, name = row
    found = chosen(*rules, ns=ns)
    assert (f"{found.first.namespace}/{found.first.name}" if found else "") == name


def test_a_rule_without_tls_leaves_auto_mtls_on() -> None:
    assert ruling(rule("shop", mode="")).mode == ""
    assert ruling(rule("shop")).mode == ""


def test_port_entries_replace_all_that_stands_above() -> None:
    found = ruling(rule("shop", mode="ISTIO_MUTUAL", ports={8080: ""}))
    assert found.mode == "" and found.port_reset and found.source == "DestinationRule/shop/pay"
    assert ruling(rule("shop", mode="ISTIO_MUTUAL", ports={9090: ""})).mode == "ISTIO_MUTUAL"
    assert ruling(rule("shop", mode="SIMPLE", ports={8080: "DISABLE"})).level == "port"


def test_endpoints_are_marked_by_the_mode_above_an_entry_without_tls() -> None:
    # seen in the lab: the cluster falls back to auto mTLS, and its endpoints speak plaintext
    assert ruling(rule("shop", mode="SIMPLE", ports={8080: ""})).endpoint_mode == "SIMPLE"
    assert ruling(rule("shop", mode="SIMPLE", ports={8080: "DISABLE"})).endpoint_mode == "DISABLE"
    assert ruling(rule("shop", mode="", ports={8080: ""})).endpoint_mode == ""
    assert ruling(rule("shop")).endpoint_mode == ""


def test_subsets_merge_over_the_top() -> None:
    base = rule("shop", mode="ISTIO_MUTUAL", subsets={"v1": "", "v2": "DISABLE"})
    assert ruling(base, subset="v1").mode == "ISTIO_MUTUAL"
    assert ruling(base, subset="v2").mode == "DISABLE"
    assert ruling(base, subset="v2").level == "subset"
    assert ruling(base, subset="").mode == "ISTIO_MUTUAL"
    port = rule("shop", mode="", ports={8080: "SIMPLE"}, subsets={"v1": "DISABLE"})
    assert ruling(port, subset="v1").mode == "DISABLE"


def test_merging_rules_of_one_host() -> None:
    old = rule("shop", "old", age=3, subsets={"v1": "DISABLE"})
    new = rule("shop", "new", mode="ISTIO_MUTUAL", subsets={"v1": "SIMPLE", "v2": "SIMPLE"})
    assert ruling(old, new).mode == "ISTIO_MUTUAL"
    assert ruling(old, new).source == "DestinationRule/shop/new"
    assert ruling(old, new, subset="v1").mode == "DISABLE"
    assert ruling(old, new, subset="v2").source == "DestinationRule/shop/new"
    kept = rule("shop", "kept", mode="DISABLE", age=9)
    assert ruling(kept, new).mode == "DISABLE"


def test_rules_with_other_exports_do_not_merge() -> None:
    old = rule("shop", "old", mode="DISABLE", age=3, export=("web",))
    new = rule("shop", "new", mode="SIMPLE", export=("*",))
    assert ruling(old, new).mode == "SIMPLE"
    assert ruling(old, new, ns="x").mode == "SIMPLE"


def test_credential_name_is_ignored_on_a_sidecar() -> None:
    bare = rule("web", mode="MUTUAL", credential="cert")
    assert ruling(bare).credential_ignored
    assert not ruling(bare, proxy="router").credential_ignored
    selecting = rule("web", mode="MUTUAL", credential="cert", labels={"app": "cart"})
    assert not ruling(selecting).credential_ignored
    assert not ruling(rule("web", mode="SIMPLE", credential="configmap://ca")).credential_ignored


RULES = st.lists(
    st.builds(
        rule,
        st.sampled_from(["shop", "web", ROOT, "third"]),
        st.sampled_from("abcd"),
        st.sampled_from([None, "", "DISABLE", "ISTIO_MUTUAL", "SIMPLE"]),
        host=st.sampled_from([HOST, "pay", "*.local", "*"]),
        export=st.sampled_from([(), (".",), ("*",), ("web",)]),
        labels=st.sampled_from([None, {"app": "cart"}, {"app": "x"}]),
        age=st.integers(0, 2),
    ),
    max_size=6,
    unique_by=lambda r: (r.namespace, r.name),
)


@given(RULES, st.integers(0, 999), st.sampled_from(["web", "shop", ROOT]))
def test_the_order_of_rules_is_irrelevant(rules: list[DestinationRule], seed: int, ns: str) -> None:
    shuffled = list(rules)
    random.Random(seed).shuffle(shuffled)
    assert ruling(*rules, ns=ns) == ruling(*shuffled, ns=ns)


@given(RULES)
def test_a_third_namespace_never_matters(rules: list[DestinationRule]) -> None:
    mine = [r for r in rules if r.namespace != "third"]
    assert ruling(*rules) == ruling(*mine)


def test_a_rule_that_selects_others_still_ends_the_search() -> None:
    # seen in the lab: the client's namespace has a rule for the host, for another workload
    others = rule("web", "mine", mode="DISABLE", labels={"app": "other"})
    client = c.Client(namespace="web", labels={"app": "cart"})
    found = c.choose([others, rule("shop", mode="ISTIO_MUTUAL")], client, HOST, "shop", ROOT)
    assert found is None
    both = [others, rule("web", "all", mode="SIMPLE"), rule("shop", mode="ISTIO_MUTUAL")]
    merged = c.choose(both, client, HOST, "shop", ROOT)
    assert merged is not None and merged.first.name == "all"
