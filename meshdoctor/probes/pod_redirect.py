"""Is the pod's traffic redirected, by istio-init or by istio-cni, and what stops that?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.admission import standing
from meshdoctor.mesh.agent_log import refused_settings
from meshdoctor.mesh.capture import PROXY_UID, excludes_some
from meshdoctor.mesh.cni import NOTHING_LOGGED, CniLog, attached, read_log, ready_later_than
from meshdoctor.mesh.init_calls import exempt, targets
from meshdoctor.mesh.pod_startup import INIT, VALIDATION, Stage, Startup
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import PROXY, is_native_sidecar, owner_of
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.kubernetes import Node, NodeInfo, Pod, Workload
from meshdoctor.model.patterns import pattern
from meshdoctor.model.subjects import SubjectKind, WorkloadSubject
from meshdoctor.ports import NotRecordedError
from meshdoctor.probes.injection_reads import (
    all_injectors,
    injector_config,
    next_of,
    supposed_config,
)
from meshdoctor.probes.node_reads import (
    CniConfig,
    NodePod,
    NodePods,
    agent_set,
    cni_config,
    log_of_agent,
    node_pods,
)
from meshdoctor.probes.reading import istiod_pods
from meshdoctor.probes.startup_reads import events_of, startups
from meshdoctor.probes.view import View, attempt, known, probe

UNTAINT = "PILOT_ENABLE_NODE_UNTAINT_CONTROLLERS"
ENVOY, SOCKET = "istio-envoy", "workload-socket"
"""Volumes that every template adds, and those since 1.14."""
SYSTEM = "kubernetes.io/os"
COMPUTE = "eks.amazonaws.com/compute-type"
NOWHERE = NodePods(tunnels={}, agents_on={}, agents=())
NO_CONFIG = CniConfig(ref=Ref(""), excluded=frozenset(), by_multus=False)
_TELLING = pattern(r"unable|cannot|can't|[Pp]ermission denied|not permitted|xtables lock|failed")
_UNCONCERNED = pattern(r"GOMEMLIMIT")
"""Said by every agent that is in no control group of its own; it goes on."""
_OWN_KERNEL = pattern(r"gvisor|runsc|kata")
"""In the usual names of RuntimeClasses whose pods do not run on the node's kernel."""
_RIGHTS = pattern(r"Operation not permitted|Permission denied \(you must be root\)")


class PodRedirect(Struct, frozen=True, kw_only=True):
    """The worst pod's redirection: who sets it up, how that went, what the node's agent says."""

    by_init: Annotated[Fact[bool], "istio-init sets it up"]
    by_cni: Annotated[Fact[bool], "istio-cni sets it up; istio-validation checks"]
    injector: Annotated[Fact[Ref], "the injector's ConfigMap, which names hub and tag"]
    told_by: Annotated[
        Fact[Ref], "the same, by the name that istiod reads it by where it is not on record"
    ]
    template_without_socket: Annotated[
        Fact[Ref],
        "that ConfigMap, where istio-proxy was given no folder for its agent's socket, which "
        "templates since 1.14 mount; empty: it was",
    ]
    cni_enabled: Annotated[Fact[bool], "the injector is told that istio-cni redirects"]
    init_text: Annotated[Fact[str], "last words of an istio-init that failed", OBSERVED]
    init_settings: Annotated[
        Fact[str], "its words over an argument that it does not take; empty: none", OBSERVED
    ]
    init_rights: Annotated[Fact[bool], "istio-init may not do what it must", OBSERVED]
    init_caps_missing: Annotated[Fact[bool], "istio-init lacks NET_ADMIN, NET_RAW or root"]
    app_init: Annotated[Fact[str], "the application's hanging, redirected init container", OBSERVED]
    app_init_exempt: Annotated[Fact[bool], "it runs as 1337, or its calls are excluded"]
    agent: Annotated[Fact[str], "istio-cni's pod on the node; empty: none there"]
    agent_namespace: Annotated[Fact[str], "namespace of istio-cni's pods; empty: none anywhere"]
    agents: Annotated[Fact[int], "istio-cni pods on all nodes"]
    agent_ready: Annotated[Fact[bool], "the one on the node is Ready"]
    agent_later: Annotated[Fact[bool], "it became Ready after the pod started"]
    agent_owner: Annotated[Fact[Ref], "istio-cni's DaemonSet"]
    agents_refused: Annotated[
        Fact[str], "why no pod of it is made, as the end of a sentence; empty: not told", OBSERVED
    ]
    excluded: Annotated[Fact[bool], "istio-cni leaves the namespace alone"]
    cni_config: Annotated[Fact[Ref], "ConfigMap that says so"]
    unattached: Annotated[
        Fact[bool], "only multus calls istio-cni, and the pod's annotation does not name it"
    ]
    overwritten: Annotated[Fact[str], "agent log: its CNI configuration was replaced", OBSERVED]
    mixed: Annotated[Fact[str], "agent log: the pod has istio-init already", OBSERVED]
    mixed_said: Annotated[Fact[str], "the same as the end of a sentence", OBSERVED]
    repair_said: Annotated[
        Fact[str], "agent log: it could not mend the pod's redirection, as the end of a sentence"
    ]
    kernel: Annotated[Fact[str], "kernel of the pod's node"]
    image: Annotated[Fact[str], "operating system image of the node"]
    untainter: Annotated[
        Fact[Ref], "istiod's workload, when it is not told to take istio-cni's taint from nodes"
    ]
    fargate: Annotated[Fact[bool], "the node is Fargate's: no DaemonSet runs there"]
    windows: Annotated[Fact[bool], "the pod asks for Windows, or its node is seen to run it"]
    sandboxed_by: Annotated[
        Fact[str], "RuntimeClass that the pod asks for, named after a runtime with its own kernel"
    ]


@probe(
    "pod-redirect",
    subject=SubjectKind.WORKLOAD,
    reads=(
        "ConfigMap",
        "DaemonSet",
        "Deployment",
        "Event",
        "MutatingWebhookConfiguration",
        "Node",
        "Pod",
        "log",
    ),
)
def pod_redirect(view: View, subject: WorkloadSubject) -> PodRedirect:
    """Is the pod's traffic redirected, by istio-init or by istio-cni, and what stops that?"""
    one = startups(view, subject).worst
    pod = one.pod
    nodes = attempt(lambda: node_pods(view))
    gone = nodes if isinstance(nodes, Unavailable) else None
    near = nodes if isinstance(nodes, NodePods) else NOWHERE
    agent = near.agents_on.get(pod.spec.node_name)
    first = near.agents[0] if near.agents else None
    waits = one.stage is Stage.INIT and one.container == VALIDATION
    lacking = _lacking(view) if waits and agent is None else NO_SET
    held = NOT_HELD if one.stage >= Stage.READY and not gone else _held(view, one, agent, gone)
    config = attempt(lambda: cni_config(view))
    unread = config if isinstance(config, Unavailable) else None
    says = config if isinstance(config, CniConfig) else NO_CONFIG
    by_init = pod.container(INIT) is not None
    injector = attempt(lambda: _injector(view, subject))
    told_by = injector or attempt(lambda: _supposed(view, subject))
    return PodRedirect(
        by_init=by_init,
        by_cni=not by_init and pod.container(VALIDATION) is not None,
        injector=injector,
        told_by=told_by,
        template_without_socket=Ref("") if _mounts_socket(pod) else told_by,
        cni_enabled=view.memo("cni-enabled", _cni_enabled),
        init_text=held.init_text,
        init_settings=held.init_settings,
        init_rights=held.init_rights,
        init_caps_missing=by_init and _caps_missing(pod),
        app_init=_app_init(one),
        app_init_exempt=_exempt(view, one),
        agent=gone or (agent.pod.name if agent is not None else ""),
        agent_namespace=gone or (first.namespace if first is not None else ""),
        agents=gone or len(near.agents),
        agent_ready=gone or (agent is not None and agent.ready),
        agent_later=gone or (agent is not None and ready_later_than(agent.pod, pod) is True),
        agent_owner=gone or (Ref(_owner_ref(first)) if first is not None else lacking.owner),
        agents_refused=gone or lacking.refused,
        excluded=unread or subject.namespace in says.excluded,
        cni_config=unread or says.ref,
        unattached=unread or (says.by_multus and not attached(pod.annotations)),
        overwritten=held.overwritten,
        mixed=held.mixed,
        mixed_said=held.mixed_said,
        repair_said=held.repair_said,
        kernel=held.kernel,
        image=held.image,
        untainter=attempt(lambda: _untainter(view)),
        fargate=held.fargate,
        windows=held.windows,
        sandboxed_by=_sandboxed_by(pod),
    )


def _sandboxed_by(pod: Pod) -> str:
    name = pod.spec.runtime_class_name
    return clean(name, 253) if _OWN_KERNEL.search(name) else ""


def _mounts_socket(pod: Pod) -> bool:
    volumes = {v.name for v in pod.spec.volumes}
    return ENVOY not in volumes or SOCKET in volumes


def _untainter(view: View) -> Ref:
    """istiod takes the taint cni.istio.io/not-ready away since 1.22, when told to."""

    def find(v: View) -> Ref:
        pods = istiod_pods(v)
        told = (
            e.value for p in pods for c in p.spec.containers for e in c.env if e.name == UNTAINT
        )
        return Ref(owner_of(pods[0]).ref if pods and "true" not in told else "")

    return view.memo("untainter", find)


class _Set(Struct, frozen=True, kw_only=True):
    """istio-cni's DaemonSet where it has no pod on the node, and what keeps one from being made."""

    owner: Fact[Ref] = Ref("")
    refused: Fact[str] = ""


NO_SET = _Set()


def _lacking(view: View) -> _Set:
    found = attempt(lambda: agent_set(view))
    if isinstance(found, Unavailable):
        return _Set(owner=found, refused=found)
    if found is None:
        return NO_SET
    one = found
    return _Set(owner=Ref(one.ref), refused=attempt(lambda: _refusal(view, one)))


def _refusal(view: View, one: Workload) -> str:
    events = events_of(view, one.namespace).get((one.kind, one.name), [])
    said = standing([one], events, view.now)
    return f". The API server makes no pod of {one.ref}: {said.text}" if said is not None else ""


class _Held(Struct, frozen=True, kw_only=True):
    """What logs and the node say of a pod that is held up; empty: nothing."""

    init_text: Fact[str] = ""
    init_settings: Fact[str] = ""
    init_rights: Fact[bool] = False
    overwritten: Fact[str] = ""
    mixed: Fact[str] = ""
    mixed_said: Fact[str] = ""
    repair_said: Fact[str] = ""
    kernel: Fact[str] = ""
    image: Fact[str] = ""
    fargate: Fact[bool] = False
    windows: Fact[bool] = False


NOT_HELD = _Held()


def _held(view: View, one: Startup, agent: NodePod | None, gone: Unavailable | None) -> _Held:
    init = attempt(lambda: _init_log(view, one))
    log = attempt(lambda: _agent_log(view, one, agent)) if gone is None else gone
    node = attempt(lambda: _node(view, one))
    info = node.status.node_info if isinstance(node, Node) else NodeInfo()
    off = node if isinstance(node, Unavailable) else None
    mixed = log if isinstance(log, Unavailable) else log.mixed
    return _Held(
        init_text=attempt(lambda: clean(_tail(known(init)))),
        init_settings=attempt(lambda: clean(refused_settings(known(init)))),
        init_rights=attempt(lambda: bool(_RIGHTS.search(known(init)))),
        overwritten=log if isinstance(log, Unavailable) else log.overwritten,
        mixed=mixed,
        mixed_said=f". Its agent says: {mixed}" if isinstance(mixed, str) and mixed else mixed,
        repair_said=log if isinstance(log, Unavailable) else _ending(log.repair_failed),
        kernel=off or info.kernel_version,
        image=off or info.os_image,
        fargate=off or (isinstance(node, Node) and node.labels.get(COMPUTE) == "fargate"),
        windows=one.pod.spec.node_selector.get(SYSTEM) == "windows"
        or (isinstance(node, Node) and node.labels.get(SYSTEM) == "windows"),
    )


def _ending(said: str) -> str:
    return f". Its agent says: {said}" if said else ""


def _owner_ref(agent: Pod | None) -> str:
    owner = next(iter(agent.metadata.owner_references), None) if agent is not None else None
    if agent is None or owner is None:
        return ""
    return f"{owner.kind}/{agent.namespace}/{owner.name}"


def _cni_enabled(view: View) -> Fact[bool]:
    """Whether any injector is told that istio-cni redirects; missing when that of one cannot be
    read before."""

    def any_told() -> bool:
        configs = (injector_config(view, one) for one in all_injectors(view))
        return any(config is not None and config.cni for config in configs)

    return attempt(any_told)


def _injector(view: View, subject: WorkloadSubject) -> Ref:
    coming = next_of(view, subject)
    called, config = coming.decision.called, coming.config
    if called and not coming.seen:
        config = injector_config(view, called[-1])
    return Ref(config.ref if config is not None else "")


def _supposed(view: View, subject: WorkloadSubject) -> Ref:
    """Where no webhook is asked, nobody's."""
    called = next_of(view, subject).decision.called
    return Ref(supposed_config(called[-1]) if called else "")


def _init_log(view: View, one: Startup) -> str:
    """The log of an istio-init that failed, the last run's when a new one has just begun."""
    if one.container != INIT or one.exit_code == 0:
        return ""
    try_previous = one.restarts > 0
    current = attempt(lambda: view.log(one.pod.namespace, one.pod.name, INIT).text)
    if isinstance(current, str) and (current.strip() or not try_previous):
        return current
    return view.log(one.pod.namespace, one.pod.name, INIT, previous=True).text


def _tail(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    telling = [x for x in lines if _TELLING.search(x) and not _UNCONCERNED.search(x)]
    return (telling or lines or [""])[-1]


def _agent_log(view: View, one: Startup, agent: NodePod | None) -> CniLog:
    """The node agent's log, read only when the pod is held up before its containers run."""
    if agent is None or one.stage not in (Stage.SANDBOX, Stage.INIT):
        return NOTHING_LOGGED
    return read_log(log_of_agent(view, agent.pod), one.pod.namespace)


def _node(view: View, one: Startup) -> Node | None:
    if one.stage not in (Stage.IMAGE, Stage.INIT) or not one.pod.spec.node_name:
        return None
    return view.object("Node", Node, "", one.pod.spec.node_name)


def _caps_missing(pod: Pod) -> bool:
    container = pod.container(INIT)
    if container is None:
        return False
    own = container.security_context
    added = own.capabilities.add if own is not None and own.capabilities is not None else ()
    user = own.run_as_user if own is not None else None
    if own is not None and own.privileged:
        return False
    return (own is not None and not {"NET_ADMIN", "NET_RAW"} <= set(added)) or (
        user is not None and user != 0
    )


def _app_init(one: Startup) -> str:
    """An init container of the application's own that runs or fails while its traffic is
    redirected and no proxy is there: istio-cni redirects from the start, istio-init only what runs
    after it (init containers that a later webhook appends, a Vault agent's say)."""
    mine = one.container not in (INIT, VALIDATION, PROXY, "enable-core-dump", "")
    waits = one.stage is Stage.INIT and not is_native_sidecar(one.pod)
    return one.container if mine and waits and _redirected(one) else ""


def _redirected(one: Startup) -> bool:
    names = [c.name for c in one.pod.spec.init_containers]
    if INIT not in names:
        return VALIDATION in names
    return one.container in names[names.index(INIT) + 1 :]


def _exempt(view: View, one: Startup) -> Fact[bool]:
    """Nothing redirects user 1337, nor what the pod's settings exclude. Where these spare a part,
    the container's log tells where its calls go."""
    container = one.pod.container(one.container)
    own = container.security_context if container is not None else None
    if not _app_init(one) or (own is not None and own.run_as_user == PROXY_UID):
        return own is not None and own.run_as_user == PROXY_UID
    if excludes_some(one.pod):
        return attempt(lambda: _spared(view, one))
    return exempt(one.pod, frozenset()) is True


def _spared(view: View, one: Startup) -> bool:
    pod = one.pod
    told = exempt(pod, targets(view.log(pod.namespace, pod.name, one.container).text))
    if told is None:
        raise NotRecordedError(
            f"where init container {one.container} of {pod.namespace}/{pod.name} calls",
            "its log names no failing call, and the pod's annotations exclude some",
        )
    return told
