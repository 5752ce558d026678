"""Which network plugin does an event name, and what does istio-cni say of a pod?

Texts of kubelet and containerd sandbox errors, of the istio-cni plugin (cni/pkg/plugin) and of its
node agent (cni/pkg/install, cni/pkg/repair, cni/pkg/nodeagent; 1.18 to 1.32-dev).
"""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import is_ready
from meshdoctor.model.kubernetes import ConfigMap, EnvVar, Pod, Workload
from meshdoctor.model.patterns import pattern

ISTIO = "istio-cni"
AGENT_LABELS = ({"k8s-app": "istio-cni-node"}, {"app.kubernetes.io/name": "istio-cni"})
DEFAULT_EXCLUDED = ("kube-system",)
NETWORKS = "k8s.v1.cni.cncf.io/networks"
_CHAINED = "CHAINED_CNI_PLUGIN"
_EXCLUDED = ("EXCLUDE_NAMESPACES", "EXCLUDED_NAMESPACES")
_LISTED = pattern(r'"exclude_?[nN]amespaces":\s*\[([^\]]{0,4000})\]')
_NAME = pattern(r'"([a-z0-9.-]{1,63})"')
PRIMARY = {
    "aws-cni": "aws-node",
    "calico": "calico-node",
    "cilium-cni": "cilium",
    "flannel": "kube-flannel-ds",
    "azure-vnet": "azure-cns",
    "weave-net": "weave-net",
    "kindnet": "kindnet",
    "ptp": "kindnet",
    "multus": "kube-multus-ds",
    "ovn-k8s-cni-overlay": "ovnkube-node",
}
_TYPE = pattern(r'plugin type=\\?"([^"\\]{1,60})\\?"')
_DELEGATE = pattern(r'error adding container to network "([^"]{1,60})"')
"""Which of its networks multus could not add: only that plugin is at fault, not multus."""
_NO_DEFINITION = pattern(
    r"cannot find a network-attachment-definition \(([\w.-]{1,253})\) "
    r"in namespace \(([\w.-]{1,63})\)"
)
_MISSING = pattern(r'failed to find plugin \\?"([^"\\]{1,60})\\?"')
_OWN = pattern(r"createNewK8sClient|unable to push CNI event|istio-cni|istio_cni|ambient.*redirect")
_WORDS = {
    "aws-cni": pattern(r"\badd cmd: "),
    "calico": pattern(r"getting ClusterInformation|/var/lib/calico/|calico/node"),
    "cilium-cni": pattern(r"[Cc]ilium (?:daemon|endpoint|agent)|cilium\.sock"),
    "flannel": pattern(r"/run/flannel/"),
    "multus": pattern(r"\bMultus: "),
}
"""What each plugin says itself: kubelets before 1.24 (networkPlugin cni) do not name it."""
_REFUSED = pattern(r"(?:network|sandbox \S+|\(add\)): Unauthorized$")


def plugin_of(message: str) -> str:
    """The plugin that a FailedCreatePodSandBox or FailedKillPod text blames; "" when it names none.

    The kubelet quotes the error of a sandbox that it cannot take down, so quotes in it are escaped.
    """
    missing = _MISSING.search(message)
    if missing is not None:
        return clean(missing.group(1), 60)
    named = _TYPE.findall(message)
    delegate = _DELEGATE.search(message)
    if delegate is not None and delegate[1].endswith(ISTIO):
        return ISTIO
    if ISTIO in named or (not named and _OWN.search(message)):
        return ISTIO
    if not named:
        return next((name for name, words in _WORDS.items() if words.search(message)), "")
    return clean(named[-1], 60)


def definition_missing(message: str) -> tuple[str, str]:
    """(namespace, name) of the NetworkAttachmentDefinition that multus looked for in vain;
    ("", ""): it says no such thing."""
    found = _NO_DEFINITION.search(message)
    return (found[2], found[1]) if found is not None else ("", "")


def blame(message: str) -> str:
    """The part of a sandbox's failure that tells why: from the plugin's name on, where it has one.

    >>> blame('failed to setup network for sandbox "8a1f": plugin type="istio-cni" failed (add): x')
    'plugin type="istio-cni" failed (add): x'
    """
    named = _TYPE.search(message)
    return message[named.start() :] if named is not None else message


def refused_unnamed(message: str) -> bool:
    """Whether a plugin that is not named got Unauthorized from the API server, and said no more.

    The node's own plugins do not talk like that: they ask an agent, or say what they asked for.
    istio-cni looks the pod up with the token that its agent wrote, and hands the answer on
    (cni/pkg/plugin/plugin.go doAddRun).
    """
    return not plugin_of(message) and bool(_REFUSED.search(message.rstrip(" .")))


def is_agent(pod: Pod) -> bool:
    """Whether a pod is istio-cni's node agent."""
    return _labelled(pod.labels)


def makes_agents(one: Workload) -> bool:
    """Whether a DaemonSet is that of istio-cni's node agent; its name tells where its template was
    not recorded."""
    return one.name == "istio-cni-node" or _labelled(one.spec.template.metadata.labels)


def _labelled(labels: Mapping[str, str]) -> bool:
    return any(wanted.items() <= labels.items() for wanted in AGENT_LABELS)


def agents_by_node(pods: Iterable[Pod]) -> dict[str, Pod]:
    """istio-cni's pod on each node that has one, a ready one first."""
    out: dict[str, Pod] = {}
    for pod in sorted(filter(is_agent, pods), key=lambda p: (not is_ready(p), p.name)):
        out.setdefault(pod.spec.node_name, pod)
    return out


def ready_later_than(agent: Pod, pod: Pod) -> bool | None:
    """Whether the node agent became Ready after the pod started; None: times are not held."""
    condition = agent.condition("Ready")
    since = condition.last_transition_time if condition is not None else None
    started = pod.status.start_time or pod.metadata.creation_timestamp
    return since > started if since is not None and started is not None else None


def excluded_namespaces(config: ConfigMap | None) -> tuple[str, ...]:
    """Namespaces that istio-cni leaves alone; its default when the ConfigMap does not say.

    A variable of the agent, or in the plugin's own configuration, which the ConfigMap held whole
    before 1.14 (manifests/charts/istio-cni/templates/configmap-cni.yaml).
    """
    data = config.data if config is not None else {}
    text = next((data[key] for key in _EXCLUDED if data.get(key)), "")
    found = tuple(one.strip() for one in text.split(",") if one.strip())
    listed = _LISTED.search(data.get("cni_network_config", ""))
    return found or tuple(_NAME.findall(listed[1]) if listed else ()) or DEFAULT_EXCLUDED


def called_by_multus_only(config: ConfigMap | None, env: Iterable[EnvVar]) -> bool:
    """Whether istio-cni is no link of the node's own chain of plugins: multus calls it for the
    pods whose annotation names it (values cni.chained=false, cni.provider=multus)."""
    told = [e.value or "" for e in env if e.name == _CHAINED]
    data = config.data if config is not None else {}
    return next(iter(told), data.get(_CHAINED, "")).strip().lower() == "false"


def attached(annotations: Mapping[str, str]) -> bool:
    """Whether the pod's annotation has multus call istio-cni."""
    return ISTIO in annotations.get(NETWORKS, "")


class CniLog(Struct, frozen=True, kw_only=True):
    """What the node agent's log says; each text is the last of its kind, or ""."""

    overwritten: str
    mixed: str
    excluded: str
    partly_added: str
    health_checks: str
    repair_failed: str


NOTHING_LOGGED = CniLog(
    overwritten="", mixed="", excluded="", partly_added="", health_checks="", repair_failed=""
)
_LINES = {
    "overwritten": pattern(
        r"CNI config(?:uration)? file .*(?:preempted|removed|modified|deleted)|"
        r"CNI plugin configuration.*(?:removed|modified)"
    ),
    "mixed": pattern(r"already injected with istio-init"),
    "excluded": pattern(r"pod namespace \S+ excluded|is labeled for ambient mesh but is excluded"),
    "partly_added": pattern(r"pod partially added|failed to add pod to ztunnel"),
    "repair_failed": pattern(r"failed to setup redirection|[Rr]epair(?:ing)? .*failed"),
    "health_checks": pattern(r"pod will fail healthchecks|collides? with (?:the )?host"),
}


def read_log(text: str, about: str = "") -> CniLog:
    """The agent's complaints; `about` keeps to lines that name a namespace or a pod, except for
    those on the configuration file, which concern the whole node."""
    said = dict.fromkeys(_LINES, "")
    for line in text.splitlines()[-5000:]:
        for key, wanted in _LINES.items():
            if wanted.search(line) and (key == "overwritten" or about in line):
                said[key] = clean(line)
    return CniLog(**said)
