"""How does the Kubernetes control plane of the lab start?

etcd, kube-apiserver, kube-controller-manager and kwok, all in one network namespace without a
way out. kwok gives pods their addresses and serves port-forward and logs; what runs in a pod is
the business of `kubelet.py`.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

from tests.lab import build, layout, netns, processes
from tests.lab.processes import LabError, run

TOOLS = {
    "ip": "iproute2",
    "ss": "iproute2",
    "tc": "iproute2",
    "iptables": "iptables",
    "iptables-restore": "iptables",
    "socat": "socat",
    "curl": "curl",
    "openssl": "openssl",
    "setpriv": "util-linux",
    "nsenter": "util-linux",
    "sysctl": "procps",
    "kubectl": "kubernetes-client",
}
CONTROLLERS = (
    "serviceaccount-controller,serviceaccount-token-controller,"
    "root-ca-certificate-publisher-controller,namespace-controller,deployment-controller,"
    "replicaset-controller,statefulset-controller,daemonset-controller,job-controller,"
    "endpoints-controller,endpointslice-controller,endpointslice-mirroring-controller,"
    "garbage-collector-controller,pod-garbage-collector-controller,"
    "clusterrole-aggregation-controller,service-cidr-controller,resourcequota-controller"
)
# Who may do what: one person who changes things, one tool that only looks.
TOKENS = """lab-admin-token,lab-admin,1,"system:masters"
lab-system-token,lab-system,2,"system:masters"
lab-reader-token,meshdoctor,3,"lab:readers"
"""
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "Metadata", "users": ["meshdoctor"]},
        # The true time of every change of Istio's configuration.
        {
            "level": "Metadata",
            "verbs": ["create", "update", "patch", "delete"],
            "resources": [{"group": "networking.istio.io"}, {"group": "security.istio.io"}],
        },
        {"level": "None"},
    ],
}
NODE_STAGE = """
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: node-ready}
spec:
  resourceRef: {apiGroup: v1, kind: Node}
  selector:
    matchExpressions:
    - {key: '.status.phase', operator: NotIn, values: ["Running"]}
  next:
    statusTemplate: |
      {{ $now := Now }}
      conditions:
      {{ range NodeConditions }}
      - lastHeartbeatTime: {{ $now | Quote }}
        lastTransitionTime: {{ $now | Quote }}
        message: {{ .message | Quote }}
        reason: {{ .reason | Quote }}
        status: {{ .status | Quote }}
        type: {{ .type | Quote }}
      {{ end }}
      addresses:
      - {address: {{ NodeIP | Quote }}, type: InternalIP}
      - {address: {{ NodeName | Quote }}, type: Hostname}
      daemonEndpoints: {kubeletEndpoint: {Port: {{ NodePort }} }}
      allocatable: {cpu: 1k, memory: 1Ti, pods: 1M}
      capacity: {cpu: 1k, memory: 1Ti, pods: 1M}
      nodeInfo:
        architecture: amd64
        bootID: ""
        containerRuntimeVersion: lab://1
        kernelVersion: lab
        kubeProxyVersion: "v%VERSION%"
        kubeletVersion: "v%VERSION%"
        machineID: ""
        operatingSystem: linux
        osImage: lab
        systemUUID: ""
      phase: Running
---
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: pod-address}
spec:
  resourceRef: {apiGroup: v1, kind: Pod}
  selector:
    matchExpressions:
    - {key: '.metadata.deletionTimestamp', operator: DoesNotExist}
    - {key: '.spec.nodeName', operator: In, values: ["%NODE%"]}
    - {key: '.status.phase', operator: In, values: ["Pending"]}
    - {key: '.status.podIP', operator: DoesNotExist}
  next:
    statusTemplate: |
      {{ $now := Now }}
      {{ $nodeIPs := NodeIPsWith .spec.nodeName }}
      {{ with $nodeIPs }}
      hostIP: {{ index . 0 | Quote }}
      hostIPs:
      - ip: {{ index . 0 | Quote }}
      {{ end }}
      {{ $ips := PodIPsWith .spec.nodeName (or .spec.hostNetwork false) (or .metadata.uid "") (or .metadata.name "") (or .metadata.namespace "") }}
      {{ with $ips }}
      podIP: {{ index . 0 | Quote }}
      podIPs:
      - ip: {{ index . 0 | Quote }}
      {{ end }}
      startTime: {{ $now | Quote }}
---
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: bench-pod-ready}
spec:
  resourceRef: {apiGroup: v1, kind: Pod}
  selector:
    matchExpressions:
    - {key: '.metadata.deletionTimestamp', operator: DoesNotExist}
    - {key: '.spec.nodeName', operator: In, values: ["%BENCH%"]}
    - {key: '.status.phase', operator: In, values: ["Pending"]}
  next:
    statusTemplate: |
      {{ $now := Now }}
      conditions:
      - {lastTransitionTime: {{ $now | Quote }}, status: "True", type: Initialized}
      - {lastTransitionTime: {{ $now | Quote }}, status: "True", type: Ready}
      - {lastTransitionTime: {{ $now | Quote }}, status: "True", type: ContainersReady}
      containerStatuses:
      {{ range .spec.containers }}
      - image: {{ .image | Quote }}
        name: {{ .name | Quote }}
        ready: true
        restartCount: 0
        state: {running: {startedAt: {{ $now | Quote }} }}
      {{ end }}
      initContainerStatuses:
      {{ range .spec.initContainers }}
      - image: {{ .image | Quote }}
        name: {{ .name | Quote }}
        ready: true
        restartCount: 0
        {{ if eq .restartPolicy "Always" }}
        started: true
        state: {running: {startedAt: {{ $now | Quote }} }}
        {{ else }}
        state: {terminated: {exitCode: 0, reason: Completed, startedAt: {{ $now | Quote }}, finishedAt: {{ $now | Quote }} }}
        {{ end }}
      {{ end }}
      podIP: {{ index .metadata.annotations "%ADDRESS%" | Quote }}
      podIPs:
      - ip: {{ index .metadata.annotations "%ADDRESS%" | Quote }}
      phase: Running
      startTime: {{ $now | Quote }}
---
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: bench-pod-delete}
spec:
  resourceRef: {apiGroup: v1, kind: Pod}
  selector:
    matchExpressions:
    - {key: '.metadata.deletionTimestamp', operator: Exists}
    - {key: '.spec.nodeName', operator: In, values: ["%BENCH%"]}
  next: {delete: true}
"""  # noqa: E501


def check_tools() -> None:
    """Refuse to start where a needed program or right is missing, and say what to install."""
    if os.geteuid() != 0:
        raise LabError("the lab makes network namespaces: run it as root")
    absent = sorted({package for tool, package in TOOLS.items() if shutil.which(tool) is None})
    if absent:
        raise LabError(f"missing programs; install them: apt-get install {' '.join(absent)}")
    unbuilt = build.missing()
    if unbuilt:
        raise LabError(f"not built yet: {', '.join(unbuilt)}; run: make lab-build ({build.COST})")


def prepare() -> None:
    """Folders, and the programs where every user of the lab can run them."""
    for folder in (layout.BIN, layout.PKI, layout.LOGS, layout.PIDS, layout.PODS):
        folder.mkdir(parents=True, exist_ok=True)
    layout.STATE.chmod(0o755)
    layout.PKI.chmod(0o700)
    cache = build.cache_root()
    for name in build.BINARIES:
        source, target = cache / "bin" / name, layout.BIN / name
        if not target.exists() or target.stat().st_mtime != source.stat().st_mtime:
            part = target.with_name(f".{name}.part")
            shutil.copy2(source, part)
            part.chmod(0o755)
            part.rename(target)
    bootstrap = cache / "share" / "envoy_bootstrap.json"
    shutil.copyfile(bootstrap, layout.STATE / "envoy_bootstrap.json")
    shutil.copyfile(layout.HERE / "app.py", layout.STATE / "app.py")


def make_pki() -> None:
    """One authority for the API server and kwok, and the key of service account tokens."""
    pki = layout.PKI
    if (pki / "done").exists():
        return
    names = ",".join(
        [f"IP:{layout.API_IP}", "IP:127.0.0.1", "IP:10.89.0.1"]
        + [f"DNS:{name}" for name in ("kubernetes", "kubernetes.default.svc", "localhost")]
    )
    (pki / "server.ext").write_text(f"subjectAltName={names}\n")
    for argv in (
        ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650", "-subj", "/CN=lab"]
        + ["-keyout", "ca.key", "-out", "ca.crt"],
        ["req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=kube-apiserver"]
        + ["-keyout", "server.key", "-out", "server.csr"],
        ["x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key"]
        + ["-CAcreateserial", "-days", "3650", "-extfile", "server.ext", "-out", "server.crt"],
        ["genrsa", "-out", "sa.key", "2048"],
        ["rsa", "-in", "sa.key", "-pubout", "-out", "sa.pub"],
    ):
        # openssl writes relative to its working folder.
        run(["env", "-C", str(pki), "openssl", *argv])
    (pki / "done").write_text("")


def write_config(path: Path, token: str) -> None:
    """A kubeconfig for one of the lab's users (JSON is YAML)."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "lab",
                "cluster": {
                    "server": layout.API_URL,
                    "certificate-authority": str(layout.PKI / "ca.crt"),
                },
            }
        ],
        "users": [{"name": "lab", "user": {"token": token}}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
        "current-context": "lab",
    }
    path.write_text(json.dumps(config, indent=1))
    path.chmod(0o600)


def _start(name: str, *argv: str) -> None:
    processes.start(
        name, netns.inside(layout.CONTROL, [str(layout.BIN / name), *argv]), cwd=layout.STATE
    )


def wait_for(what: str, argv: list[str], seconds: float, name: str) -> None:
    """Repeat a command until it succeeds, or say which log tells why it does not."""
    deadline = time.monotonic() + seconds
    while run(argv, check=False).returncode:
        if time.monotonic() > deadline or processes.known(name) is None:
            raise LabError(f"{what} is not ready; see {layout.LOGS / (name + '.log')}")
        time.sleep(0.1)


def kubectl(*argv: str, stdin: str | None = None, timeout: float = 60, check: bool = True) -> str:
    """Run kubectl as the lab's administrator inside the control plane's namespace."""
    command = ["kubectl", f"--kubeconfig={layout.ADMIN_CONFIG}", *argv]
    return run(
        netns.inside(layout.CONTROL, command), stdin=stdin, timeout=timeout, check=check
    ).stdout


def start_api_server() -> None:
    """etcd and the API server; returns when it answers."""
    pki = layout.PKI
    (pki / "tokens.csv").write_text(TOKENS)
    (layout.STATE / "audit-policy.yaml").write_text(json.dumps(AUDIT_POLICY))
    _start(
        "etcd",
        "--unsafe-no-fsync",
        f"--data-dir={layout.STATE / 'etcd'}",
        "--listen-client-urls=http://127.0.0.1:2379",
        "--advertise-client-urls=http://127.0.0.1:2379",
        "--quota-backend-bytes=8589934592",
        "--log-level=error",
    )
    start_kube_apiserver()


def start_kube_apiserver(*extra: str) -> None:
    """The API server alone, with more flags where a fault of the environment wants them."""
    pki = layout.PKI
    _start(
        "kube-apiserver",
        f"--advertise-address={layout.API_IP}",
        "--endpoint-reconciler-type=none",
        "--etcd-servers=http://127.0.0.1:2379",
        f"--token-auth-file={pki / 'tokens.csv'}",
        "--authorization-mode=Node,RBAC",
        f"--service-account-issuer={layout.API_URL}",
        f"--service-account-key-file={pki / 'sa.pub'}",
        f"--service-account-signing-key-file={pki / 'sa.key'}",
        f"--service-cluster-ip-range={layout.SERVICE_CIDR}",
        "--allow-privileged=true",
        "--enable-aggregator-routing=true",
        "--kubelet-preferred-address-types=InternalIP",
        f"--tls-cert-file={pki / 'server.crt'}",
        f"--tls-private-key-file={pki / 'server.key'}",
        f"--audit-policy-file={layout.STATE / 'audit-policy.yaml'}",
        f"--audit-log-path={layout.AUDIT}",
        "--max-requests-inflight=1000",
        "--max-mutating-requests-inflight=500",
        *extra,
    )
    wait_for(
        "kube-apiserver",
        netns.inside(
            layout.CONTROL,
            ["curl", "-sf", "--cacert", str(pki / "ca.crt"), f"{layout.API_URL}/readyz"],
        ),
        60,
        "kube-apiserver",
    )


def start_controllers() -> None:
    """Deployments, ReplicaSets, endpoints and the like."""
    _start(
        "kube-controller-manager",
        f"--kubeconfig={layout.STATE / 'system.kubeconfig'}",
        f"--controllers={CONTROLLERS}",
        "--kube-api-qps=200",
        "--kube-api-burst=300",
        "--leader-elect=false",
        f"--service-account-private-key-file={layout.PKI / 'sa.key'}",
        f"--root-ca-file={layout.PKI / 'ca.crt'}",
    )


def start() -> None:
    """The whole control plane without Istio."""
    netns.create_control()
    make_pki()
    write_config(layout.ADMIN_CONFIG, "lab-admin-token")
    write_config(layout.READER_CONFIG, "lab-reader-token")
    write_config(layout.STATE / "system.kubeconfig", "lab-system-token")
    shutil.rmtree(layout.STATE / "etcd", ignore_errors=True)
    start_api_server()
    system = str(layout.STATE / "system.kubeconfig")
    start_controllers()
    crds = build.cache_root() / "share" / "kwok-crds"
    kubectl("apply", "--server-side", "-f", str(crds))
    kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    stages = layout.STATE / "stages.yaml"
    stages.write_text(
        NODE_STAGE.replace("%VERSION%", build.KUBERNETES)
        .replace("%NODE%", layout.NODE)
        .replace("%BENCH%", layout.BENCH_NODE)
        .replace("%ADDRESS%", layout.BENCH_ADDRESS)
    )
    _start(
        "kwok",
        f"--kubeconfig={system}",
        "--manage-all-nodes=true",
        f"--node-ip={layout.API_IP}",
        f"--node-port={layout.KUBELET_PORT}",
        f"--cidr={layout.POD_CIDR}",
        f"--tls-cert-file={layout.PKI / 'server.crt'}",
        f"--tls-private-key-file={layout.PKI / 'server.key'}",
        "--enable-crds=PortForward,Logs",
        f"--config={stages}",
    )
    nodes = [
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": {"kubernetes.io/os": "linux"}},
            "spec": {"podCIDR": cidr, "podCIDRs": [cidr]},
        }
        for name, cidr in (
            (layout.NODE, layout.POD_CIDR),
            (layout.BENCH_NODE, layout.BENCH_CIDR),
        )
    ]
    kubectl(
        "apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": nodes})
    )
    kubectl("wait", "--for=condition=Ready", "node", "--all", "--timeout=30s")
