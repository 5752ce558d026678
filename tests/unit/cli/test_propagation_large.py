"""Is the sync of two thousand proxies compared in two seconds and 300 MB?"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

PROXIES = 2000
MOST_SECONDS, MOST_MB = 2.0, 300
TYPES = (
    *("cluster.v3.Cluster", "listener.v3.Listener", "route.v3.RouteConfiguration"),
    "endpoint.v3.ClusterLoadAssignment",
)
# Seconds of this process's own work, so that a busy machine does not fail the test.
CHILD = """
import json, resource, sys, time
from pathlib import Path
from meshdoctor.cli.options import SourceOptions, open_source
from meshdoctor.cli.propagation_run import Asked, looked
from meshdoctor.report.propagation import as_text
from meshdoctor.report.propagation_json import as_json
begun = time.process_time()
options = SourceOptions(bundle=Path(sys.argv[1]), context="", kubeconfig="",
                        istio_namespace="istio-system", istioctl="", since="15m", deadline=60,
                        with_change=None)
wanted = tuple(sys.argv[2].split("/")) if len(sys.argv) > 2 else ("", "", "")
answer = looked(Asked(open_source(options), options, wanted, "", lambda text: None))
text, data = as_text(answer, 80), json.loads(as_json(answer))
seconds = time.process_time() - begun
# Linux counts what the parent held at the fork in ru_maxrss, but not in VmHWM.
status = Path("/proc/self/status")
lines = status.read_text().splitlines() if status.exists() else []
own = [int(line.split()[1]) for line in lines if line.startswith("VmHWM")]
peak = (own or [resource.getrusage(resource.RUSAGE_SELF).ru_maxrss])[0] / 1024
print(json.dumps({"seconds": seconds, "mb": peak, "text": text, "data": data}))
"""


def pod(number: int) -> dict[str, Any]:
    """A pod about as large as an injected one."""
    env = [{"name": f"ISTIO_META_{n}", "value": "x" * 60} for n in range(30)]
    container = {"name": "istio-proxy", "args": ["proxy", "sidecar"], "env": env}
    labels = {"app": f"app-{number % 200}", "istio.io/rev": "default"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"pod-{number}", "namespace": f"ns-{number % 100}", "labels": labels},
        "spec": {"containers": [{"name": "app"}, container]},
        "status": {"phase": "Running", "podIP": f"10.0.{number // 250}.{number % 250}"},
    }


def record(number: int) -> dict[str, Any]:
    """What istiod 1.31 says of one proxy; every hundredth has not acknowledged its routes."""
    nonce = "2026-11-24T20:15:02Z/43a3f48366-bfec-4fdb-8797-62411700dd7d"
    sent = "2026-11-24T20:15:02.735257209Z"
    resources = {
        f"type.googleapis.com/envoy.config.{name}": {
            "sent": nonce,
            "acked": "old" if number % 100 == 0 and "route" in name else nonce,
            "sentTime": sent,
        }
        for name in TYPES
    }
    flat = {
        f"{kind}_{what}": nonce for kind in ("cluster", "listener") for what in ("sent", "acked")
    }
    proxy = f"pod-{number}.ns-{number % 100}"
    head = {"cluster_id": "Kubernetes", "proxy": proxy, "istio_version": "1.31.0"}
    return {**head, "proxy_type": "sidecar", **flat, "resources": resources}


def bundle(folder: Path) -> Path:
    (folder / "istioctl").mkdir()
    route = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {
            "name": "pay",
            "namespace": "ns-1",
            "managedFields": [
                {"manager": "kubectl", "operation": "Update", "time": "2026-11-24T20:15:02Z"}
            ],
        },
        "spec": {"hosts": ["pay"], "http": [{"route": [{"destination": {"host": "pay"}}]}]},
    }
    items = [*(pod(n) for n in range(PROXIES)), route]
    (folder / "objects.json").write_text(json.dumps({"kind": "List", "items": items}))
    (folder / "bundle.yaml").write_text("observed_at: 2026-11-24T20:15:20Z\n")
    rows = [record(n) for n in range(PROXIES)]
    both = {"istiod-1": rows[:1200], "istiod-2": rows[1200:]}
    (folder / "istioctl" / "proxy-status.json").write_text(json.dumps(both))
    return folder


def test_two_thousand_proxies(tmp_path: Path) -> None:
    path = bundle(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(path), "VirtualService/ns-1/pay"],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    found = json.loads(done.stdout)
    assert found["data"]["proxies"] == PROXIES
    assert found["data"]["states"] == {"has it": 1980, "waiting": 20}
    assert "20 proxies at istiod" in found["text"] or "waiting" in found["text"]
    print(f"{found['seconds']:.2f} s, {found['mb']:.0f} MB")
    assert found["mb"] < MOST_MB
    assert found["seconds"] < MOST_SECONDS
