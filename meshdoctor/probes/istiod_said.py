"""What did the istiods log, so far as their logs can be read? Shared reading; not a probe."""

from meshdoctor.mesh.log_lines import GATEWAY, Said, of, scan
from meshdoctor.mesh.workloads import PROXY, proxy_container
from meshdoctor.mesh.xds import release
from meshdoctor.model.kubernetes import Pod
from meshdoctor.ports import EvidenceError
from meshdoctor.probes import reading
from meshdoctor.probes.view import View

ISTIOD = "discovery"


def lines(view: View, namespace: str, pod: str) -> tuple[Said, ...]:
    """What one istiod said, read and scanned once per run; raises EvidenceError."""
    return view.memo(
        ("istiod-said", namespace, pod), lambda v: scan(v.log(namespace, pod, ISTIOD).text)
    )


def sightings(view: View) -> tuple[Said, ...]:
    """Lines of those istiods whose logs can be read. Only what is seen counts: none seen is no
    evidence, as some logs may be missing."""
    found: list[Said] = []
    for pod in reading.istiod_pods(view):
        try:
            found += lines(view, pod.namespace, pod.name)
        except EvidenceError:
            continue
    return tuple(found)


def of_gateway(view: View, pod: Pod, credentials: frozenset[str]) -> tuple[Said, ...]:
    """Lines that miss or deny a gateway pod one of these Secrets, since the pod started: istiod's,
    and of gateways that fetch Secrets themselves (before 1.8) their own."""
    if not credentials:
        return ()
    start = pod.status.start_time
    out = []
    told = (*sightings(view), *_fetched(view, pod))
    for one in of(told, "secret_missing", "secret_unauthorized"):
        named = one.get("credential").rpartition("/")[2]
        if one.kind == "secret_unauthorized":
            names = one.get("credential").split(",")
            asked = {name.strip().removesuffix("-cacert") for name in names}
            fits = one.get("proxy").startswith(pod.name) and bool(asked & credentials)
        else:
            fits = named.removesuffix("-cacert") in credentials
        if fits and (start is None or one.at is None or one.at >= start):
            out.append(one)
    return tuple(out)


def _fetched(view: View, pod: Pod) -> tuple[Said, ...]:
    container = proxy_container(pod)
    tag = container.image.rpartition(":")[2] if container is not None else ""
    if not (0, 0, 0) < release(tag) < (1, 8, 0):
        return ()
    try:
        return scan(view.log(pod.namespace, pod.name, PROXY).text, GATEWAY)
    except EvidenceError:
        return ()
