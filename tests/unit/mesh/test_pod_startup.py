"""A pod's way to Ready: states, events and logs as the kubelet and the agent write them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshdoctor.mesh import agent_log, cni
from meshdoctor.mesh.agent_log import Complaint
from meshdoctor.mesh.pod_ends import (
    app_died_early,
    eviction,
    job_held_by_proxy,
    out_of_memory,
    probe_kills,
    proxy_ended,
)
from meshdoctor.mesh.pod_startup import Stage, glance, judge, stays_behind_its_proxy, worst
from meshdoctor.mesh.proxy_setup import answers_dns
from meshdoctor.model.istio import MeshConfig, ProxyDefaults
from meshdoctor.model.kubernetes import (
    Condition,
    ConfigMap,
    Container,
    ContainerState,
    ContainerStatus,
    EnvVar,
    Event,
    Meta,
    Pod,
    PodSpec,
    PodStatus,
    Running,
    TargetRef,
    Terminated,
    Waiting,
)

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
BORN = NOW - timedelta(minutes=30)
RUNNING = ContainerState(running=Running(started_at=BORN))


def waiting(reason: str) -> ContainerState:
    return ContainerState(waiting=Waiting(reason=reason))


def ended(code: int, reason: str = "Error", ago: int = 10) -> ContainerState:
    at = NOW - timedelta(minutes=ago)
    return ContainerState(terminated=Terminated(exit_code=code, reason=reason, finished_at=at))


def status(name: str, state: ContainerState, **more: Any) -> ContainerStatus:
    return ContainerStatus(name=name, state=state, **more)


def pod(
    *statuses: ContainerStatus,
    init: tuple[ContainerStatus, ...] = (),
    native: bool = False,
    node: str = "n1",
    phase: str = "Pending",
    conditions: tuple[Condition, ...] = (),
    restart_policy: str = "Always",
) -> Pod:
    inits = tuple(
        Container(
            name=s.name, restart_policy="Always" if native and s.name == "istio-proxy" else ""
        )
        for s in init
    )
    return Pod(
        kind="Pod",
        metadata=Meta(name="cart-1", namespace="shop", creation_timestamp=BORN),
        spec=PodSpec(
            containers=tuple(Container(name=s.name) for s in statuses),
            init_containers=inits,
            node_name=node,
            restart_policy=restart_policy,
        ),
        status=PodStatus(
            phase=phase,
            container_statuses=statuses,
            init_container_statuses=init,
            conditions=conditions,
        ),
    )


def event(reason: str, message: str, ago: int = 5, **more: Any) -> Event:
    return Event(
        metadata=Meta(namespace="shop", name=reason),
        involved_object=TargetRef(kind="Pod", name="cart-1", namespace="shop"),
        reason=reason,
        message=message,
        last_timestamp=NOW - timedelta(minutes=ago),
        **{"type": "Warning", **more},
    )


READY = (Condition(type="Ready", status="True"),)
CRASH = waiting("CrashLoopBackOff")
ROWS: list[tuple[str, Pod, list[Event], Stage, str, int]] = [
    ("ready", pod(phase="Running", conditions=READY), [], Stage.READY, "", 0),
    ("ready beats an old event", pod(phase="Running", conditions=READY),
     [event("FailedCreatePodSandBox", "x")], Stage.READY, "", 0),
    ("ended", pod(phase="Succeeded"), [], Stage.ENDED, "", 0),
    ("unscheduled", pod(node=""), [event("FailedScheduling", "Insufficient cpu")],
     Stage.UNSCHEDULED, "", 0),
    ("not yet scheduled", pod(node=""), [], Stage.STARTING, "", 0),
    ("sandbox", pod(status("a", waiting("ContainerCreating"))),
     [event("FailedCreatePodSandBox", "x")], Stage.SANDBOX, "", 0),
    ("a sandbox failure of hours ago", pod(status("a", waiting("ContainerCreating"))),
     [event("FailedCreatePodSandBox", "x", ago=90)], Stage.STARTING, "a", 0),
    ("mount", pod(status("a", waiting("ContainerCreating"))), [event("FailedMount", "x")],
     Stage.MOUNT, "", 0),
    ("T56 validation 126", pod(status("a", waiting("PodInitializing")),
     init=(status("istio-validation", CRASH, last_state=ended(126)),)), [], Stage.INIT,
     "istio-validation", 126),
    ("istio-init 1", pod(status("a", waiting("PodInitializing")),
     init=(status("istio-init", ended(1)),)), [], Stage.INIT, "istio-init", 1),
    ("init that ended well is over", pod(status("a", CRASH, last_state=ended(2)),
     init=(status("istio-init", ended(0)),)), [], Stage.APP, "a", 2),
    ("image", pod(status("istio-proxy", waiting("ImagePullBackOff"))), [], Stage.IMAGE,
     "istio-proxy", 0),
    ("config", pod(status("a", waiting("CreateContainerConfigError"))), [], Stage.CONFIG, "a", 0),
    ("proxy before app", pod(status("a", RUNNING), status("istio-proxy", RUNNING)), [],
     Stage.PROXY, "istio-proxy", 0),
    ("app, proxy well", pod(status("a", RUNNING), status("istio-proxy", RUNNING, ready=True)), [],
     Stage.APP, "a", 0),
    ("T34 native proxy not started", pod(status("a", waiting("PodInitializing")),
     init=(status("istio-proxy", RUNNING, started=False),), native=True), [], Stage.PROXY,
     "istio-proxy", 0),
    ("T34 native proxy started, app crashes", pod(status("a", CRASH, last_state=ended(1)),
     init=(status("istio-proxy", RUNNING, started=True, ready=True),), native=True), [],
     Stage.APP, "a", 1),
]  # fmt: skip


@pytest.mark.parametrize(("why", "one", "events", "stage", "container", "code"), ROWS)
def test_stages(
    why: str, one: Pod, events: list[Event], stage: Stage, container: str, code: int
) -> None:
    told = judge(one, events, NOW)
    assert (told.stage, told.container, told.exit_code) == (stage, container, code), why


KILL = 'failed to "KillPodSandbox" for "b3": failed to find plugin \\"istio-cni\\" in path [/x]'


@pytest.mark.parametrize(
    ("deleted", "reason", "message", "stage"),
    [
        (True, "FailedKillPod", KILL, Stage.SANDBOX),
        (False, "FailedKillPod", KILL, Stage.APP),
        (True, "FailedKillPod", 'failed to "KillContainer" for "a"', Stage.APP),
        (True, "BackOff", KILL, Stage.APP),
    ],
)
def test_a_pod_that_stays_for_its_sandbox(
    deleted: bool, reason: str, message: str, stage: Stage
) -> None:
    one = pod(status("a", ended(1)), phase="Running")
    at = NOW - timedelta(days=1) if deleted else None
    gone = msgspec.structs.replace(
        one, metadata=msgspec.structs.replace(one.metadata, deletion_timestamp=at)
    )
    told = judge(gone, [event(reason, message)], NOW)
    assert told.stage is stage
    assert (told.plugin == "istio-cni") is (stage is Stage.SANDBOX)


def test_events_of_a_former_pod_of_that_name_do_not_count() -> None:
    one = pod(status("a", waiting("ContainerCreating")))
    assert judge(one, [event("FailedMount", "x", ago=45)], NOW).stage is Stage.STARTING


@given(st.permutations([r[1] for r in ROWS]))
def test_the_worst_pod_speaks_whatever_the_order(pods: list[Pod]) -> None:
    told = worst(judge(p, (), NOW) for p in pods)
    assert told is not None
    assert told.stage is min(judge(p, (), NOW).stage for p in pods)


def test_exit_137_is_out_of_memory_only_when_the_reason_says_so() -> None:
    def killed(reason: str, ago: int = 10) -> Pod:
        return pod(status("istio-proxy", RUNNING, last_state=ended(137, reason, ago)))

    assert out_of_memory(killed("OOMKilled"), "istio-proxy", NOW) is not None
    assert out_of_memory(killed("Error"), "istio-proxy", NOW) is None
    assert out_of_memory(killed("OOMKilled", ago=60 * 24), "istio-proxy", NOW) is None


def test_probe_kills_need_a_restart() -> None:
    told = "Container istio-proxy failed startup probe, will be restarted"
    killed = [event("Killing", told, type="Normal", count=3)]
    again = pod(status("istio-proxy", RUNNING, restart_count=2))
    assert probe_kills(again, killed, NOW) == 3
    assert probe_kills(again, [event("Killing", told, ago=90, type="Normal")], NOW) == 0
    assert probe_kills(pod(status("istio-proxy", RUNNING)), killed, NOW) == 0


def test_a_start_up_probe_that_fails_has_not_given_up() -> None:
    failed = [event("Unhealthy", "Startup probe failed: Get http://10.0.0.1:15021/healthz/ready")]
    stopped = [event("Killing", "Stopping container istio-proxy", type="Normal")]
    again = pod(status("istio-proxy", RUNNING, restart_count=2))
    assert probe_kills(again, [*failed, *stopped], NOW) == 0


def test_a_job_that_waits_for_its_sidecar() -> None:
    held = pod(status("a", ended(0)), status("istio-proxy", RUNNING), restart_policy="Never")
    failed = pod(status("a", ended(1)), status("istio-proxy", RUNNING), restart_policy="Never")
    served = pod(status("a", ended(0)), status("istio-proxy", RUNNING))
    assert job_held_by_proxy(held)
    assert not job_held_by_proxy(failed)
    assert not job_held_by_proxy(served)


def test_an_application_that_died_before_the_proxy_ran() -> None:
    one = pod(status("a", RUNNING, last_state=ended(1, ago=29)), status("istio-proxy", RUNNING))
    ready = BORN + timedelta(minutes=2)
    assert app_died_early(one, ready, NOW) == "a"
    assert app_died_early(one, BORN, NOW) == ""
    assert app_died_early(one, None, NOW) == ""


PILOT = "Envoy proxy is NOT ready: config not received from Pilot (is Pilot running?): cds updates:"
NOT = "Envoy proxy is NOT ready: config not received from XDS server (is Istiod running?): cds"
REJECTED = (
    "Envoy proxy is NOT ready: config received from XDS server, but was rejected: cds updates: "
    "1 successful, 0 rejected; lds updates: 0 successful, 3 rejected"
)


def test_the_agent_does_not_get_to_istiod() -> None:
    dial = "gRPC config stream closed: 14, dial tcp 172.20.10.9:15012: {}"
    assert agent_log.read(dial.format("i/o timeout")).unreached
    assert agent_log.read(dial.format("connect: connection refused")).unreached
    assert not agent_log.read(dial.format("i/o timeout") + "\nEnvoy proxy is ready").unreached
    lookup = dial.replace("172.20.10.9:15012", "lookup istiod.istio-system.svc on 172.20.0.10:53")
    assert not agent_log.read(lookup.format("i/o timeout")).unreached
    assert not agent_log.read("dial tcp 10.0.0.1:8080: i/o timeout").unreached


BEGUN = (
    "2026-01-01T11:59:30.0Z\tinfo\txdsproxy\tInitializing with upstream address "
    '"istiod-old.istio-system.svc:15012" and cluster "Kubernetes"'
)
LINKED = (
    "info\txdsproxy\tconnected to delta upstream XDS server: istiod.istio-system.svc:15012\tid=1"
)
LOST = (
    "warning\tenvoy config\tDeltaAggregatedResources gRPC config stream to xds-grpc closed since "
    '49s ago: 14, connection error: desc = "transport: Error while dialing: dial tcp {}"'
)
DIALS = LOST.format("10.0.0.9:15012: i/o timeout")
UNNAMED = LOST.format("lookup istiod-old.istio-system.svc on 10.0.0.10:53: read udp: i/o timeout")
UNSIGNED = (
    "warn\tsds\tfailed to warm certificate: rpc error: code = Unavailable desc = lookup ca.x: no"
)


@pytest.mark.parametrize(
    ("text", "seconds", "complaint"),
    [
        (BEGUN, 30, Complaint.NO_CONFIG),
        (BEGUN, 5, Complaint.NONE),
        (f"{BEGUN}\n{LINKED}", 30, Complaint.NONE),
        (f"{LINKED}\n{BEGUN}", 30, Complaint.NO_CONFIG),
        (f"{BEGUN}\ninfo Envoy proxy is ready", 30, Complaint.NONE),
        (DIALS, 0, Complaint.NO_CONFIG),
        (f"{DIALS}\n{LINKED}", 0, Complaint.NONE),
        (DIALS.replace("14, connection error", "13, "), 0, Complaint.NO_CONFIG),
        ("StreamAggregatedResources gRPC config stream to xds-grpc closed: 0, ", 0, Complaint.NONE),
        (UNNAMED, 0, Complaint.NO_RESOLVER),
        (UNSIGNED, 0, Complaint.NO_CONFIG),
        (f"{BEGUN}\n{LINKED}\n{UNSIGNED}", 30, Complaint.NO_CERTIFICATE),
    ],
)  # fmt: skip
def test_an_agent_that_nobody_asks_whether_it_is_ready(
    text: str, seconds: int, complaint: Complaint
) -> None:
    now = datetime(2026, 1, 1, 11, 59, 30, tzinfo=UTC) + timedelta(seconds=seconds)
    found = agent_log.read(text, now)
    assert found.complaint is complaint
    assert bool(found.text) is (complaint is not Complaint.NONE)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", Complaint.NONE),
        ("error unknown scope 'dns' specified\nError: unknown scope 'dns' specified",
         Complaint.SETTINGS),
        ("Error: invalid prometheus scrape configuration: application port is the same as agent "
         "port, which may lead to a recursive loop", Complaint.SETTINGS),
        ("Error: unknown flag: --serviceCluster\ninfo Envoy proxy is ready", Complaint.NONE),
        ("Error: listen tcp :15020: bind: address already in use", Complaint.PORT_TAKEN),
        ("2026-11-18T09:00:00Z error Error: invalid state", Complaint.NONE),
        (NOT, Complaint.NO_CONFIG),
        (f"{NOT}\ninfo Envoy proxy is ready", Complaint.NONE),
        (f"info Envoy proxy is ready\n{NOT}", Complaint.NO_CONFIG),
        (REJECTED, Complaint.REJECTED),
        (REJECTED.replace("3 rejected", "0 rejected"), Complaint.NOT_LIVE),
        (f"{PILOT} 1 successful, 0 rejected; lds updates: 0 successful, 1 rejected",
         Complaint.REJECTED),
        (f"{PILOT} 0 successful, 0 rejected; lds updates: 0 successful, 0 rejected",
         Complaint.NO_CONFIG),
        (f"warn failed to warm certificate: x\n{NOT}", Complaint.NO_CERTIFICATE),
        (f"warn failed to warm certificate: code = Unavailable: connection refused\n{NOT}",
         Complaint.NO_CONFIG),
        (f"failed to fetch token from file: istio-token: permission denied\n{NOT}",
         Complaint.NO_CERTIFICATE),
        (f"dial tcp: lookup istiod.istio-system.svc: no such host\n{NOT}", Complaint.NO_RESOLVER),
        ("lookup example.com: no such host", Complaint.NONE),
        ("error bind: Address already in use", Complaint.PORT_TAKEN),
        ("Envoy proxy is NOT ready: server is not live, current state is: INITIALIZING",
         Complaint.NOT_LIVE),
    ],
)  # fmt: skip
def test_what_the_agent_complains_of(text: str, complaint: Complaint) -> None:
    assert agent_log.read(text).complaint is complaint


def test_when_the_proxy_was_first_ready() -> None:
    said = "Envoy proxy is ready"
    log = f"2026-01-01T11:31:00.5Z\tinfo\t{said}\n2026-01-01T11:40:00Z {said}"
    assert agent_log.read(log).ready_at == datetime(2026, 1, 1, 11, 31, tzinfo=UTC)
    assert agent_log.read("Envoy proxy is ready").ready_at is None


STATES = st.sampled_from(
    [ContainerState(), RUNNING, ended(0), ended(1), ended(137, "OOMKilled"), waiting("x")]
)
STATUSES = st.lists(
    st.builds(
        ContainerStatus,
        name=st.sampled_from(["istio-proxy", "istio-init", "cart"]),
        state=STATES,
        last_state=STATES,
        ready=st.booleans(),
        restart_count=st.integers(0, 1),
    ),
    max_size=3,
).map(tuple)


@given(mine=STATUSES, init=STATUSES, policy=st.sampled_from(["Always", "Never"]))
def test_where_no_container_ended_none_is_told_of(mine: Any, init: Any, policy: str) -> None:
    one = Pod(
        spec=PodSpec(restart_policy=policy),
        status=PodStatus(container_statuses=mine, init_container_statuses=init),
    )
    waits, over = glance([one])
    assert waits is (not (mine or init) or not all(s.ready for s in (*mine, *init)))
    if not over:
        assert out_of_memory(one, "istio-proxy", NOW) is None
        assert not job_held_by_proxy(one)
        assert app_died_early(one, NOW, NOW) == ""


def test_an_init_container_is_meant_to_end() -> None:
    def look(mine: ContainerStatus, *init: ContainerStatus) -> tuple[bool, bool]:
        states = PodStatus(container_statuses=(mine,), init_container_statuses=init)
        waits, over = glance([Pod(status=states)])
        return waits, bool(over)

    well = status("cart", RUNNING, ready=True)
    assert look(well, status("istio-init", ended(0), ready=True)) == (False, False)
    assert look(well, status("istio-proxy", ended(0), ready=True)) == (False, True)
    assert look(status("cart", RUNNING, last_state=ended(1))) == (True, True)
    dead = pod(status("cart", ended(1), ready=True))
    assert glance([pod(status("cart", RUNNING, ready=True)), dead])[1] == [dead]
    assert glance([]) == (False, [])
    assert glance([Pod()]) == (True, [])


@given(st.text(max_size=400))
def test_any_log_is_read(text: str) -> None:
    assert len(agent_log.read(text).text) <= 300
    cni.read_log(text)
    cni.plugin_of(text)


@pytest.mark.parametrize(
    ("message", "plugin"),
    [
        ('plugin type="aws-cni" name="aws-cni" failed (add): add cmd: failed to assign an IP',
         "aws-cni"),
        ('plugin type="istio-cni" name="istio-cni" failed (add): Unauthorized', "istio-cni"),
        ('plugin type="multus" name="multus-cni-network" failed (add): [a/b/8e:v2-3-istio-cni]: '
         'error adding container to network "v2-3-istio-cni": netplugin failed', "istio-cni"),
        ('plugin type="multus" name="multus-cni-network" failed (add): [a/b/8e:ovn-kubernetes]: '
         'error adding container to network "ovn-kubernetes": CNI request failed', "multus"),
        ('failed to find plugin "istio-cni" in path [/opt/cni/bin]', "istio-cni"),
        ('plugin type="calico" failed (add): error getting ClusterInformation', "calico"),
        ("unable to push CNI event (status code 500)", "istio-cni"),
        ("context deadline exceeded", ""),
        ('networkPlugin cni failed to set up pod "a_b" network: add cmd: failed to assign an IP '
         "address to container", "aws-cni"),
        ("network: stat /var/lib/calico/nodename: no such file", "calico"),
        ('set up pod "a_b" network: open /run/flannel/subnet.env: no such file', "flannel"),
        ('set up pod "a_b" network: unable to connect to Cilium daemon', "cilium-cni"),
        ('networkPlugin cni failed to set up pod "a_b" network: Unauthorized', ""),
        ('failed to "KillPodSandbox": "rpc error: failed to destroy network: plugin '
         'type=\\"aws-cni\\" name=\\"aws-cni\\" failed (delete): del cmd: x"', "aws-cni"),
        ('failed to "KillPodSandbox": "rpc error: failed (delete): failed to find plugin '
         '\\"istio-cni\\" in path [/opt/cni/bin]"', "istio-cni"),
    ],
)  # fmt: skip
def test_which_plugin_is_blamed(message: str, plugin: str) -> None:
    assert cni.plugin_of(message) == plugin


@pytest.mark.parametrize(
    ("message", "refused"),
    [
        ('networkPlugin cni failed to set up pod "a_b" network: Unauthorized', True),
        ('failed to setup network for sandbox "1f53e2": Unauthorized', True),
        ('plugin type="aws-cni" name="aws-cni" failed (add): Unauthorized', False),
        ("error getting ClusterInformation: connection is unauthorized: Unauthorized", False),
        ("network: Multus: [a/b]: error getting pod: Unauthorized", False),
        ("network: Unauthorized access to the pool", False),
    ],
)
def test_a_refusal_without_a_name(message: str, refused: bool) -> None:
    assert cni.refused_unnamed(message) is refused


def test_namespaces_that_istio_cni_leaves_alone() -> None:
    assert cni.excluded_namespaces(None) == ("kube-system",)
    config = ConfigMap(data={"EXCLUDE_NAMESPACES": "istio-system, shop"})
    assert cni.excluded_namespaces(config) == ("istio-system", "shop")
    plugin = '{"type": "istio-cni", "kubernetes": {"exclude_namespaces": ["istio-system", "shop"]}}'
    config = ConfigMap(data={"cni_network_config": plugin})
    assert cni.excluded_namespaces(config) == ("istio-system", "shop")
    config = ConfigMap(data={"cni_network_config": '{"exclude_namespaces": []}'})
    assert cni.excluded_namespaces(config) == ("kube-system",)


SHORT = (
    "The node was low on resource: ephemeral-storage. Container cart was using 100Ki, which "
    "exceeds its request of 0. Container istio-proxy was using {}Ki, which exceeds its request. "
)


def evicted(used: int, reason: str = "Evicted") -> Pod:
    status = PodStatus(phase="Failed", reason=reason, message=SHORT.format(used))
    return Pod(metadata=Meta(name="cart-1", namespace="shop"), status=status)


def test_a_pod_that_was_evicted() -> None:
    def told(pods: list[Pod], minutes: int | None = 5) -> tuple[str, bool]:
        event = Event(reason="Evicted", last_timestamp=NOW - timedelta(minutes=minutes or 0))
        events = {"cart-1": [event]} if minutes is not None else {}
        found = eviction(pods, events, NOW)
        return (found.pod.name, found.over_proxy) if found is not None else ("", False)

    other = Pod(metadata=Meta(name="cart-2"), status=PodStatus(phase="Running"))
    assert told([evicted(942888)]) == ("cart-1", True)
    assert told([evicted(10), other]) == ("cart-1", False)
    assert told([evicted(942888), other], 60 * 24) == ("", False)
    assert told([evicted(942888)], None) == ("cart-1", True)
    assert told([evicted(942888), other], None) == ("", False)
    assert told([evicted(942888, "Shutdown")]) == ("", False)


def test_a_repair_that_fails() -> None:
    line = 'error repair failed to setup redirection: exec: "iptables": not found pod=shop/cart-1'
    assert cni.read_log(line, "shop/cart-1").repair_failed == line
    assert cni.read_log(line, "shop/till-1").repair_failed == ""


def test_who_calls_istio_cni() -> None:
    unchained = EnvVar(name="CHAINED_CNI_PLUGIN", value="false")
    assert cni.called_by_multus_only(None, [unchained])
    assert cni.called_by_multus_only(ConfigMap(data={"CHAINED_CNI_PLUGIN": "false"}), [])
    assert not cni.called_by_multus_only(ConfigMap(data={"CHAINED_CNI_PLUGIN": "true"}), [])
    assert not cni.called_by_multus_only(None, [])
    assert cni.attached({"k8s.v1.cni.cncf.io/networks": "br-net, default/istio-cni"})
    assert not cni.attached({"k8s.v1.cni.cncf.io/networks": "br-net"})


def test_the_definition_that_multus_misses() -> None:
    text = (
        'plugin type="multus" name="multus-cni-network" failed (add): Multus: [test/pod1]: '
        "getKubernetesDelegate: cannot find a network-attachment-definition (istio-cni) in "
        "namespace (default): not found"
    )
    assert cni.definition_missing(text) == ("default", "istio-cni")
    assert cni.definition_missing("Multus: [test/pod1]: not found") == ("", "")


def test_the_agent_of_each_node_is_a_ready_one() -> None:
    def agent(name: str, node: str, ready: str, app: str = "istio-cni-node") -> Pod:
        return Pod(
            metadata=Meta(name=name, labels={"k8s-app": app}),
            spec=PodSpec(node_name=node),
            status=PodStatus(conditions=(Condition(type="Ready", status=ready),)),
        )

    found = cni.agents_by_node(
        [
            agent("c", "n1", "True"),
            agent("b", "n1", "True"),
            agent("a", "n1", "False"),
            agent("d", "n2", "False"),
            agent("e", "n3", "True", app="other"),
        ]
    )
    assert {node: pod.name for node, pod in found.items()} == {"n1": "b", "n2": "d"}


def test_the_agents_log() -> None:
    told = cni.read_log(
        "warn CNI config file /etc/cni/net.d/10-x.conflist was removed\n"
        "info excluded due to being already injected with istio-init container shop/cart\n",
        "shop",
    )
    assert told.overwritten and told.mixed
    assert cni.read_log("already injected with istio-init other/x", "shop").mixed == ""


def test_a_proxy_that_ended_before_its_application() -> None:
    def has(app: ContainerState, proxy: ContainerState, policy: str) -> bool:
        return proxy_ended(
            pod(status("a", app), status("istio-proxy", proxy), restart_policy=policy)
        )

    assert has(RUNNING, ended(0), "OnFailure") and has(RUNNING, ended(1), "Never")
    assert not has(RUNNING, ended(1), "OnFailure"), "it is started again"
    assert not has(RUNNING, ended(0), "Always"), "it is started again"
    assert not has(ended(0), ended(0), "OnFailure"), "the job is done"
    assert not has(RUNNING, RUNNING, "OnFailure")


def test_a_proxy_that_ended_for_good_blocks_an_application_that_is_ready() -> None:
    over = status("istio-proxy", ended(0))
    one = pod(status("a", RUNNING, ready=True), over, restart_policy="Never", phase="Running")
    found = judge(one, [], NOW)
    assert (found.stage, found.container, found.blocked) == (Stage.PROXY, "istio-proxy", True)
    assert not judge(pod(status("a", ended(0)), over, restart_policy="Never"), [], NOW).blocked


CAPTURE = "ISTIO_META_DNS_CAPTURE"


@pytest.mark.parametrize(
    ("env", "notes", "metadata", "answers"),
    [
        ({}, "", {}, False),
        ({CAPTURE: "true"}, "", {}, True),
        ({CAPTURE: "false"}, "", {}, False),
        ({"PROXY_CONFIG": '{"proxyMetadata":{"ISTIO_META_DNS_CAPTURE":"true"}}'}, "", {}, True),
        ({}, 'proxyMetadata:\n  ISTIO_META_DNS_CAPTURE: "true"', {}, True),
        ({}, "", {CAPTURE: "true"}, True),
    ],
)
def test_whether_a_proxy_answers_dns(
    env: dict[str, str], notes: str, metadata: dict[str, str], answers: bool
) -> None:
    variables = tuple(EnvVar(name=k, value=v) for k, v in env.items())
    proxy = Container(name="istio-proxy", env=variables)
    meta = Meta(name="a", annotations={"proxy.istio.io/config": notes} if notes else {})
    pod = Pod(kind="Pod", metadata=meta, spec=PodSpec(containers=(proxy,)))
    mesh = MeshConfig(default_config=ProxyDefaults(proxy_metadata=metadata))
    assert answers_dns(pod, mesh) is answers
    bare = Pod(kind="Pod", metadata=meta, spec=PodSpec(containers=(Container(name="app"),)))
    assert answers_dns(bare, mesh), "nobody can tell"


def test_a_job_that_failed_in_istios_init_container() -> None:
    failed = status("istio-validation", ended(126))
    one = judge(pod(init=(failed,), phase="Failed"), [], NOW)
    assert (one.stage, one.container, one.exit_code) == (Stage.INIT, "istio-validation", 126)
    of_its_own = judge(pod(init=(status("migrate", ended(1)),), phase="Failed"), [], NOW)
    assert of_its_own.stage is Stage.ENDED


@pytest.mark.parametrize(
    ("proxy", "native", "minutes", "stays"),
    [
        (status("istio-proxy", RUNNING), True, 5, True),
        (status("istio-proxy", RUNNING), False, 5, False),
        (status("istio-proxy", RUNNING, started=True), True, 5, False),
        (status("istio-proxy", ended(0)), True, 5, False),
        (status("istio-proxy", RUNNING), True, 0, False),
        (status("istio-proxy", RUNNING), True, None, False),
    ],
)
def test_deleted_before_its_native_sidecar_started(
    proxy: ContainerStatus, native: bool, minutes: int | None, stays: bool
) -> None:
    one = pod(init=(proxy,), native=native)
    gone = NOW - timedelta(minutes=minutes) if minutes is not None else None
    meta = msgspec.structs.replace(one.metadata, deletion_timestamp=gone)
    assert stays_behind_its_proxy(msgspec.structs.replace(one, metadata=meta), NOW) is stays


def test_an_agent_that_cannot_make_its_socket() -> None:
    failed = (
        "error\tsds\tFailed to set up UDS path: failed to listen on unix socket "
        '"./var/run/secrets/workload-spiffe-uds/socket": bind: no such file or directory'
    )
    waits = "warn\tEnvoy proxy is NOT ready: config not received from XDS server"
    said = agent_log.read(f"{failed}\n{waits}")
    assert said.complaint is Complaint.NO_SOCKET
    assert "Failed to set up UDS path" in said.text
    assert agent_log.read(f"{failed}\nEnvoy proxy is ready").complaint is Complaint.NONE
