"""How are the lab's network namespaces made, entered and taken away?

None of them has a way out: one bridge, no uplink, no forwarding.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from tests.lab import layout
from tests.lab.processes import LabError, run

ETC = Path("/etc/netns")


def exists(name: str) -> bool:
    """Whether a network namespace of this name is there."""
    return (Path("/run/netns") / name).exists()


def all_names() -> list[str]:
    """The lab's namespaces, the control plane's last."""
    folder = Path("/run/netns")
    found = [path.name for path in folder.glob(f"{layout.CONTROL}*")] if folder.exists() else []
    ours = [name for name in found if name.startswith(f"{layout.CONTROL}-")]
    return sorted(ours) + ([layout.CONTROL] if layout.CONTROL in found else [])


def inside(name: str, argv: Sequence[str]) -> list[str]:
    """The argument list that runs a command in a namespace of the lab, and in no other."""
    if name != layout.CONTROL and not name.startswith(f"{layout.CONTROL}-"):
        raise LabError(f"{name} is not a namespace of the lab")
    return ["ip", "netns", "exec", name, *argv]


def as_user(uid: int, argv: Sequence[str]) -> list[str]:
    """The argument list that runs a command as another user."""
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *argv]


def create_control() -> None:
    """The control plane's namespace with the bridge that all pods hang on."""
    run(["ip", "netns", "add", layout.CONTROL])
    for argv in (
        ["ip", "link", "set", "lo", "up"],
        ["ip", "link", "add", layout.BRIDGE, "address", layout.BRIDGE_MAC, "type", "bridge"],
        ["ip", "address", "add", f"{layout.API_IP}/{layout.PREFIX}", "dev", layout.BRIDGE],
        ["ip", "link", "set", layout.BRIDGE, "up"],
        # Only translated addresses leave by it: pods on the node's network call Services too.
        ["ip", "route", "add", layout.SERVICE_CIDR, "dev", layout.BRIDGE],
    ):
        run(inside(layout.CONTROL, argv))


def write_names(name: str, hosts: str) -> None:
    """The hosts file of a namespace, rewritten in place because it is bind-mounted."""
    folder = ETC / name
    folder.mkdir(parents=True, exist_ok=True)
    resolv = folder / "resolv.conf"
    if not resolv.exists():
        resolv.write_text("options attempts:1 timeout:1\n")
    path = folder / "hosts"
    if not path.exists() or path.read_text() != hosts:
        with path.open("r+" if path.exists() else "w") as handle:
            handle.write(hosts)
            handle.truncate()


def create_pod(name: str, address: str) -> None:
    """A pod's namespace, linked to the bridge under the pod's address."""
    link = layout.link_of(address)
    run(inside(layout.CONTROL, ["ip", "link", "del", link]), check=False)
    run(["ip", "netns", "add", name])
    run(
        inside(
            layout.CONTROL,
            ["ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name],
        )
    )
    for argv in (
        ["ip", "link", "set", link, "master", layout.BRIDGE],
        ["ip", "link", "set", link, "up"],
    ):
        run(inside(layout.CONTROL, argv))
    for argv in (
        ["ip", "link", "set", "lo", "up"],
        ["ip", "link", "set", "eth0", "address", layout.mac_of(address)],
        ["ip", "address", "add", f"{address}/{layout.PREFIX}", "dev", "eth0"],
        ["ip", "link", "set", "eth0", "up"],
        ["ip", "route", "add", "default", "via", layout.API_IP],
    ):
        run(inside(name, argv))


def pids(name: str) -> list[int]:
    """Processes that live in a namespace, whoever started them there."""
    done = run(["ip", "netns", "pids", name], check=False)
    return [int(word) for word in done.stdout.split()] if done.returncode == 0 else []


def delete(name: str, address: str | None = None) -> None:
    """Take a namespace away; its link goes at once, not when the kernel gets round to it."""
    if address:
        link = layout.link_of(address)
        run(inside(layout.CONTROL, ["ip", "link", "del", link]), check=False)
    run(["ip", "netns", "del", name], check=False)
    shutil.rmtree(ETC / name, ignore_errors=True)
