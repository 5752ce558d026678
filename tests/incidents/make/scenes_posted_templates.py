"""Which incidents of what injection is told are rebuilt from reports?"""

import json

from tests.incidents.make import objects as o
from tests.incidents.make.objects import Manifest
from tests.incidents.make.posted import Posted, waiting
from tests.incidents.make.scenes_posted import BETA
from tests.incidents.make.world import at, whole

TEMPLATE = 'spec:\n  containers:\n  - name: istio-proxy\n    image: "{{ .ProxyImage }}"\n'
GREETING = (
    "spec:\n  containers:\n  - name: istio-proxy\n    env:\n"
    "    - name: GREETING\n      value: hello\n"
)
TWICE = 'Pod "web-1" is invalid: spec.initContainers[1].name: Duplicate value: "istio-proxy"'
SOCKET = "./var/run/secrets/workload-spiffe-uds/socket"
LACKING = (
    "OCI runtime create failed: container_linux.go:344: starting container process caused "
    '"exec: \\"istio-iptables\\": executable file not found in $PATH": unknown'
)


def enum_in_small_letters() -> Posted:
    """istio/istio#54012."""
    world = Posted(
        name="enum-in-small-letters",
        version="1.23.3",
        summary="accessLogEncoding json is no value of its enum: istiod refuses the whole text.",
        at_fault=["ConfigMap/istio-system/istio"],
        fix="accessLogEncoding: JSON.",
        from_="hello/web",
        to="",
    )
    world.mesh["accessLogEncoding"] = "json"
    world.mesh["defaultConfig"]["terminationDrainDuration"] = "30s"
    world.namespace("hello")
    pod = world.workload("hello", "web", [8080])
    world.service("hello", "web", [("http", 80, 8080)])
    world.log(
        pod,
        "istio-proxy",
        f"{at(9)}\tinfo\tAgent draining Proxy for termination",
        f"{at(9)}\tinfo\tGraceful termination period is 5s, starting...",
    )
    world.status()
    return world


def template_names_the_proxy_again() -> Posted:
    """istio/istio#56455."""
    world = Posted(
        name="template-names-the-proxy-again",
        version="1.25.1",
        summary="A custom template names istio-proxy among containers; sidecars are native here.",
        at_fault=["ConfigMap/istio-system/istio-sidecar-injector"],
        fix="initContainers in the template, or no native sidecars.",
        from_="",
        to="shop/web:80",
    )
    _told(world, {"sidecar": TEMPLATE, "custom": GREETING}, "proxyv2")
    world.namespace("shop")
    notes = {"inject.istio.io/templates": "sidecar,custom"}
    pod = world.workload("shop", "web", [8080], annotations=notes)
    world.service("shop", "web", [("http", 80, 8080)])
    world.refuse(pod, TWICE)
    return world


def init_image_of_an_older_release() -> Posted:
    """istio/istio#20764."""
    world = Posted(
        name="init-image-of-an-older-release",
        version="1.4.0",
        apis=BETA,
        summary="The values still name proxy_init, an image that holds no istio-iptables.",
        at_fault=["ConfigMap/istio-system/istio-sidecar-injector"],
        fix="global.proxy_init.image: proxyv2.",
        from_="",
        to="prod/api:80",
    )
    _told(world, {"sidecar": TEMPLATE}, "proxy_init")
    world.namespace("prod")
    pod = world.workload("prod", "api", [8080])
    world.service("prod", "api", [("http", 80, 8080)])
    pod.manifest["spec"]["initContainers"][0]["image"] = "docker.io/istio/proxy_init:1.3.3"
    ended = {"exitCode": 127, "reason": "ContainerCannotRun", "message": LACKING}
    again = {"waiting": {"reason": "CrashLoopBackOff"}}
    last = {**ended, "startedAt": whole(4), "finishedAt": whole(4)}
    state = {"restartCount": 5, "state": again, "lastState": {"terminated": last}}
    waiting(pod, "istio-init", state, init=True)
    pod.manifest["status"]["phase"] = "Pending"
    for one in pod.manifest["status"]["containerStatuses"]:
        begins = {"waiting": {"reason": "PodInitializing"}}
        one.update({"ready": False, "started": False, "state": begins})
    world.event("Pod", "prod", pod.name, "BackOff", "Back-off restarting failed container")
    return world


def template_without_the_agents_socket() -> Posted:
    """istio/istio#42618."""
    world = Posted(
        name="template-without-the-agents-socket",
        version="1.14.6",
        apis=BETA,
        summary="The template is still that of 1.13, and mounts no folder for the agent's socket.",
        at_fault=["ConfigMap/istio-system/istio-sidecar-injector"],
        fix="The template of the release.",
        from_="",
        to="shop/web:80",
    )
    _told(world, {"sidecar": TEMPLATE}, "proxyv2")
    world.namespace("shop")
    pod = world.workload("shop", "web", [8080])
    world.service("shop", "web", [("http", 80, 8080)])
    running = {"started": True, "state": {"running": {"startedAt": whole(25)}}}
    waiting(pod, "istio-proxy", running)
    world.log(
        pod,
        "istio-proxy",
        f"{at(20)}\twarn\tFailed to create directory for {SOCKET}: mkdir: read-only file system",
        f"{at(20)}\terror\tsds\tFailed to set up UDS path: failed to listen on unix socket "
        f'"{SOCKET}": bind: no such file or directory',
        f"{at(3)}\twarn\tEnvoy proxy is NOT ready: config not received from XDS server (is Istiod "
        "running?): cds updates: 1 successful, 0 rejected; lds updates: 0 successful, 0 rejected",
    )
    return world


def selector_of_the_clouds_enforcer() -> Posted:
    """Azure/kubeflow-aks#18."""
    world = Posted(
        name="selector-of-the-clouds-enforcer",
        version="1.17.2",
        apis=BETA,
        summary="The cloud adds control-plane DoesNotExist to the webhook; the namespace has it.",
        at_fault=["MutatingWebhookConfiguration//istio-sidecar-injector", "Namespace//pipelines"],
        fix="admissions.enforcer/disabled on the webhook, or drop the namespace's label.",
        from_="pipelines/ui",
        to="",
    )
    world.namespace("pipelines")
    world.objects[-1]["metadata"]["labels"]["control-plane"] = "pipelines"
    world.workload("pipelines", "ui", [3000], injected=False)
    world.service("pipelines", "ui", [("http", 80, 3000)])
    world.change("MutatingWebhookConfiguration", "", "istio-sidecar-injector", _enforced)
    world.status()
    return world


def _enforced(one: Manifest) -> None:
    for hook in one["webhooks"]:
        added = {"key": "control-plane", "operator": "DoesNotExist"}
        hook["namespaceSelector"]["matchExpressions"].append(added)


def _told(world: Posted, templates: dict[str, str], init: str) -> None:
    """The injector's ConfigMap."""
    values = {"global": {"hub": "docker.io/istio", "proxy_init": {"image": init}}}
    config = {"policy": "enabled", "defaultTemplates": ["sidecar"], "templates": templates}
    data = {"config": json.dumps(config), "values": json.dumps(values)}
    world.objects.append(o.make("ConfigMap", "istio-system", "istio-sidecar-injector", data=data))


POSTED_TEMPLATES = (
    enum_in_small_letters,
    init_image_of_an_older_release,
    selector_of_the_clouds_enforcer,
    template_names_the_proxy_again,
    template_without_the_agents_socket,
)
