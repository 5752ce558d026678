"""What do the last words of a container that ended tell?

A binary of another processor architecture cannot be run: the kernel refuses it (ENOEXEC), and
runc, containerd's shim or Docker's init says so before the program logs anything. What the image
does not hold at all cannot be started either: reasons StartError (containerd, CRI-O) and
ContainerCannotRun (Docker).
"""

from meshdoctor.mesh.istiod_health import CONTAINER as ISTIOD
from meshdoctor.mesh.log_text import lines
from meshdoctor.mesh.pod_ends import ended_state
from meshdoctor.mesh.pod_startup import MESH_CONTAINERS, Startup
from meshdoctor.mesh.text import clean
from meshdoctor.model.patterns import pattern

CNI_AGENT = "install-cni"
_LACKING = pattern(
    r'exec: \\?"([^"\\]{1,200})\\?": (?:executable file not found in \$PATH|'
    r"stat [^:]{1,200}: no such file or directory)"
)
_FORMAT = pattern(r"exec .{0,200}exec format error|exec user process caused: exec format error")


def of_mesh(one: Startup) -> bool:
    """Whether a container of Istio's, istiod's own included, ended in vain and blocks the pod."""
    mine = one.container in MESH_CONTAINERS or one.container in (ISTIOD, CNI_AGENT)
    return mine and one.exit_code != 0 and one.reason != "OOMKilled"


def message(one: Startup) -> str:
    """What the runtime kept of the container's end; "" when it kept nothing."""
    status = one.pod.container_status(one.container)
    ended = ended_state(status) if status is not None else None
    return ended.message if ended is not None else ""


def wrong_format(text: str) -> str:
    """The line that says the image is of another architecture, safe to show; "": none does.

    >>> wrong_format("exec /usr/local/bin/pilot-agent: exec format error")
    'exec /usr/local/bin/pilot-agent: exec format error'
    >>> wrong_format("2026-11-18T09:00:00Z\\tinfo\\tstarting")
    ''
    """
    return next((clean(line) for line in lines(text) if _FORMAT.search(line[:1000])), "")


def lacks_program(text: str) -> str:
    """The program that the image does not hold, by the runtime's words; "": it says no such thing.

    >>> lacks_program('exec: "istio-iptables": executable file not found in $PATH: unknown')
    'istio-iptables'
    >>> lacks_program("exit status 1")
    ''
    """
    found = _LACKING.search(text[:4000])
    return clean(found[1], 200) if found is not None else ""
