"""How is one read named: in a recording, and at a person's prompt?

A read's key is the same text when it is recorded and when it is replayed; a read's command is
what a person would run to see the same.
"""

from meshdoctor.model.kinds import BY_NAME
from meshdoctor.ports import (
    DeadlineError,
    EvidenceError,
    ForbiddenError,
    MissingError,
    NotAskedError,
    NotRecordedError,
    NotServedError,
    TooLargeError,
    ToolMissingError,
    UnparsableError,
    UnreachableError,
)

EVERY = "*"
ERRORS: dict[str, type[EvidenceError]] = {
    error.reason.value: error
    for error in (
        ForbiddenError,
        NotServedError,
        MissingError,
        DeadlineError,
        UnreachableError,
        ToolMissingError,
        UnparsableError,
        NotRecordedError,
        TooLargeError,
        NotAskedError,
    )
}
WHATS = ("cluster", "listener", "route", "endpoint", "secret", "bootstrap", "all", "log", "eds")


def list_key(kind: str, namespace: str | None) -> str:
    """The read of all objects of a kind, in one namespace or in all."""
    if namespace is None or not BY_NAME[kind].namespaced:
        return f"list {kind} {EVERY}"
    return f"list {kind} {namespace or '-'}"


def get_key(kind: str, namespace: str, name: str) -> str:
    """The read of one object by name."""
    scope = namespace if BY_NAME[kind].namespaced else ""
    return f"get {kind} {scope or '-'} {name}"


def log_key(namespace: str, pod: str, container: str, previous: bool) -> str:
    """The read of one container's log."""
    return f"log {namespace} {pod} {container}{' previous' if previous else ''}"


def tool_key(*words: str) -> str:
    """`proxy-status`, `proxy-config secret NS POD`, `debug syncz NS POD`, `metrics NS POD` ..."""
    return " ".join(words)


def list_command(kind: str, namespace: str | None) -> str:
    """Prints the same objects."""
    row = BY_NAME[kind]
    scope = "" if not row.namespaced else f" -n {namespace}" if namespace else " -A"
    return f"kubectl get {row.resource}{scope} -o yaml"


def get_command(kind: str, namespace: str, name: str) -> str:
    """Prints the same object."""
    row = BY_NAME[kind]
    scope = f" -n {namespace}" if row.namespaced and namespace else ""
    return f"kubectl get {row.resource}{scope} {name} -o yaml"


def log_command(namespace: str, pod: str, container: str, previous: bool) -> str:
    """Prints the same log."""
    flag = " --previous" if previous else ""
    return f"kubectl -n {namespace} logs {pod} -c {container}{flag}"


def status_command() -> str:
    """Prints the sync state of every proxy."""
    return "istioctl proxy-status"


def config_command(what: str, namespace: str, pod: str) -> str:
    """Prints one section of a proxy's configuration."""
    return f"istioctl proxy-config {what} {pod}.{namespace} -o json"


def authz_command(namespace: str, pod: str) -> str:
    """Prints the policies that a proxy enforces."""
    return f"istioctl experimental authz check {pod}.{namespace}"


def analyze_command() -> str:
    """Prints Istio's own findings."""
    return "istioctl analyze -A"


def version_command() -> str:
    """Prints client, control plane and proxy versions."""
    return "istioctl version -o json"


def debug_command(path: str, namespace: str, pod: str) -> str:
    """Prints one of istiod's debug pages."""
    return (
        f"kubectl -n {namespace} exec {pod} -c discovery -- "
        f"pilot-discovery request GET /debug/{path.removeprefix('/debug/')}"
    )


def metrics_command(namespace: str, pod: str, port: int = 15020) -> str:
    """Prints the same metrics."""
    path = "/metrics" if port == 15014 else "/stats/prometheus"
    return (
        f"kubectl -n {namespace} port-forward {pod} {port} & curl -s http://localhost:{port}{path}"
    )
