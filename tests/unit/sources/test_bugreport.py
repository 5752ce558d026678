"""Is an `istioctl bug-report` archive read as evidence, and what it lacks as not recorded?"""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from meshdoctor.model.kubernetes import Event
from meshdoctor.ports import NotRecordedError, SourceError, UnparsableError
from meshdoctor.sources.open import open_recorded
from tests.unit.sources.test_recorded import POD, POLICY, archive, member

LIST = "apiVersion: v1\nkind: List\nitems:\n"
SERVICE_LIST = LIST + (
    "- apiVersion: v1\n  kind: Pod\n  metadata:\n    name: cart-1\n    namespace: shop\n"
    "    creationTimestamp: '2026-03-01T04:05:06Z'\n  spec:\n    containers: []\n"
)
DUMP = {
    "configs": [
        {
            "@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump",
            "dynamic_active_clusters": [
                {"cluster": {"name": "outbound|80||x", "alt_stat_name": "a"}}
            ],
        },
        {
            "@type": "type.googleapis.com/envoy.admin.v3.SecretsConfigDump",
            "dynamic_active_secrets": [{"name": "default"}],
        },
    ]
}
EVENTS = """\
NAMESPACE      LAST SEEN   TYPE      REASON      OBJECT         SUBOBJECT                SOURCE           MESSAGE                        FIRST SEEN   COUNT   NAME
shop           5m1s        Warning   Unhealthy   pod/cart-1     spec.containers{app}     kubelet, n-1     Readiness  probe failed: 503   2d3h         4       cart-1.18eb
"""  # noqa: E501
FILES = {
    "versions": "v1",
    "bug-report.log": "2026-03-01T04:10:00.1Z\tinfo\tstarted\n",
    "cluster/k8s-resources": SERVICE_LIST,
    "cluster/crs": LIST
    + "\n".join("  " + r if n else "- " + r for n, r in enumerate(POLICY.strip().splitlines())),
    "cluster/secrets": "NAMESPACE NAME TYPE DATA AGE\nshop a Opaque 1 5d\n",
    "cluster/events": EVENTS,
    "istio/istio-system/istiod-1/discovery.log": "now\n========= Previous log =========\nbefore\n",
    "istio/istio-system/istiod-1/debug/syncz": "[]",
    "istio/istio-system/istiod-1/metrics": "up 1\n",
    "proxies/shop/cart-1/istio-proxy.log": "line\n",
    "proxies/shop/cart-1/config_dump?include_eds": json.dumps(DUMP),
    "proxies/shop/cart-1/stats/prometheus": "x 1\n",
    "proxies/shop/cart-2/config_dump?include_eds": "{",
    "analyze/allNamespaces/allNamespaces": "Info [IST0102]\n",
    "cni/cni-1/cni.log": "cni\n",
}


@pytest.mark.parametrize("prefix", ["bug-report/", "", "out/bug-report/"])
def test_every_section_answers_its_read(tmp_path: Path, prefix: str) -> None:
    path = archive(tmp_path / "x.tar.gz", *(member(prefix + n, t) for n, t in FILES.items()))
    source = open_recorded(path)
    assert source.describe().startswith(f"bug-report {path}")
    assert [o.ref for o in source.list("Pod", "shop").objects] == ["Pod/shop/cart-1"]
    assert len(source.list("PeerAuthentication", None).objects) == 1
    assert source.list("DestinationRule", None).objects == ()
    assert source.get("Service", "shop", "x") is None
    assert source.log("istio-system", "istiod-1", "discovery").text == "now\n"
    assert source.log("istio-system", "istiod-1", "discovery", previous=True).text == "\nbefore\n"
    assert source.log("shop", "cart-1", "istio-proxy").text == "line\n"
    assert source.log("kube-system", "cni-1", "install-cni").text == "cni\n"
    assert source.metrics("istio-system", "istiod-1").text == "up 1\n"
    assert source.metrics("shop", "cart-1").text == "x 1\n"
    assert source.proxy_status().text == "[]"
    assert source.analyze().text.startswith("Info")
    clusters = json.loads(source.proxy_config("cluster", "shop", "cart-1").text)
    assert clusters == [{"name": "outbound|80||x", "altStatName": "a"}]
    secrets = json.loads(source.proxy_config("secret", "shop", "cart-1").text)
    assert secrets["dynamicActiveSecrets"] == [{"name": "default"}]
    with pytest.raises(UnparsableError):
        source.proxy_config("cluster", "shop", "cart-2")
    assert source.failed_reads() == ()
    (event,) = source.list("Event", "shop").objects
    assert isinstance(event, Event)
    assert (event.involved_object.kind, event.involved_object.name) == ("Pod", "cart-1")
    assert (event.reason, event.message) == ("Unhealthy", "Readiness  probe failed: 503")
    assert (event.count, event.source.host) == (4, "n-1")
    assert event.last_timestamp == datetime(2026, 3, 1, 4, 4, 59, tzinfo=UTC)
    assert event.first_timestamp == datetime(2026, 2, 27, 1, 10, tzinfo=UTC)


def test_what_no_section_lists_is_not_recorded(tmp_path: Path) -> None:
    path = archive(tmp_path / "x.tgz", *(member(n, t) for n, t in FILES.items()))
    source = open_recorded(path)
    for kind, namespace in (("Secret", "shop"), ("Node", None), ("Pod", "kube-system")):
        with pytest.raises(NotRecordedError):
            source.list(kind, namespace)


def test_an_unpacked_folder_and_an_empty_one(tmp_path: Path) -> None:
    root = tmp_path / "bug-report"
    (root / "cluster").mkdir(parents=True)
    (root / "cluster" / "k8s-resources").write_text(f"{POD}")
    assert len(open_recorded(root).list("Pod", None).objects) == 1
    assert len(open_recorded(tmp_path).list("Pod", None).objects) == 1
    (root / "cluster" / "k8s-resources").write_text("a:\n\t-")
    with pytest.raises(SourceError, match="no usable object"):
        open_recorded(root)
