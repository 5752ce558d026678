"""Has a process run out of files, or the node of inotify?

Each watcher of files takes an inotify instance: Linux allows 128 to a user of a node, and root's
are shared by all pods (fs.inotify.max_user_instances); one over says EMFILE, `too many open files`,
as does a process at its own limit of open files. A watch too many says ENOSPC, `no space left on
device` (fs.inotify.max_user_watches; inotify(7)). pilot-agent and istiod watch their certificates
as they start, and end when they cannot (istio/istio#35829).
"""

from meshdoctor.mesh.log_text import lines
from meshdoctor.mesh.text import clean
from meshdoctor.model.patterns import pattern

_EXHAUSTED = pattern(
    r"[Tt]oo many open files|(?:[Ww]atch|inotify|fsnotify).{0,200}no space left on device"
)
_WATCHES = pattern(r"no space left on device")
_WATCHER = pattern(r"inotify|fsnotify|[Ww]atch|SDS|secret manager")


def exhausted(text: str) -> str:
    """The last line that says so, safe to show; "": none does.

    >>> exhausted("fatal\\tFailed to start in-process SDStoo many open files")
    'fatal Failed to start in-process SDStoo many open files'
    >>> exhausted("write /var/lib/istio/data: no space left on device")
    ''
    """
    said = [line for line in lines(text) if _EXHAUSTED.search(line[:2000])]
    return clean(said[-1], 200) if said else ""


def limit(said: str) -> str:
    """Which limit that was.

    >>> limit("failed to create watcher: too many open files")
    'fs.inotify.max_user_instances'
    """
    if _WATCHES.search(said):
        return "fs.inotify.max_user_watches"
    return "fs.inotify.max_user_instances" if _WATCHER.search(said) else "the limit of open files"
