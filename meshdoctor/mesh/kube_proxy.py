"""Does kube-proxy know the node that it runs on?

It looks its node up by the host's name, unless --hostname-override gives another
(cmd/kube-proxy/app, pkg/util/node GetNodeIP; 1.14 to 1.34). Endpoints carry the Node's name: where
the two differ, none is local, and a Service with externalTrafficPolicy Local answers its health
check with 503 on every node and drops what comes.
"""

from collections.abc import Container

from meshdoctor.mesh.text import clean
from meshdoctor.model.kubernetes import Pod
from meshdoctor.model.patterns import pattern

_LABELS = ({"k8s-app": "kube-proxy"}, {"component": "kube-proxy"})
_SAID = pattern(
    r'Failed to retrieve node info[:"].{0,40}?nodes \\?"(?P<node>[\w.\-]{1,253})\\?" not found|'
    r"Successfully retrieved (?:node IP|NodeIPs)"
)


def is_kube_proxy(pod: Pod) -> bool:
    """Whether a pod is kube-proxy."""
    return any(wanted.items() <= pod.labels.items() for wanted in _LABELS)


def unknown_node(text: str, nodes: Container[str]) -> str:
    """The name under which kube-proxy last looked for its node in vain, if no Node has it; "": it
    found its node, or said nothing.

    >>> unknown_node('Failed to retrieve node info: nodes "n1.corp" not found', {"n1.internal"})
    'n1.corp'
    """
    found = ""
    for line in text.splitlines()[-5000:]:
        said = _SAID.search(line[:2000])
        if said is not None:
            found = said["node"] or ""
    return clean(found, 253) if found not in nodes else ""
