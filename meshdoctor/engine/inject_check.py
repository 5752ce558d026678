"""Would a sidecar be injected, by which webhook, and what would admission refuse?

Asks the probes on injection about one workload, existing or laid over the source, and puts their
facts into one answer. A fact that could not be seen makes the answer undecided, never a yes.
"""

from typing import Any

from meshdoctor.mesh.webhooks import namespace_labels, unmet
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.inject_check import Checked, Outcome
from meshdoctor.model.subjects import WorkloadSubject
from meshdoctor.ports import EvidenceError
from meshdoctor.probes.injection_reads import all_injectors, new_pod
from meshdoctor.probes.reading import workload
from meshdoctor.probes.registry import BY_NAME
from meshdoctor.probes.view import View

PROBES = ("injection-decision", "injection-call", "injection-refusal", "injection-room")


def check(view: View, subject: WorkloadSubject) -> Checked:
    """The answer for one workload; raises EvidenceError when even its labels are not to be had."""
    decided, call, refusal, room = (_facts(view, name, subject) for name in PROBES)
    if isinstance(decided, Unavailable):
        error = EvidenceError(decided.what, decided.detail, decided.remedy)
        error.unavailable = decided
        raise error
    lost: list[str] = []
    unread: list[str] = []
    injected = _seen(decided.injected, lost)
    refusals: list[str] = []
    if decided.asked:
        refusals += _call(call, lost) + (_refusal(refusal, lost) if injected else [])
        refusals += _room(room, unread)
    open_ = decided.fail_open is True
    return Checked(
        workload=subject.ref,
        outcome=_outcome(injected, refusals, lost, fail_open=open_),
        clause=str(decided.clause),
        because=str(decided.because),
        webhook=str(decided.webhook),
        entry="" if isinstance(call, Unavailable) else str(call.webhook),
        revision=str(decided.revision),
        has_sidecar=None if not decided.pods else decided.uninjected == 0,
        refusals=tuple(refusals),
        passed_over=() if decided.asked else _passed_over(view, subject),
        not_seen=tuple(dict.fromkeys(lost)),
        not_judged=tuple(dict.fromkeys(unread)),
    )


def _passed_over(view: View, subject: WorkloadSubject) -> tuple[str, ...]:
    """Each active webhook with the requirement that this pod does not meet, at most ten."""
    pod = new_pod(view, workload(view, subject))
    labels = namespace_labels(pod.namespace, pod.namespace_labels)
    active = [one for one in all_injectors(view) if not one.deactivated]
    return tuple(
        f"{one.config.name} {one.webhook.name}: {unmet(one.webhook, labels, pod.labels)}"
        for one in active[:10]
    )


def _facts(view: View, name: str, subject: WorkloadSubject) -> Any:
    try:
        return BY_NAME[name].run(view, subject)
    except EvidenceError as error:
        return error.unavailable


def _seen(value: Any, lost: list[str]) -> Any:
    """The value; None, with what is missing noted, when it could not be seen."""
    if isinstance(value, Unavailable):
        lost.append(str(value))
        return None
    return value


def _outcome(
    injected: bool | None, refusals: list[str], lost: list[str], *, fail_open: bool
) -> Outcome:
    """Refused only when the pod would not be created; a webhook that fails open lets it pass."""
    if injected is False and not refusals:
        return Outcome.NOT_INJECTED
    if refusals:
        return Outcome.NOT_INJECTED if fail_open else Outcome.REFUSED
    if injected is None or lost:
        return Outcome.UNDECIDED
    return Outcome.INJECTED


def _call(call: Any, lost: list[str]) -> list[str]:
    """Why the API server would get no answer from the webhook."""
    if _seen(call, lost) is None:
        return []
    out = []
    if _seen(call.service_exists, lost) is False:
        return [f"{call.config} calls {call.service}, which does not exist"]
    if _seen(call.ready_endpoints, lost) == 0:
        out.append(f"{call.service} has no ready endpoint ({_seen(call.istiod_state, lost)})")
    elif _seen(call.policy, lost) or _seen(call.port_open, lost) is False:
        out.append(f"the API server cannot reach istiod: {_seen(call.obstacle, lost)}")
    if _seen(call.ca, lost) in ("empty", "differs", "unreadable"):
        out.append(f"caBundle of {call.config} is not istiod's root ({call.ca})")
    return out


def _refusal(found: Any, lost: list[str]) -> list[str]:
    """What istiod or a later admission check would say to the pod."""
    if _seen(found, lost) is None:
        return []
    out = []
    if _seen(found.values_error, lost):
        out.append(f"{found.injector} cannot be rendered: {found.values_error}")
    if found.annotation:
        out.append(f"istiod refuses the annotation {found.annotation_said}")
    if _seen(found.portless, lost):
        out.append(
            f"status.sidecar.istio.io/port={found.status_port} leads {found.portless} to port 0"
        )
    if _seen(found.template, lost):
        out.append(f"template {found.template} does not exist; there are {found.templates}")
    if found.annotation_conflict:
        out.append(f"the proxy's resources are invalid: {found.annotation_conflict}")
    cni = _seen(found.cni, lost)
    if cni is False and found.enforce in ("baseline", "restricted"):
        out.append(f"Pod Security level {found.enforce} refuses istio-init (no istio-cni)")
    return out


def _room(found: Any, unread: list[str]) -> list[str]:
    """What bounds of the namespace would refuse. Few namespaces have any, and few bundles hold
    them: where they cannot be read the answer stands, and says so."""
    told = _seen(found, unread)
    facts = (told.limit, told.quota) if told is not None else ()
    return [text for text in (_seen(fact, unread) for fact in facts) if text]
