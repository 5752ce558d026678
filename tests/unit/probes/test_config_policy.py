"""Does a PeerAuthentication, or a DestinationRule for every host, do what it was written for?"""

import pytest

from meshdoctor.mesh.policy_effect import reads_alike
from meshdoctor.model.subjects import ConfigSubject
from meshdoctor.probes.config_catch_all import (
    CatchAllRule,
    CatchAllSeen,
    catch_all_rule,
    catch_all_seen,
)
from meshdoctor.probes.config_policy import (
    PolicyEffect,
    PolicySeen,
    policy_effect_probe,
    policy_seen,
)
from tests.unit.world import world

PODS = """
apiVersion: v1
kind: Pod
metadata:
  name: pay-1
  namespace: shop
  labels: {app: pay, security.istio.io/tlsMode: istio}
spec:
  containers:
  - {name: app, ports: [{containerPort: 8080}]}
  - {name: istio-proxy, args: [proxy, sidecar]}
status: {phase: Running, podIP: 10.0.1.2}
---
apiVersion: v1
kind: Service
metadata: {name: pay, namespace: shop}
spec:
  selector: {app: pay}
  ports: [{name: http, port: 80, targetPort: 8080}]
"""


def policy(spec: str, *, name: str = "pay", ns: str = "shop", day: int = 2) -> str:
    return f"""
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: {name}, namespace: {ns}, creationTimestamp: "2026-01-0{day}T00:00:00Z"}}
spec: {spec}
"""


PAY = "selector: {matchLabels: {app: pay}}"


def effect(objects: str, *, ns: str = "shop", name: str = "pay") -> PolicyEffect:
    subject = ConfigSubject("PeerAuthentication", ns, name)
    found = policy_effect_probe.run(world(PODS + objects), subject)
    assert isinstance(found, PolicyEffect)
    return found


def test_a_port_key_must_be_the_workloads_own() -> None:
    by_service = policy("{" + PAY + ', portLevelMtls: {"80": {mode: STRICT}}}')
    f = effect(by_service)
    assert (f.dead_port, f.meant_port, f.in_force) == (80, 8080, "PERMISSIVE")
    assert f.service == "Service/shop/pay"
    assert effect(by_service.replace('"80"', '"8080"')).dead_port == 0
    unknown = effect(by_service.replace('"80"', '"9999"'))
    assert unknown.dead_port == 0, "the application may listen there undeclared"


def test_selectors() -> None:
    assert effect(policy("{" + PAY + ", mtls: {mode: STRICT}}")).selected == 1
    none = effect(policy("{selector: {matchLabels: {app: pya}}, mtls: {mode: STRICT}}"))
    assert (none.selected, none.workloads, none.scope) == (0, 1, "workload")
    root = effect(policy("{" + PAY + "}", ns="istio-system"), ns="istio-system")
    assert root.in_root and root.scope == ""


def test_an_older_policy_with_other_words() -> None:
    old = policy("{mtls: {mode: DISABLE}}", name="old", day=1)
    new = policy("{mtls: {mode: STRICT}}")
    assert effect(old + new).older == "PeerAuthentication/shop/old"
    assert effect(old + new, name="old").older == ""
    assert effect(old.replace("DISABLE", "STRICT") + new).older == ""


def test_workload_policies_that_overlap() -> None:
    old = policy("{selector: {matchLabels: {app: pay, security.istio.io/tlsMode: istio}}}", day=1)
    new = policy("{" + PAY + ", mtls: {mode: STRICT}}", name="new")
    assert effect(old + new, name="new").older == "PeerAuthentication/shop/pay"


def test_other_kinds_are_left_alone() -> None:
    found = policy_effect_probe.run(world(PODS), ConfigSubject("Sidecar", "shop", "x"))
    assert isinstance(found, PolicyEffect) and not found.is_policy


def test_plaintext_accepted_where_strict_was_meant() -> None:
    line = (
        '[2026-11-18T09:24:00.487Z] "GET /ip HTTP/1.1" 200 - via_upstream - "-" 0 31 3 2 "-" "c" '
        '"i" "pay:80" "10.0.1.2:8080" inbound|8080|| 127.0.0.6:1 10.0.1.2:8080 10.0.1.9:1 - default'
    )
    objects = PODS + policy("{" + PAY + ', portLevelMtls: {"80": {mode: STRICT}}}')
    view = world(objects, logs={("shop", "pay-1", "istio-proxy"): line})
    found = policy_seen.run(view, ConfigSubject("PeerAuthentication", "shop", "pay"))
    assert found == PolicySeen(plaintext=1, refused=0)


ALL = """
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: all, namespace: istio-system}
spec: {host: "*.local", trafficPolicy: {tls: {mode: DISABLE}}}
"""


def catch_all(host: str, mode: str, more: str = "") -> CatchAllRule:
    rule = ALL.replace("*.local", host).replace("DISABLE", mode)
    view = world(PODS + rule + more)
    found = catch_all_rule.run(view, ConfigSubject("DestinationRule", "istio-system", "all"))
    assert isinstance(found, CatchAllRule)
    return found


def test_rules_for_every_host() -> None:
    api = """
---
apiVersion: v1
kind: Service
metadata: {name: kubernetes, namespace: default}
spec: {clusterIP: 10.96.0.1, ports: [{name: https, port: 443, targetPort: 6443}]}
"""
    assert catch_all("*.local", "ISTIO_MUTUAL").victims == 0
    hit = catch_all("*.local", "ISTIO_MUTUAL", api)
    assert (hit.victims, hit.victim) == (1, "kubernetes.default.svc.cluster.local:443")
    strict = policy("{mtls: {mode: STRICT}}", name="default")
    assert catch_all("*", "DISABLE", strict).victims == 1
    assert catch_all("*", "DISABLE").victims == 0
    assert not catch_all("pay.shop.svc.cluster.local", "DISABLE", strict).catch_all


def log(kind: str) -> dict[tuple[str, str, str], str]:
    at = "[2026-11-18T09:24:00.487Z]"
    lines = {
        "refused": f'{at} "- - -" 0 NR filter_chain_not_found - "-" 0 0 0 - "-" "-" "-" "-" "-" '
        "- - 10.0.1.2:8080 10.0.1.9:1 - -",
        "accepted": f'{at} "GET / HTTP/1.1" 200 - via_upstream - "-" 0 31 3 2 "-" "c" "i" "pay:80" '
        '"10.0.1.2:8080" inbound|8080|| 127.0.0.6:1 10.0.1.2:8080 10.0.1.9:1 - default',
    }
    return {("shop", "pay-1", "istio-proxy"): lines[kind]}


def test_what_goes_without_an_ignored_policy_is_seen_in_its_log() -> None:
    old = policy("{mtls: {mode: STRICT}}", name="old", day=1)
    new = policy("{mtls: {mode: PERMISSIVE}}", name="new")
    found = effect(old + new, name="new")
    assert (found.older_name, found.in_force) == ("old", "STRICT")
    assert (found.suffering, found.pod) == ("Pod/shop/pay-1", "pay-1")
    for name, refused in (("new", 1), ("old", 0)):
        view = world(PODS + old + new, logs=log("refused"))
        seen = policy_seen.run(view, ConfigSubject("PeerAuthentication", "shop", name))
        assert seen == PolicySeen(plaintext=0, refused=refused), "a policy in force lacks nothing"


def test_a_misspelt_selector_is_laid_at_the_workload_it_was_meant_for() -> None:
    strict = policy("{mtls: {mode: STRICT}}", name="default", day=1)
    wrong = policy("{selector: {matchLabels: {app: pya}}, mtls: {mode: PERMISSIVE}}")
    found = effect(strict + wrong)
    assert found.meant == found.suffering == "Pod/shop/pay-1"
    assert (found.wrong_label, found.right_value, found.in_force) == ("app", "pay", "STRICT")
    view = world(PODS + strict + wrong, logs=log("refused"))
    seen = policy_seen.run(view, ConfigSubject("PeerAuthentication", "shop", "pay"))
    assert seen == PolicySeen(plaintext=0, refused=1)
    far = effect(strict + wrong.replace("pya", "store"))
    assert (far.meant, far.suffering, far.wrong_label) == ("", "", "")
    both = wrong.replace("{app: pya}", "{app: pya, version: v1}")
    assert effect(strict + both).meant == "", "two labels are wrong"


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("catalogue", "catalog", True),
        ("pya", "pay", True),
        ("Pay", "pay", True),
        ("pay-v1", "pay-v2", True),
        ("recomendation", "recommendation", True),
        ("pay", "cart", False),
        ("pay", "", False),
        ("a", "b", False),
        ("orders", "carts", False),
    ],
)
def test_slips_of_a_label(one: str, other: str, alike: bool) -> None:
    assert reads_alike(one, other) is reads_alike(other, one) is alike


CALLER = """
---
apiVersion: v1
kind: Pod
metadata: {name: cart-1, namespace: web, labels: {app: cart}}
spec: {containers: [{name: istio-proxy, args: [proxy, sidecar]}]}
status: {phase: Running, podIP: 10.0.1.9}
"""
FAILED = (
    '[2026-11-18T09:24:00.487Z] "GET / HTTP/1.1" 503 UC '
    'upstream_reset_before_response_started{connection_termination} - "-" 0 95 3 - "-" "c" "i" '
    '"pay:80" "10.0.1.2:8080" outbound|80||pay.shop.svc.cluster.local 10.0.1.9:1 10.96.0.5:80 '
    "10.0.1.9:2 - default"
)


def test_a_rule_for_every_host_is_seen_in_callers_logs() -> None:
    strict = policy("{mtls: {mode: STRICT}}", name="default")
    hit = catch_all("*.local", "DISABLE", strict + CALLER)
    assert (hit.victim_service, hit.victim_port) == ("Service/shop/pay", 80)
    assert hit.path == "/spec/trafficPolicy" and hit.client == "pod/pay-1.shop"
    subject = ConfigSubject("DestinationRule", "istio-system", "all")
    objects = PODS + ALL + strict + CALLER
    for text, failures in ((FAILED, 1), (FAILED.replace("503 UC", "503 -"), 0)):
        view = world(
            objects,
            logs={("web", "cart-1", "istio-proxy"): text, ("shop", "pay-1", "istio-proxy"): ""},
        )
        assert catch_all_seen.run(view, subject) == CatchAllSeen(failures=failures)
    other = world(objects, logs={("web", "cart-1", "istio-proxy"): FAILED})
    assert catch_all_seen.run(other, ConfigSubject("Sidecar", "web", "x")) == CatchAllSeen(
        failures=0
    )
