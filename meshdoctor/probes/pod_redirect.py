"""Is the pod's traffic redirected, by istio-init or by istio-cni, and what stops that?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.cni import (
    CniLog,
    agent_on,
    excluded_namespaces,
    is_agent,
    read_log,
    ready_later_than,
)
from meshdoctor.mesh.pod_startup import INIT, VALIDATION, Stage, Startup
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import PROXY, is_native_sidecar, is_ready
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.kubernetes import ConfigMap, Node, Pod
from meshdoctor.model.patterns import pattern
from meshdoctor.model.subjects import SubjectKind, WorkloadSubject
from meshdoctor.probes.injection_reads import all_injectors, decision, injector_config, startups
from meshdoctor.probes.view import View, attempt, known, probe

CNI_CONFIG = "istio-cni-config"
_TELLING = pattern(r"unable|cannot|can't|[Pp]ermission denied|not permitted|xtables lock|failed")
_RIGHTS = pattern(r"Operation not permitted|Permission denied \(you must be root\)")


class PodRedirect(Struct, frozen=True, kw_only=True):
    """The worst pod's redirection: who sets it up, how that went, what the node's agent says."""

    by_init: Annotated[Fact[bool], "istio-init sets it up"]
    by_cni: Annotated[Fact[bool], "istio-cni sets it up; istio-validation checks"]
    injector: Annotated[Fact[Ref], "the injector's ConfigMap, which names hub and tag"]
    cni_enabled: Annotated[Fact[bool], "the injector is told that istio-cni redirects"]
    init_text: Annotated[Fact[str], "last words of an istio-init that failed", OBSERVED]
    init_rights: Annotated[Fact[bool], "istio-init may not do what it must", OBSERVED]
    init_caps_missing: Annotated[Fact[bool], "istio-init lacks NET_ADMIN, NET_RAW or root"]
    app_init: Annotated[Fact[str], "the application's init container that hangs", OBSERVED]
    app_init_exempt: Annotated[Fact[bool], "it runs as 1337, so nothing redirects it"]
    agent: Annotated[Fact[str], "istio-cni's pod on the node; empty: none there"]
    agent_namespace: Annotated[Fact[str], "namespace of istio-cni's pods; empty: none anywhere"]
    agents: Annotated[Fact[int], "istio-cni pods on all nodes"]
    agent_ready: Annotated[Fact[bool], "the one on the node is Ready"]
    agent_later: Annotated[Fact[bool], "it became Ready after the pod started"]
    agent_owner: Annotated[Fact[Ref], "istio-cni's DaemonSet"]
    excluded: Annotated[Fact[bool], "istio-cni leaves the namespace alone"]
    cni_config: Annotated[Fact[Ref], "ConfigMap that says so"]
    overwritten: Annotated[Fact[str], "agent log: its CNI configuration was replaced", OBSERVED]
    mixed: Annotated[Fact[str], "agent log: the pod has istio-init already", OBSERVED]
    mixed_said: Annotated[Fact[str], "the same as the end of a sentence", OBSERVED]
    kernel: Annotated[Fact[str], "kernel of the pod's node"]
    image: Annotated[Fact[str], "operating system image of the node"]


@probe(
    "pod-redirect",
    subject=SubjectKind.WORKLOAD,
    reads=(
        "ConfigMap",
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
    agents = attempt(lambda: _agents(view))
    agent = attempt(lambda: agent_on(known(agents), pod.spec.node_name))
    owner = attempt(lambda: next(iter(known(agents)), None))
    init = attempt(lambda: _init_log(view, one))
    log = attempt(lambda: _agent_log(view, one, known(agent)))
    node = attempt(lambda: _node(view, one))
    config = attempt(lambda: _config(view, known(owner)))
    redirected = pod.container(VALIDATION) is not None and pod.container(INIT) is None
    return PodRedirect(
        by_init=pod.container(INIT) is not None,
        by_cni=redirected,
        injector=attempt(lambda: Ref(_injector(view, subject))),
        cni_enabled=attempt(lambda: _cni_enabled(view)),
        init_text=attempt(lambda: clean(_tail(known(init)))),
        init_rights=attempt(lambda: bool(_RIGHTS.search(known(init)))),
        init_caps_missing=_caps_missing(pod),
        app_init=_app_init(one),
        app_init_exempt=_exempt(pod, one.container),
        agent=attempt(lambda: a.name if (a := known(agent)) is not None else ""),
        agent_namespace=attempt(lambda: a.namespace if (a := known(owner)) is not None else ""),
        agents=attempt(lambda: len(known(agents))),
        agent_ready=attempt(lambda: (a := known(agent)) is not None and is_ready(a)),
        agent_later=attempt(
            lambda: (a := known(agent)) is not None and ready_later_than(a, pod) is True
        ),
        agent_owner=attempt(lambda: Ref(_owner_ref(known(owner)))),
        excluded=attempt(lambda: subject.namespace in excluded_namespaces(known(config))),
        cni_config=attempt(lambda: Ref(c.ref if (c := known(config)) is not None else "")),
        overwritten=attempt(lambda: known(log).overwritten),
        mixed=attempt(lambda: known(log).mixed),
        mixed_said=attempt(lambda: f". Its agent says: {m}" if (m := known(log).mixed) else ""),
        kernel=attempt(lambda: n.status.node_info.kernel_version if (n := known(node)) else ""),
        image=attempt(lambda: n.status.node_info.os_image if (n := known(node)) else ""),
    )


def _agents(view: View) -> tuple[Pod, ...]:
    """istio-cni's pods, wherever they are usually installed."""

    def build(v: View) -> tuple[Pod, ...]:
        spaces = dict.fromkeys((v.istio_namespace, "kube-system"))
        return tuple(p for ns in spaces for p in v.objects("Pod", Pod, ns) if is_agent(p))

    return view.memo("istio-cni-agents", build)


def _owner_ref(agent: Pod | None) -> str:
    owner = next(iter(agent.metadata.owner_references), None) if agent is not None else None
    if agent is None or owner is None:
        return ""
    return f"{owner.kind}/{agent.namespace}/{owner.name}"


def _config(view: View, agent: Pod | None) -> ConfigMap | None:
    if agent is None:
        return None
    return view.object("ConfigMap", ConfigMap, agent.namespace, CNI_CONFIG)


def _cni_enabled(view: View) -> bool:
    """Whether any injector is told that istio-cni redirects."""
    for one in all_injectors(view):
        config = injector_config(view, one)
        if config is not None and config.cni:
            return True
    return False


def _injector(view: View, subject: WorkloadSubject) -> str:
    called = decision(view, subject).called
    config = injector_config(view, called[-1]) if called else None
    return config.ref if config is not None else ""


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
    telling = [x for x in lines if _TELLING.search(x)]
    return (telling or lines or [""])[-1]


def _agent_log(view: View, one: Startup, agent: Pod | None) -> CniLog:
    """The node agent's log, read only when the pod is held up before its containers run."""
    if agent is None or one.stage not in (Stage.SANDBOX, Stage.INIT):
        return read_log("")
    container = agent.spec.containers[0].name if agent.spec.containers else "install-cni"
    text = view.log(agent.namespace, agent.name, container).text
    return read_log(text, one.pod.namespace)


def _node(view: View, one: Startup) -> Node | None:
    if one.stage is not Stage.INIT or not one.pod.spec.node_name:
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
    """An init container of the application's own that runs or fails while no proxy is there."""
    mine = one.container not in (INIT, VALIDATION, PROXY, "enable-core-dump", "")
    waits = one.stage is Stage.INIT and not is_native_sidecar(one.pod)
    return one.container if mine and waits else ""


def _exempt(pod: Pod, name: str) -> bool:
    container = pod.container(name)
    own = container.security_context if container is not None else None
    return own is not None and own.run_as_user == 1337
