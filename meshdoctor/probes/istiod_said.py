"""What did the istiods log, so far as their logs can be read? Shared reading; not a probe."""

from meshdoctor.mesh.log_lines import Said, of, scan
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
    """Lines that miss or deny a gateway pod one of these Secrets, since the pod started."""
    if not credentials:
        return ()
    start = pod.status.start_time
    out = []
    for one in of(sightings(view), "secret_missing", "secret_unauthorized"):
        named = one.get("credential").rpartition("/")[2]
        if one.kind == "secret_unauthorized":
            asked = {name.strip() for name in one.get("credential").split(",")}
            fits = one.get("proxy").startswith(pod.name) and bool(asked & credentials)
        else:
            fits = named.removesuffix("-cacert") in credentials
        if fits and (start is None or one.at is None or one.at >= start):
            out.append(one)
    return tuple(out)
