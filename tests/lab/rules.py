"""What would kube-proxy and cluster DNS do in a pod of the lab?

Both are worked out once for all pods from Services and EndpointSlices, and written into each
pod's own namespace: a DNAT on the bridge would lose the way back.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from tests.lab import layout, netns
from tests.lab.api import Object
from tests.lab.processes import run

CHAIN = "LAB-SERVICES"
NOTHING = f"*nat\n:{CHAIN} - [0:0]\nCOMMIT\n*filter\n:{CHAIN} - [0:0]\nCOMMIT\n"
Key = tuple[str, str]
Address = tuple[str, int]


def _ready(endpoint: Object) -> bool:
    conditions = endpoint.get("conditions") or {}
    return conditions.get("ready") is not False


def endpoints(slices: Iterable[Object]) -> dict[tuple[str, str, str], list[Address]]:
    """Ready addresses by namespace, Service and port name."""
    found: dict[tuple[str, str, str], list[Address]] = defaultdict(list)
    for item in slices:
        meta = item["metadata"]
        service = (meta.get("labels") or {}).get("kubernetes.io/service-name")
        if not service:
            continue
        for port in item.get("ports") or []:
            key = (meta["namespace"], service, port.get("name") or "")
            for endpoint in item.get("endpoints") or []:
                if _ready(endpoint):
                    for address in endpoint["addresses"]:
                        found[key].append((address, port["port"]))
    return {key: sorted(set(value)) for key, value in found.items()}


def _addresses(service: Object) -> list[str]:
    spec, status = service["spec"], service.get("status") or {}
    found = [] if spec.get("clusterIP") in (None, "", "None") else [spec["clusterIP"]]
    for ingress in (status.get("loadBalancer") or {}).get("ingress") or []:
        if ingress.get("ip"):
            found.append(ingress["ip"])
    return found


def tables(services: Iterable[Object], slices: Iterable[Object]) -> str:
    """Input of iptables-restore for one pod: the same for all pods."""
    known = endpoints(slices)
    nat = ["*nat", f":{CHAIN} - [0:0]"]
    refuse = ["*filter", f":{CHAIN} - [0:0]"]
    for service in sorted(services, key=lambda item: item["metadata"]["uid"]):
        meta = service["metadata"]
        for port in service["spec"].get("ports") or []:
            if port.get("protocol", "TCP") != "TCP":
                continue
            targets = known.get((meta["namespace"], meta["name"], port.get("name") or ""), [])
            for address in _addresses(service):
                match = f"-A {CHAIN} -d {address}/32 -p tcp --dport {port['port']}"
                if not targets:
                    refuse.append(f"{match} -j REJECT --reject-with icmp-port-unreachable")
                for index, (ip, number) in enumerate(targets):
                    left = len(targets) - index
                    chance = f" -m statistic --mode random --probability {1 / left:.5f}"
                    share = chance if left > 1 else ""
                    nat.append(f"{match}{share} -j DNAT --to-destination {ip}:{number}")
    return "\n".join([*nat, "COMMIT", *refuse, "COMMIT", ""])


def install(name: str) -> None:
    """Hook the chains into a pod's namespace, after Istio's own."""
    for table in ("nat", "filter"):
        base = ["iptables", "-w", "5", "-t", table]
        run(netns.inside(name, [*base, "-N", CHAIN]), check=False)
        if run(netns.inside(name, [*base, "-C", "OUTPUT", "-j", CHAIN]), check=False).returncode:
            run(netns.inside(name, [*base, "-A", "OUTPUT", "-j", CHAIN]))


def unhook(name: str) -> None:
    """Take the chains out of a pod's way, to be hooked in again behind Istio's."""
    for table in ("nat", "filter"):
        base = ["iptables", "-w", "5", "-t", table]
        run(netns.inside(name, [*base, "-D", "OUTPUT", "-j", CHAIN]), check=False)


def fill(name: str, text: str) -> None:
    """Replace the chains' rules in one pod's namespace."""
    run(netns.inside(name, ["iptables-restore", "-w", "5", "--noflush"]), stdin=text)


def hosts(
    services: Mapping[Key, Object], slices: Iterable[Object], pods: Mapping[Key, Object]
) -> str:
    """The hosts file of every pod: each Service under all its names."""
    lines = ["127.0.0.1 localhost", f"{layout.API_IP} lab-host"]
    known = list(slices)
    for (namespace, name), service in sorted(services.items()):
        ips: list[str] = []
        kind = service["spec"].get("type")
        if service["spec"].get("clusterIP") == "None":
            for item in known:
                labels = item["metadata"].get("labels") or {}
                if item["metadata"]["namespace"] != namespace:
                    continue
                if labels.get("kubernetes.io/service-name") != name:
                    continue
                for endpoint in item.get("endpoints") or []:
                    if _ready(endpoint):
                        ips += endpoint["addresses"]
                        if endpoint.get("hostname"):
                            lines.append(
                                f"{endpoint['addresses'][0]} "
                                + _names(f"{endpoint['hostname']}.{name}", namespace)
                            )
        elif kind != "ExternalName":
            ips = [service["spec"]["clusterIP"]]
        lines += [f"{ip} {_names(name, namespace)}" for ip in sorted(set(ips))]
    for _, pod in sorted(pods.items()):
        names = (pod["metadata"].get("annotations") or {}).get("lab.meshdoctor/names")
        address = (pod.get("status") or {}).get("podIP")
        if names and address:
            lines.append(f"{address} {names}")
    return "\n".join(lines) + "\n"


def _names(name: str, namespace: str) -> str:
    full = f"{name}.{namespace}.svc.cluster.local"
    return f"{full} {name}.{namespace}.svc {name}.{namespace}"
