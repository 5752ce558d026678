"""Where is everything of the lab: folders, names and addresses?"""

from __future__ import annotations

import os
from pathlib import Path

# Several labs run beside each other when each has a name of its own: they share no address, since
# every address lives inside the lab's own network namespaces.
CONTROL = os.environ.get("MESHDOCTOR_LAB_NAME", "mdlab")
STATE = Path(os.environ.get("MESHDOCTOR_LAB_STATE", f"/var/lib/meshdoctor-lab/{CONTROL}"))
HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent.parent

BRIDGE = "br0"
# A bridge takes the lowest MAC of its ports unless it has one of its own, and then changes it
# whenever a pod comes or goes: every connection to it would stall for 30 s.
BRIDGE_MAC = "02:00:0a:58:00:01"
API_IP = "10.88.0.1"
NETWORK = "10.88.0.0/16"
PREFIX = 16
POD_CIDR = "10.88.16.0/20"
BENCH_CIDR = "10.88.128.0/17"
SERVICE_CIDR = "10.89.0.0/16"
LOAD_BALANCER_PREFIX = "10.90.0."
API_URL = f"https://{API_IP}:6443"
KUBELET_PORT = 10247
NODE = "lab-node"
# What the lab's node says that it has to give.
CORES = 1000
BENCH_NODE = "bench-node"
BENCH_PREFIX = "bench-"
# The annotation that says which address kwok gives a pod of the bench.
BENCH_ADDRESS = "lab.meshdoctor/address"

PROXY_UID = 1337
APP_UID = 1000

BIN = STATE / "bin"
PKI = STATE / "pki"
LOGS = STATE / "logs"
PIDS = STATE / "pids"
PODS = STATE / "pods"
AUDIT = LOGS / "audit.log"
ADMIN_CONFIG = STATE / "admin.kubeconfig"
READER_CONFIG = STATE / "reader.kubeconfig"


def pod_namespace(namespace: str, pod: str) -> str:
    """The network namespace of one pod."""
    return f"{CONTROL}-{namespace}-{pod}"


def pod_folder(namespace: str, pod: str) -> Path:
    """The folder of one pod: its files, its logs."""
    return PODS / f"{namespace}_{pod}"


def mac_of(address: str) -> str:
    """A MAC made from the address, so that an address used again is reached at once."""
    octets = [int(part) for part in address.split(".")]
    return "02:00:" + ":".join(f"{octet:02x}" for octet in octets)


def link_of(address: str) -> str:
    """The name of the bridge's end of a pod's link."""
    return "v" + "".join(f"{int(part):02x}" for part in address.split("."))
