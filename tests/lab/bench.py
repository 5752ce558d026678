"""What do answers cost on a large mesh, next to what a person would run by hand?

Fills the lab's API server with injected pods, Services and Istio objects, first a tenth, then all,
and measures wall time, memory and bytes of each command from a namespace of its own, near the API
server and over a link of 50 ms and 100 Mbit/s.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.lab import crowd, faraway, layout, netns, processes, syncpage
from tests.lab.api import Api, Object
from tests.lab.processes import LabError, run
from tests.lab.prove import pod_of

LAPTOP = f"{layout.CONTROL}-laptop"
LAPTOP_IP = "10.88.3.1"
PAIR = ("--from", "shop/web", "--to", "shop/catalog:8080")
NAMESPACES = 100


@dataclass(frozen=True)
class Cost:
    """What one command cost."""

    what: str
    seconds: float
    cpu: float
    megabytes: float
    read: float
    exit: int

    def line(self) -> str:
        """One line of the table."""
        return (
            f"| {self.what} | {self.seconds:.2f} s | {self.cpu:.2f} s | "
            f"{self.megabytes:.0f} MB | {self.read:.2f} MB | {self.exit} |"
        )


@contextmanager
def laptop() -> Iterator[None]:
    """A namespace beside the control plane, as far away as `slow` makes it."""
    netns.create_pod(LAPTOP, LAPTOP_IP)
    netns.write_names(LAPTOP, f"127.0.0.1 localhost\n{layout.API_IP} lab-host\n")
    try:
        yield
    finally:
        netns.delete(LAPTOP, LAPTOP_IP)


@contextmanager
def slow(delay_ms: int, megabits: int) -> Iterator[None]:
    """Put distance between the laptop and the API server, half of it in each direction: in the
    kernel, or with a proxy where the kernel has no netem."""
    link = layout.link_of(LAPTOP_IP)
    ends = ((LAPTOP, "eth0"), (layout.CONTROL, link))
    shape = ["netem", "delay", f"{delay_ms // 2}ms", "rate", f"{megabits}mbit", "limit", "10000"]
    adds = [["tc", "qdisc", "add", "dev", device, "root", *shape] for _, device in ends]
    done = [
        run(netns.inside(place, words), check=False).returncode
        for (place, _), words in zip(ends, adds, strict=True)
    ]
    if not any(done):
        print("distance made by tc netem", flush=True)
        try:
            yield
        finally:
            _flat(ends)
        return
    _flat(ends)
    print("this kernel has no netem: distance made by a proxy (faraway.py)", flush=True)
    with through_proxy(delay_ms, megabits):
        yield


def _flat(ends: Iterable[tuple[str, str]]) -> None:
    for place, device in ends:
        run(netns.inside(place, ["tc", "qdisc", "del", "dev", device, "root"]), check=False)


@contextmanager
def through_proxy(delay_ms: int, megabits: int) -> Iterator[None]:
    """Let every client of the API server go through faraway.py."""
    config = layout.STATE / "faraway.kubeconfig"
    text = layout.ADMIN_CONFIG.read_text()
    config.write_text(text.replace(":6443", f":{faraway.PORT}"))
    processes.start(
        "faraway",
        [sys.executable, "-m", "tests.lab.faraway", str(delay_ms), str(megabits)],
        cwd=layout.CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(layout.CHECKOUT)},
    )
    before = os.environ["KUBECONFIG"]
    os.environ["KUBECONFIG"] = str(config)
    time.sleep(1.5)
    try:
        yield
    finally:
        os.environ["KUBECONFIG"] = before
        processes.stop("faraway")


def _received() -> int:
    argv = netns.inside(LAPTOP, ["cat", "/sys/class/net/eth0/statistics/rx_bytes"])
    return int(run(argv).stdout)


def measure(what: str, argv: Sequence[str], quiet: bool = False) -> Cost:
    """Run one command on the laptop and say what it cost."""
    before, begun = _received(), time.monotonic()
    words = netns.inside(LAPTOP, ["env", "-C", str(layout.CHECKOUT), *argv])
    process = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - begun
    cost = Cost(
        what,
        seconds,
        usage.ru_utime + usage.ru_stime,
        usage.ru_maxrss / 1024,
        (_received() - before) / 1e6,
        process.returncode,
    )
    if not quiet:
        print(cost.line(), flush=True)
    return cost


def meshdoctor(*options: str) -> list[str]:
    """The tool's own diagnosis, reading the whole question's evidence."""
    return [sys.executable, "-m", "meshdoctor", "diagnose", *options, "--quiet", "-o", "json"]


def by_hand(api: Api) -> list[list[str]]:
    """What a person runs in series to ask why a call fails: the evidence that `diagnose` reads for
    the same question, as far as it has a command of its own."""
    client = pod_of(api, "shop/web")["metadata"]["name"]
    server = pod_of(api, "shop/catalog")["metadata"]["name"]
    shop = ["kubectl", "-n", "shop", "get"]
    return [
        ["kubectl", "get", "namespaces", "--show-labels"],
        ["kubectl", "get", "mutatingwebhookconfigurations", "-o", "yaml"],
        [*shop, "pods", "-o", "wide"],
        [*shop, "services,endpointslices", "-o", "yaml"],
        [*shop, "peerauthentications,authorizationpolicies,requestauthentications", "-o", "yaml"],
        [*shop, "destinationrules,virtualservices,sidecars,envoyfilters", "-o", "yaml"],
        ["kubectl", "-n", "istio-system", "get", "configmap", "istio", "-o", "yaml"],
        ["kubectl", "-n", "istio-system", "get", "peerauthentications,authorizationpolicies"],
        [*shop, "networkpolicies", "-o", "yaml"],
        [*shop, "events"],
        ["kubectl", "-n", "shop", "logs", client, "-c", "istio-proxy", "--since=15m"],
        ["kubectl", "-n", "shop", "logs", server, "-c", "istio-proxy", "--since=15m"],
        ["kubectl", "-n", "istio-system", "get", "pods", "-o", "wide"],
        ["kubectl", "-n", "istio-system", "logs", "deploy/istiod", "--since=15m"],
        ["istioctl", "proxy-status"],
        ["istioctl", "x", "describe", "pod", f"{server}.shop"],
        ["istioctl", "x", "authz", "check", f"{server}.shop"],
        ["istioctl", "proxy-config", "secret", f"{client}.shop"],
        ["istioctl", "proxy-config", "secret", f"{server}.shop"],
        ["istioctl", "proxy-config", "cluster", f"{client}.shop", "-o", "json"],
        ["istioctl", "proxy-config", "endpoints", f"{client}.shop"],
        ["istioctl", "proxy-config", "listener", f"{server}.shop", "--port", "15006", "-o", "json"],
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Fill, measure, say whether the goals are met."""
    parser = argparse.ArgumentParser(prog="tests.lab bench")
    parser.add_argument("--namespaces", type=int, default=NAMESPACES)
    parser.add_argument("--keep", action="store_true", help="leave the large mesh there")
    parser.add_argument("--filled", action="store_true", help="measure what --keep left there")
    chosen = parser.parse_args(argv)
    os.environ["PYTHONPATH"] = str(layout.CHECKOUT)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed tool has its bytecode
    os.environ["KUBECONFIG"] = str(layout.ADMIN_CONFIG)
    os.environ["PATH"] = f"{layout.BIN}:{os.environ['PATH']}"
    api = Api("lab-system-token")
    template = crowd.template_of(pod_of(api, "shop/catalog"))
    print(f"load average before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
    print("| what | wall | CPU | memory | read | exit |\n|---|---|---|---|---|---|", flush=True)
    try:
        with laptop():
            if chosen.filled:
                print(sizes(api), flush=True)
                with syncpage.told(api, crowd.proxies(range(chosen.namespaces))):
                    near_and_far(api, None)
            else:
                measured(api, template, chosen.namespaces)
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        if not chosen.keep and not chosen.filled:
            crowd.empty()
    return 0


def measured(api: Api, template: Object, namespaces: int) -> None:
    """All measurements, from the small mesh to the large one far away."""
    begun = time.monotonic()
    compare(api, "lab alone", each=True)
    tenth = max(1, namespaces // 10)
    crowd.fill(api, range(tenth), template)
    print(f"filled a tenth after {time.monotonic() - begun:.0f} s", flush=True)
    with syncpage.told(api, crowd.proxies(range(tenth))):
        small = compare(api, "a tenth")
    crowd.fill(api, range(tenth, namespaces), template)
    print(f"filled all after {time.monotonic() - begun:.0f} s: {sizes(api)}", flush=True)
    with syncpage.told(api, crowd.proxies(range(namespaces))):
        near_and_far(api, small)


def near_and_far(api: Api, small: Cost | None) -> None:
    """Beside the API server, and over a link."""
    near(api, small, "all")
    with slow(50, 100):
        print("over a link of 50 ms and 100 Mbit/s:", flush=True)
        near(api, small, "far")


def sizes(api: Api) -> str:
    """How large the mesh is, as the API server counts."""
    kinds = {
        "pods": "/api/v1/pods",
        "services": "/api/v1/services",
        "AuthorizationPolicies": "/apis/security.istio.io/v1/authorizationpolicies",
        "DestinationRules": "/apis/networking.istio.io/v1/destinationrules",
        "VirtualServices": "/apis/networking.istio.io/v1/virtualservices",
    }
    counts: list[str] = []
    for kind, path in kinds.items():
        page = api.get(f"{path}?limit=1")
        left = int(page["metadata"].get("remainingItemCount") or 0)
        counts.append(f"{left + len(page.get('items') or [])} {kind}")
    return ", ".join(counts)


def best(what: str, argv: Sequence[str], times: int = 3) -> Cost:
    """The quickest of a few: what others do on this machine is not what is measured."""
    return min((measure(what, argv) for _ in range(times)), key=lambda cost: cost.seconds)


def compare(api: Api, where: str, each: bool = False) -> Cost:
    """One pair's question, asked of the tool and by hand in series; what the tool cost."""
    hand = [
        measure(" ".join(Path(word).name for word in argv[:5]), argv, quiet=not each)
        for argv in by_hand(api)
    ]
    total = sum(cost.seconds for cost in hand)
    sums = (sum(cost.cpu for cost in hand), max(cost.megabytes for cost in hand))
    read = sum(cost.read for cost in hand)
    failed = sum(bool(cost.exit) for cost in hand)
    print(Cost(f"{where}: {len(hand)} commands by hand", total, *sums, read, failed).line())
    pair = best(f"{where}: diagnose --from --to", meshdoctor(*PAIR))
    print(
        f"{where}: diagnosis takes {pair.seconds / total:.2f} of the commands' time "
        "(goal: under 0.33)",
        flush=True,
    )
    return pair


def near(api: Api, small: Cost | None, where: str) -> None:
    """The measurements that are compared with one another."""
    large = compare(api, where)
    whole = measure(f"{where}: diagnose", meshdoctor("--deadline", "180"))
    analyze = measure(f"{where}: istioctl analyze -A", ["istioctl", "analyze", "-A"])
    tenth = f"{large.seconds / small.seconds:.2f} of a tenth's time; " if small else ""
    print(
        f"{where}: pair {large.seconds:.2f} s, {large.cpu:.2f} s CPU, {large.megabytes:.0f} MB "
        f"(goal: under 1 s, 150 MB), {tenth}"
        f"whole mesh {whole.seconds / analyze.seconds:.2f} of analyze's time (goal: 0.5), "
        f"{whole.megabytes / analyze.megabytes:.2f} of its memory (goal: 0.4)",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
