"""A whole run on a small world: subjects, judgements, exit status, and what was not seen."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from meshdoctor.engine.calls import caller_of, calls_of
from meshdoctor.engine.diagnose import Options, diagnose
from meshdoctor.engine.playbook import Playbook
from meshdoctor.engine.scope import Scope, ScopeError, parse_target
from meshdoctor.engine.subjects import resolve
from meshdoctor.engine.triage import failing_edges
from meshdoctor.model.cause import Severity
from meshdoctor.model.evidence import Reason, Unavailable
from meshdoctor.model.report import Report
from meshdoctor.model.subjects import Request, SubjectKind, WorkloadSubject
from meshdoctor.ports import ForbiddenError, SourceError
from tests.unit.engine.sample import loaded
from tests.unit.world import FakeSource, world

MESH = """
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {selector: {app: cart}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata:
  name: cart-5c9d-aaaaa
  namespace: shop
  labels: {app: cart, bad: "yes", pod-template-hash: 5c9d}
  creationTimestamp: "2026-11-18T08:00:00Z"
  managedFields:
  - {manager: argocd, operation: Apply, time: "2026-11-18T09:00:00Z"}
  ownerReferences: [{kind: ReplicaSet, name: cart-5c9d, controller: true}]
spec:
  nodeName: node-1
  containers: [{name: app}, {name: istio-proxy, image: "istio/proxyv2:1.30.3"}]
status:
  podIP: 10.0.0.1
  conditions: [{type: Ready, status: "True"}]
  containerStatuses: [{name: app, restartCount: 3}]
---
apiVersion: v1
kind: Pod
metadata: {name: istiod-1, namespace: istio-system, labels: {app: istiod}}
spec: {containers: [{name: discovery, image: "istio/pilot:1.30.3-distroless"}]}
status: {podIP: 10.0.0.9}
---
apiVersion: v1
kind: Pod
metadata: {name: broken, namespace: shop}
"""
FAILED = (
    '[2026-11-18T09:59:00.000Z] "GET / HTTP/1.1" 503 UC upstream_reset - "-" 0 95 1 - "-" "curl" '
    '"id" "pay.shop:80" "10.0.0.2:80" outbound|80||pay.shop.svc.cluster.local - 10.9.0.1:80 '
    "10.0.0.1:5000 - default\n"
)
APP_LOG = {
    ("shop", "cart-5c9d-aaaaa", "app"): "error\n" * 7,
    ("shop", "cart-5c9d-aaaaa", "istio-proxy"): "",
    ("istio-system", "istiod-1", "app"): "",
}


@pytest.fixture
def book(tmp_path: Path) -> Playbook:
    return loaded(tmp_path)


def run(book: Playbook, scope: Scope | None = None, text: str = MESH, **rest: Any) -> Report:
    options = Options(
        workers=rest.pop("workers", 1), fail_on=rest.pop("fail_on", Severity.DEGRADED)
    )
    rest.setdefault("logs", APP_LOG)
    return diagnose(FakeSource(text, **rest), [book], scope or Scope(), options)


def pair(from_: str = "", to: str = "") -> Scope:
    return Scope(
        from_=parse_target(from_, "--from") if from_ else None,
        to=parse_target(to, "--to") if to else None,
        request=Request(),
    )


@pytest.mark.parametrize("workers", [1, 4])
def test_a_confirmed_cause(book: Playbook, workers: int) -> None:
    report = run(book, workers=workers)
    assert report.exit == 1
    assert not report.healthy
    first = report.findings[0]
    assert (first.code, first.group, first.subject) == ("MD9001", "main", "shop/cart")
    assert first.objects[0] == "Pod/shop/cart-5c9d-aaaaa"
    assert "restarted 3 times" in first.because
    assert first.folded == ["MD9002 The log complains (shop/cart)"]
    assert first.changes[0].by == "argocd"
    assert [t.holds for t in first.trail] == [True, True]
    assert any("kubectl" in c for t in first.trail for c in t.commands)
    assert report.versions == {"istiod": "1.30.3", "proxies": "1.30.3"}
    assert report.coverage.set_aside == ["Pod/shop/broken in test: no spec"]
    assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report


def test_fingerprints_survive_a_restart(book: Playbook) -> None:
    again = MESH.replace("cart-5c9d-aaaaa", "cart-5c9d-bbbbb")
    logs = {(a, b.replace("aaaaa", "bbbbb"), c): t for (a, b, c), t in APP_LOG.items()}
    one, two = run(book).findings[0], run(book, text=again, logs=logs).findings[0]
    assert one.objects != two.objects
    assert one.fingerprint == two.fingerprint


def test_below_the_threshold_is_no_failure(book: Playbook) -> None:
    quiet = MESH.replace('bad: "yes"', 'bad: "no"')
    assert run(book, text=quiet).exit == 1
    assert run(book, text=quiet, fail_on=Severity.PARTIAL).exit == 0


def test_healthy_only_when_everything_was_seen(book: Playbook) -> None:
    healthy = MESH.replace("restartCount: 3", "restartCount: 0")
    report = run(book, text=healthy)
    assert (report.exit, report.healthy) == (0, True)
    assert [r.code for r in report.ruled_out] == ["MD9001", "MD9002"]
    assert report.ruled_out[0].values


def test_what_may_not_be_read_is_undecided_and_never_healthy(book: Playbook) -> None:
    refused = ForbiddenError(
        "log of cart", "cannot get pods/log", "kubectl auth can-i get pods/log"
    )
    quiet = MESH.replace('bad: "yes"', 'bad: "no"')
    report = run(book, text=quiet, failing={"log": refused})
    assert report.exit == 3
    undecided = [f for f in report.findings if f.group == "undecided"]
    assert [f.code for f in undecided] == ["MD9002"]
    assert undecided[0].missing[0].remedy == "kubectl auth can-i get pods/log"
    assert report.unseen


def test_services_that_may_not_be_read_leave_the_rest_to_judge(book: Playbook) -> None:
    refused = ForbiddenError("list of Service", "forbidden", "kubectl auth can-i list")
    logs = {**APP_LOG, ("shop", "cart-5c9d-aaaaa", "istio-proxy"): FAILED}
    report = run(book, logs=logs, failing={"Service": refused})
    assert [f.code for f in report.findings if f.group == "main"] == ["MD9001"]
    assert any("Service" in one.what for one in report.unseen)


def test_pods_that_may_not_be_read_leave_the_rest_to_judge() -> None:
    refused = ForbiddenError("list of Pod", "forbidden", "kubectl auth can-i list")
    view = world(MESH, failing={"Pod": refused})
    assert failing_edges(view) == []
    found = resolve(view, Scope()).subjects
    assert [str(s) for s in found[SubjectKind.SERVICE]] == ["shop/cart"]
    assert found[SubjectKind.WORKLOAD] == ()


def test_nothing_read_is_no_report(book: Playbook) -> None:
    refused = ForbiddenError("everything", "forbidden", "")
    with pytest.raises(SourceError, match="nothing can be seen"):
        run(book, text="", failing=dict.fromkeys(("Pod", "Service", "Namespace"), refused))


@pytest.mark.parametrize("workers", [1, 4])
def test_the_deadline_cuts_judging_and_says_so(book: Playbook, workers: int) -> None:
    moments = iter(range(1000))
    options = Options(workers=workers, seconds=4)
    text = MESH.replace("restartCount: 3", "restartCount: 0")
    more = "".join(
        f"""---
apiVersion: v1
kind: Pod
metadata: {{name: other-{n}, namespace: shop}}
spec: {{containers: [{{name: app}}]}}
"""
        for n in range(20)
    )
    report = diagnose(
        FakeSource(text + more, logs=APP_LOG),
        [book],
        Scope(),
        options,
        stopwatch=lambda: float(next(moments)),
    )
    assert report.partial
    assert (report.exit, report.healthy) == (3, False)
    late = [one for one in report.unseen if one.what == "judging what was read"]
    assert late
    assert " of 22 judgements" in late[0].detail


def test_a_recording_is_as_blind_as_it_was(book: Playbook) -> None:
    class Blind(FakeSource):
        def failed_reads(self) -> Sequence[Unavailable]:
            return (Unavailable(reason=Reason.TIMEOUT, what="pods in web"),)

    healthy = MESH.replace("restartCount: 3", "restartCount: 0")
    report = diagnose(Blind(healthy, logs=APP_LOG), [book], Scope())
    assert report.exit == 3
    assert [m.what for m in report.unseen] == ["pods in web"]


@pytest.mark.parametrize(
    "name", ["shop/cart", "shop/cart-5c9d-aaaaa", "shop/cart:80", "cart.shop:80", "shop/cart:8080"]
)
def test_a_workload_is_found_by_any_of_its_names(book: Playbook, name: str) -> None:
    report = run(book, pair(to=name))
    assert report.findings[0].subject == "shop/cart"


def test_a_client_alone_is_enough(book: Playbook) -> None:
    assert run(book, pair(from_="shop/cart")).findings[0].code == "MD9001"


@pytest.mark.parametrize(
    ("from_", "to", "problem"),
    [
        ("shop/nope", "", "shop has: broken|shop has: cart"),
        ("nowhere/cart", "", "has no workloads, or does not exist"),
        ("", "shop/cart:99", "has no port 99"),
    ],
)
def test_a_name_that_is_not_there(book: Playbook, from_: str, to: str, problem: str) -> None:
    with pytest.raises(ScopeError, match=problem):
        run(book, pair(from_, to))


@pytest.mark.parametrize("from_", ["shop/nope", "nowhere/cart"])
def test_a_name_that_may_be_a_controllers_is_not_said_to_be_missing(
    book: Playbook, from_: str
) -> None:
    refused = ForbiddenError("kubectl get deployments", "forbidden", "kubectl auth can-i list")
    with pytest.raises(ScopeError, match=r"not seen: kubectl get deployments \(forbidden\)"):
        run(book, pair(from_), failing={"Deployment": refused})


def test_an_external_host_is_an_edge_without_server(book: Playbook) -> None:
    report = run(book, pair("shop/cart", "api.example.com:443"))
    assert report.coverage.subjects["edge"] == 1


def test_a_namespace_scope_judges_only_that_namespace(book: Playbook) -> None:
    assert run(book, Scope(namespaces=("istio-system",))).findings == []


def test_ctrl_c_gives_what_is_known(book: Playbook) -> None:
    class Stops(FakeSource):
        def log(self, *_: Any, **__: Any) -> Any:
            raise KeyboardInterrupt

    quiet = MESH.replace('bad: "yes"', 'bad: "no"')
    scope = pair("shop/cart", "shop/cart:80")
    report = diagnose(Stops(quiet), [book], scope, Options(workers=1))
    assert report.partial
    assert report.exit == 3


FAILING = (
    '[2026-11-18T09:24:00.951Z] "GET / HTTP/1.1" 503 UF - - "-" 0 0 1 - "-" "-" "-" "cart" '
    '"10.0.0.1:8080" outbound|80||cart.shop.svc.cluster.local 10.0.0.9:1 10.0.0.1:80 '
    "10.0.0.9:2 - -\n"
)
REFUSED = (
    '[2026-11-18T09:24:00.293Z] "- - -" 0 NR filter_chain_not_found - "-" 0 0 1 - "-" "-" "-" "-" '
    '"-" - - 10.0.0.1:8080 10.0.0.9:49174 - -\n'
)
PASSED_BY = (
    '[2026-11-18T09:24:00.951Z] "GET / HTTP/1.1" 503 UF - - "-" 0 0 1 - "-" "-" "-" "10.9.9.9" '
    '"10.9.9.9:8080" PassthroughCluster 10.0.0.9:1 10.0.0.1:80 10.0.0.9:2 - -\n'
)

TO_OTHERS = (
    '[2026-11-18T09:24:00.951Z] "GET / HTTP/1.1" 503 UH - - "-" 0 0 1 - "-" "-" "-" "ledger.pay" '
    '"-" outbound|80||ledger.pay.svc.cluster.local - 10.9.0.1:80 10.0.0.1:2 - -\n'
)
ABROAD = (
    '[2026-11-18T09:24:00.951Z] "GET / HTTP/1.1" 503 UF - - "-" 0 0 1 - "-" "-" "-" '
    '"api.example.com" "203.0.113.1:443" outbound|443||api.example.com - 203.0.113.1:443 '
    "10.0.0.1:2 - -\n"
)
OTHERS = """
---
apiVersion: v1
kind: Service
metadata: {name: ledger, namespace: pay}
spec: {clusterIP: 10.9.0.1, selector: {app: ledger}, ports: [{name: http, port: 80}]}
"""


@pytest.mark.parametrize(
    ("line", "edge"),
    [
        (FAILING, "shop/cart -> shop/cart:80"),
        (REFUSED, "istio-system/istiod-1 -> shop/cart:80"),
        (PASSED_BY, "shop/cart -> 10.9.9.9:8080"),
        (
            FAILING.replace("503 UF -", "413 - request_payload_too_large"),
            "shop/cart -> shop/cart:80",
        ),
        (FAILING.replace("503 UF -", "413 - via_upstream"), ""),
        (
            REFUSED.replace(
                '"- - -" 0 NR filter_chain_not_found', '"GET / HTTP/1.0" 426 - low_version'
            ),
            "istio-system/istiod-1 -> shop/cart:80",
        ),
        (
            REFUSED.replace(
                "0 NR filter_chain_not_found", "200 - rbac_access_denied_matched_policy[none]"
            ),
            "istio-system/istiod-1 -> shop/cart:80",
        ),
        (FAILING.replace("503 UF -", "400 - via_upstream") * 3, "shop/cart -> shop/cart:80"),
        (FAILING.replace("503 UF -", "400 - via_upstream") * 2, ""),
        (
            FAILING.replace("503 UF -", "400 - via_upstream") * 3
            + FAILING.replace("503 UF -", "200 - via_upstream"),
            "",
        ),
        (FAILING.replace('"-" "-" "-" "cart"', '"-" "kube-probe/1.36" "-" "cart"'), ""),
        ("not an access line\n", ""),
    ],
)
def test_triage_finds_the_failing_edges(line: str, edge: str) -> None:
    from meshdoctor.engine.triage import failing_edges
    from tests.unit.world import world

    view = world(MESH, logs={("shop", "cart-5c9d-aaaaa", "istio-proxy"): line})
    assert [str(e) for e in failing_edges(view)] == ([edge] if edge else [])


@pytest.mark.parametrize(
    ("name", "edge"),
    [
        ("outbound_.81_._.cart.shop.svc.cluster.local", "istio-system/istiod-1 -> shop/cart:81"),
        ("outbound_.82_.v1_.cart.shop.svc.cluster.local", "istio-system/istiod-1 -> shop/cart:82"),
        ("outbound_.81_._.gone.shop.svc.cluster.local", "istio-system/istiod-1 -> shop/cart:80"),
        ("cart.example.com", "istio-system/istiod-1 -> shop/cart:80"),
    ],
)
def test_the_callers_server_name_tells_which_port_was_meant(name: str, edge: str) -> None:
    line = REFUSED.replace(" - -\n", f" {name} -\n")
    assert line != REFUSED
    view = world(MESH, logs={("shop", "cart-5c9d-aaaaa", "istio-proxy"): line})
    assert [str(e) for e in failing_edges(view)] == [edge]


GATEWAY = """
---
apiVersion: v1
kind: Pod
metadata: {name: gate-1, namespace: shop, labels: {app: gate}}
spec: {containers: [{name: istio-proxy, image: "istio/proxyv2:1.30.3", args: [proxy, router]}]}
status: {podIP: 10.0.0.5}
"""
PASSED_ON = (
    '[2026-11-18T09:24:00Z] "GET / HTTP/1.1" 403 - via_upstream - "-" 0 19 1 - "10.0.0.9" "-" "r1" '
    '"shop.example.com" "10.0.0.1:8080" outbound|80||cart.shop.svc.cluster.local - 10.0.0.5:80 '
    "10.0.0.9:5 - -\n"
)


@pytest.mark.parametrize(("request_id", "client"), [("r1", "shop/gate-1"), ("r2", "10.0.0.9")])
def test_a_request_that_a_gateway_passed_on_is_the_gateways_call(
    request_id: str, client: str
) -> None:
    """The address that the server logs is that of the gateway's own caller, without a port."""
    refused = (
        '[2026-11-18T09:24:00Z] "GET / HTTP/1.1" 403 - rbac_access_denied_matched_policy[none] - '
        f'"-" 0 19 0 - "10.0.0.9" "-" "{request_id}" "shop.example.com" "-" inbound|8080|| - '
        "10.0.0.1:8080 10.0.0.9:0 outbound_.80_._.cart.shop.svc.cluster.local default\n"
    )
    logs = {
        ("shop", "cart-5c9d-aaaaa", "istio-proxy"): refused,
        ("shop", "gate-1", "istio-proxy"): PASSED_ON,
    }
    found = {str(edge) for edge in failing_edges(world(MESH + GATEWAY, logs=logs))}
    assert found == {"shop/gate-1 -> shop/cart:80", f"{client} -> shop/cart:80"}


def test_a_call_to_a_service_under_a_host_that_the_proxy_does_not_know() -> None:
    line = (
        '[2026-11-18T09:24:00Z] "GET / HTTP/1.1" 503 UC x - "-" 0 95 12 - "-" "-" "-" '
        '"pay.example.com" "172.20.0.9:80" PassthroughCluster 10.0.0.1:5 172.20.0.9:80 10.0.0.1:4 '
        "- allow_any\n"
    )
    mesh = MESH.replace(
        "spec: {selector: {app: cart},", "spec: {clusterIP: 172.20.0.9, selector: {app: cart},"
    )
    view = world(mesh, logs={("shop", "cart-5c9d-aaaaa", "istio-proxy"): line})
    (edge,) = failing_edges(view)
    assert (edge.host, edge.port) == ("pay.example.com", 80)
    assert (str(edge.service), str(edge.server)) == ("shop/cart", "shop/cart")
    empty = mesh.replace("selector: {app: cart},", "selector: {app: nobody},")
    (lost,) = failing_edges(world(empty, logs={("shop", "cart-5c9d-aaaaa", "istio-proxy"): line}))
    assert (str(lost.service), lost.server) == ("shop/cart", None)
    (outside,) = failing_edges(world(MESH, logs={("shop", "cart-5c9d-aaaaa", "istio-proxy"): line}))
    assert (outside.host, outside.service, outside.server) == ("pay.example.com", None, None)


EGRESS = """
---
apiVersion: v1
kind: Service
metadata: {name: egress, namespace: shop}
spec: {selector: {app: egress}, ports: [{port: 443}]}
---
apiVersion: v1
kind: Pod
metadata: {name: egress-1, namespace: shop, labels: {app: egress}}
spec: {containers: [{name: istio-proxy, image: "istio/proxyv2:1.30.3", args: [proxy, ROLE]}]}
status: {podIP: 10.0.0.6}
"""


@pytest.mark.parametrize(
    ("host", "role", "edges"),
    [
        ("api.example.com", "router", ["api.example.com:80", "shop/egress:443"]),
        ("api.example.com", "sidecar", ["shop/egress:443"]),
        ("egress", "router", ["shop/egress:443"]),
        ("cart.shop", "router", ["shop/egress:443"]),
        ("203.0.113.1", "router", ["shop/egress:443"]),
        ("-", "router", ["shop/egress:443"]),
    ],
)
def test_a_call_that_a_route_leads_through_a_gateway_is_one_of_its_host(
    host: str, role: str, edges: list[str]
) -> None:
    line = (
        f'[2026-11-18T09:24:00Z] "GET / HTTP/1.1" 503 UC x - "-" 0 95 12 - "-" "-" "-" "{host}" '
        '"10.0.0.6:8443" outbound|443||egress.shop.svc.cluster.local 10.0.0.1:5 198.51.100.7:80 '
        "10.0.0.1:4 - -\n"
    )
    logs = {("shop", "cart-5c9d-aaaaa", "istio-proxy"): line}
    found = failing_edges(world(MESH + EGRESS.replace("ROLE", role), logs=logs))
    assert [str(e) for e in found] == [f"shop/cart -> {edge}" for edge in edges]


def test_a_recording_may_hold_the_log_of_any_pod_of_a_workload() -> None:
    second = MESH[MESH.index("kind: Pod") - len("apiVersion: v1\n") :].replace("aaaaa", "zzzzz")
    edges = [
        [str(e) for e in failing_edges(world(MESH + "---\n" + second, logs={key: FAILING}))]
        for key in (("shop", f"cart-5c9d-{end}", "istio-proxy") for end in ("aaaaa", "zzzzz"))
    ]
    assert edges[0] == edges[1] != []


def test_of_a_caller_alone_the_calls_seen_failing_are_judged() -> None:
    mesh = MESH + OTHERS
    logs = {("shop", "cart-5c9d-aaaaa", "istio-proxy"): TO_OTHERS + ABROAD}
    view = world(mesh, logs=logs)
    caller = caller_of(view, pair("shop/cart"))
    assert [str(e) for e in failing_edges(view, caller)] == [
        "shop/cart -> pay/ledger:80",
        "shop/cart -> api.example.com:443",
    ]
    assert failing_edges(view, WorkloadSubject("istio-system", "istiod")) == []
    assert caller_of(view, pair("shop/cart", "pay/ledger:80")) is None


@pytest.mark.parametrize(
    ("to", "line", "edges"),
    [
        ("shop/cart:80", REFUSED, ["istio-system/istiod-1 -> shop/cart:80"]),
        ("shop/cart", REFUSED, ["istio-system/istiod-1 -> shop/cart:80"]),
        ("shop/cart:80", REFUSED.replace("10.0.0.9:", "10.9.9.9:"), ["10.9.9.9 -> shop/cart:80"]),
        ("shop/cart:80", TO_OTHERS, ["? -> shop/cart:80"]),
        ("shop/cart:80", "", ["? -> shop/cart:80"]),
    ],
)
def test_of_what_is_called_alone_the_calls_seen_failing_are_judged(
    to: str, line: str, edges: list[str]
) -> None:
    logs = {("shop", "cart-5c9d-aaaaa", "istio-proxy"): line}
    view = world(MESH + OTHERS, logs=logs)
    found = resolve(view, pair(to=to), calls_of(view, pair(to=to), failing_edges(view)))
    assert [str(e) for e in found.edges] == edges


def test_the_other_end_of_a_failing_call_comes_into_scope(book: Playbook) -> None:
    logs = {**APP_LOG, ("shop", "cart-5c9d-aaaaa", "istio-proxy"): TO_OTHERS}
    report = run(book, pair("shop/cart"), text=MESH + OTHERS, logs=logs)
    assert report.coverage.subjects["edge"] == 1
    assert report.coverage.subjects["service"] == 2
    assert "edge" not in run(book, pair("shop/cart")).coverage.subjects


def test_a_symptom_that_nothing_explains_is_reported(book: Playbook) -> None:
    healthy = MESH.replace("restartCount: 3", "restartCount: 0")
    logs = {**APP_LOG, ("shop", "cart-5c9d-aaaaa", "istio-proxy"): FAILING * 3}
    report = run(book, text=healthy, logs=logs)
    (one,) = report.symptoms
    assert (one.text, one.count, one.first) == ("503 UF", 3, "2026-11-18T09:24:00Z")
    assert one.explained_by == []
    assert "--to shop/cart:80" in one.look_next
    assert report.exit == 3, "an unexplained failure is never healthy"
    assert [note.object for note in report.changes] == []


CHANGED = """
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: NAME
  namespace: shop
  creationTimestamp: "2026-10-01T00:00:00Z"
  managedFields: [{manager: kubectl-edit, operation: Update, time: "TIME"}]
spec: {hosts: [cart]}
"""


@pytest.mark.parametrize(
    ("times", "found"),
    [
        (["2026-11-18T09:20:00Z"], ["r0"]),
        (["2026-11-17T09:20:00Z", "2026-11-18T09:20:00Z"], ["r1", "r0"]),
        (["2026-11-10T09:20:00Z"], []),  # no news
        (["2026-11-19T09:20:00Z"], []),  # after what was seen
        ([f"2026-11-18T08:{n:02}:00Z" for n in range(12)], [f"r{n}" for n in range(11, 1, -1)]),
    ],
)
def test_what_changed_lately_where_no_cause_is_known(
    book: Playbook, times: list[str], found: list[str]
) -> None:
    healthy = MESH.replace("restartCount: 3", "restartCount: 0")
    more = "".join(
        CHANGED.replace("NAME", f"r{n}").replace("TIME", at) for n, at in enumerate(times)
    )
    logs = {**APP_LOG, ("shop", "cart-5c9d-aaaaa", "istio-proxy"): FAILING * 3}
    report = run(book, text=healthy + more, logs=logs)
    assert [note.object.rpartition("/")[2] for note in report.changes] == found
    assert run(book, text=healthy + more).changes == [], "nothing fails, so nobody asks"


def test_a_symptom_names_the_finding_that_explains_it(book: Playbook) -> None:
    logs = {**APP_LOG, ("shop", "cart-5c9d-aaaaa", "istio-proxy"): FAILING}
    report = run(book, pair(to="shop/cart:80"), logs=logs)
    assert report.symptoms[0].explained_by == ["MD9001", "MD9002"]
    assert report.symptoms[0].look_next == ""


WORKS = FAILING.replace("503 UF", "200 -")


@pytest.mark.parametrize(
    ("log", "over"),
    [
        (FAILING * 3 + WORKS * 4, True),
        (FAILING * 3 + WORKS * 2, False),
        ((FAILING + WORKS * 4) * 5, False),
        ((FAILING + WORKS) * 5 + WORKS * 9, True),
    ],
)
def test_a_symptom_is_over_when_later_traffic_went_through(
    book: Playbook, log: str, over: bool
) -> None:
    healthy = MESH.replace("restartCount: 3", "restartCount: 0")
    report = run(
        book, text=healthy, logs={**APP_LOG, ("shop", "cart-5c9d-aaaaa", "istio-proxy"): log}
    )
    assert [s.over for s in report.symptoms] == [over]
    assert report.exit == (0 if over else 3)


def test_a_report_says_how_many_access_logs_it_is_from(book: Playbook) -> None:
    healthy = MESH.replace("restartCount: 3", "restartCount: 0")
    quiet = {("shop", "cart-5c9d-aaaaa", "istio-proxy"): "info\n"}
    report = run(book, text=healthy, logs={**APP_LOG, **quiet})
    assert report.coverage.proxies >= report.coverage.logs == 1


@pytest.mark.parametrize("workers", [1, 4])
def test_of_many_odd_subjects_a_costly_probe_asks_only_some(book: Playbook, workers: int) -> None:
    """Three workloads need the log; two are asked, and of the third that is said."""
    more = "".join(
        f"---\napiVersion: v1\nkind: Pod\nmetadata: {{name: x{n}, namespace: shop}}\n"
        "spec: {containers: [{name: app}]}\nstatus: {containerStatuses: [{restartCount: 3}]}\n"
        for n in range(3)
    )
    text = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n" + more
    quiet = {("shop", f"x{n}", "app"): "" for n in range(3)}
    options = Options(workers=workers, most=2)

    def judged(scope: Scope) -> Report:
        return diagnose(FakeSource(text, logs=quiet), [book], scope, options)

    report = judged(Scope())
    (left,) = [one for one in report.unseen if one.reason == Reason.NOT_ASKED]
    assert left.what == "sample-log of shop/x2" and "some of them" in left.detail
    assert report.exit == 3 and not report.healthy
    everything = judged(Scope(namespaces=("shop",)))
    assert not [one for one in everything.unseen if one.reason == Reason.NOT_ASKED]
