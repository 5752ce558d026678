"""Every read happens once; a failure is remembered, and never becomes an empty answer."""

from collections.abc import Sequence
from typing import Any

import pytest

from meshdoctor.engine.collect import Collector
from meshdoctor.engine.evidence import Evidence, RecordingView
from meshdoctor.model.istio import Gateway, VirtualService
from meshdoctor.model.kubernetes import Namespace, Pod
from meshdoctor.model.subjects import Request, WorkloadSubject
from meshdoctor.ports import Answer, ForbiddenError, NotServedError, SourceError, Text
from meshdoctor.probes.propagation_reading import sync_table
from tests.unit.engine.sample import loaded
from tests.unit.world import FakeSource

OBJECTS = """
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Pod
metadata: {name: cart-1, namespace: shop, labels: {bad: "yes"}}
spec: {containers: [{name: app}]}
status: {containerStatuses: [{name: app, restartCount: 3}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-1, namespace: other}
spec: {containers: [{name: app}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: route, namespace: third}
spec: {hosts: [a]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: rival, namespace: third}
spec: {selector: {istio: ingressgateway}}
"""


class Counting(FakeSource):
    """Counts list calls."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.calls: list[tuple[str, str | None]] = []

    def list(self, kind: str, namespace: str | None) -> Answer:
        self.calls.append((kind, namespace))
        return super().list(kind, namespace)


def test_a_list_is_read_once_and_filtered() -> None:
    source = Counting(OBJECTS)
    view = RecordingView(Evidence(source, Request(), None))
    assert [p.name for p in view.objects("Pod", Pod)] == ["web-1", "cart-1"]
    assert [p.name for p in view.objects("Pod", Pod, "shop")] == ["cart-1"]
    assert view.object("Pod", Pod, "shop", "cart-1") is not None
    assert view.object("Pod", Pod, "shop", "nope") is None
    assert source.calls == [("Pod", None)]
    assert any("cart-1" in c for c in view.commands)


def test_a_pair_reads_its_namespaces_only_but_routes_and_gateways_of_all() -> None:
    source = Counting(OBJECTS)
    view = RecordingView(Evidence(source, Request(), ("shop",)))
    assert [p.name for p in view.objects("Pod", Pod)] == ["cart-1"]
    assert [v.name for v in view.objects("VirtualService", VirtualService)] == ["route"]
    assert view.object("VirtualService", VirtualService, "third", "route") is not None
    assert [g.name for g in view.objects("Gateway", Gateway)] == ["rival"]
    assert view.object("Namespace", Namespace, "", "shop") is not None
    assert ("Pod", None) not in source.calls
    assert ("VirtualService", None) in source.calls


def test_a_single_object_is_fetched_by_name_in_a_pair() -> None:
    source = Counting(OBJECTS)
    evidence = Evidence(source, Request(), ("shop",))
    view = RecordingView(evidence)
    assert view.object("Pod", Pod, "other", "web-1") is not None
    assert source.calls == []
    assert evidence.known_object("Pod/other/web-1") is not None
    assert evidence.known_object("Pod/shop/cart-1") is None, "never read, so not known"


@pytest.mark.parametrize("named_first", [True, False])
def test_what_was_read_counts_the_same_whichever_was_asked_first(named_first: bool) -> None:
    evidence = Evidence(FakeSource(OBJECTS), Request(), ("shop",))
    for named in (named_first, not named_first):
        if named:
            evidence.object("Pod", "shop", "pay-1")
        else:
            evidence.objects("Pod", "shop")
        assert evidence.counts()[0] == 1
    evidence.object("Pod", "other", "pay-1")
    assert evidence.counts()[0] == 2


def test_a_failure_is_remembered_and_reported() -> None:
    refused = ForbiddenError("pods", "cannot list pods", "kubectl auth can-i list pods")
    evidence = Evidence(FakeSource(OBJECTS, failing={"Pod": refused}), Request(), None)
    view = RecordingView(evidence)
    for _ in range(2):
        with pytest.raises(ForbiddenError):
            view.objects("Pod", Pod)
    assert [u.what for u in evidence.failures()] == ["pods"]
    assert "forbidden" in str(evidence.failures()[0])


def test_the_sync_page_is_asked_for_the_scope_and_not_kept() -> None:
    asked: list[tuple[str, ...]] = []

    class Asked(FakeSource):
        def proxy_status(self, *, namespaces: Sequence[str] = ()) -> Text:
            asked.append(tuple(namespaces))
            return Text(text="[]", command="istioctl proxy-status")

    for spaces in (None, ("bank", "shop")):
        view = RecordingView(Evidence(Asked(OBJECTS), Request(), spaces))
        sync_table(view)
        sync_table(view)
        assert view.commands == {"istioctl proxy-status": None}
        view.proxy_status()
    assert asked == [(), (), ("bank", "shop"), ("bank", "shop")]


def test_where_every_read_is_refused_it_says_what_rights_are_missing() -> None:
    refused = ForbiddenError("pods", "cannot list pods", "kubectl auth can-i list pods")
    evidence = Evidence(FakeSource("", failing={"Pod": refused}), Request(), None)
    evidence.must_see()
    with pytest.raises(ForbiddenError):
        RecordingView(evidence).objects("Pod", Pod)
    with pytest.raises(SourceError, match="all 1 reads were refused.*cannot list pods") as found:
        evidence.must_see()
    assert "preflight --rbac" in found.value.hint


def test_a_kind_that_is_not_served_has_no_objects() -> None:
    missing = NotServedError("virtualservices", "the CRD is not installed")
    evidence = Evidence(FakeSource(OBJECTS, failing={"VirtualService": missing}), Request(), None)
    view = RecordingView(evidence)
    assert view.objects("VirtualService", VirtualService) == ()


def test_memo_remembers_failures_and_passes_commands_on() -> None:
    evidence = Evidence(FakeSource(OBJECTS), Request(), None)
    first, second = RecordingView(evidence), RecordingView(evidence)
    calls = []

    def build(view: Any) -> int:
        calls.append(1)
        return len(view.objects("Pod", Pod))

    assert first.memo("pods", build) == second.memo("pods", build) == 2
    assert len(calls) == 1
    assert second.commands == first.commands != {}
    assert evidence.counts()[1] == 2


def test_an_internal_error_becomes_a_gap_unless_strict(tmp_path: Any) -> None:
    from meshdoctor.engine.playbook import load
    from tests.unit.engine.sample import PLAYBOOK, PROBES, write

    text = PLAYBOOK.replace("sample-log", "sample-broken")
    book = load(write(tmp_path, text), PROBES)
    subject = WorkloadSubject("shop", "cart-1", "Pod")
    evidence = Evidence(FakeSource(OBJECTS), Request(), None)
    facts = Collector(evidence).facts(book, subject)
    assert "internal error: ZeroDivisionError" in facts.unavailable["log.errors"].detail
    with pytest.raises(ZeroDivisionError):
        Collector(Evidence(FakeSource(OBJECTS), Request(), None), strict=True).facts(book, subject)


def test_a_missing_workload_leaves_all_its_facts_open(tmp_path: Any) -> None:
    evidence = Evidence(FakeSource(OBJECTS), Request(), None)
    facts = Collector(evidence).facts(loaded(tmp_path), WorkloadSubject("shop", "nope"))
    assert set(facts.unavailable) == {"pod.labelled", "pod.restarts", "pod.pod"}
    assert facts.pending == {"log"}
