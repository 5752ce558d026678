"""Table of the injection decision: one row per rule of Istio's, traps included."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from meshdoctor.mesh import annotations, injector_config, webhooks
from meshdoctor.mesh.injection import (
    Clause,
    NewPod,
    decide,
    label_means,
    value_of,
)
from meshdoctor.mesh.injector_config import InjectorConfig, parse
from meshdoctor.mesh.webhooks import (
    INJECT,
    INJECTION,
    REVISION,
    Injector,
    foreign_requirement,
    injectors,
    matching,
)
from meshdoctor.model.kubernetes import (
    ConfigMap,
    LabelRequirement,
    LabelSelector,
    Meta,
    Webhook,
    WebhookClientConfig,
    WebhookConfiguration,
    WebhookRule,
    WebhookService,
)
from meshdoctor.ports import UnparsableError

PODS = (
    WebhookRule(
        operations=("CREATE",), api_groups=("",), api_versions=("v1",), resources=("pods",)
    ),
)


def need(key: str, operator: str, *values: str) -> LabelRequirement:
    return LabelRequirement(key=key, operator=operator, values=values)


def entry(
    name: str, service: str, ns: tuple[LabelRequirement, ...], *pod: LabelRequirement
) -> Webhook:
    return Webhook(
        name=f"{name}sidecar-injector.istio.io",
        client_config=WebhookClientConfig(
            service=WebhookService(namespace="istio-system", name=service, path="/inject")
        ),
        namespace_selector=LabelSelector(match_expressions=ns),
        object_selector=LabelSelector(match_expressions=pod),
        rules=PODS,
    )


def hooks(revision: str, tag: str = "", *, legacy: bool = False) -> WebhookConfiguration:
    """A revision's (or tag's) configuration as the chart writes it."""
    service = "istiod" if revision == "default" else f"istiod-{revision}"
    chosen = tag or revision
    not_off = need(INJECT, "NotIn", "false")
    absent = (need(REVISION, "DoesNotExist"), need(INJECTION, "DoesNotExist"))
    entries = [
        entry(
            "rev.namespace.",
            service,
            (need(REVISION, "In", chosen), need(INJECTION, "DoesNotExist")),
            not_off,
        ),
        entry("rev.object.", service, absent, not_off, need(REVISION, "In", chosen)),
    ]
    if legacy:
        entries += [
            entry("namespace.", service, (need(INJECTION, "In", "enabled"),), not_off),
            entry(
                "object.",
                service,
                tuple(reversed(absent)),
                need(INJECT, "In", "true"),
                need(REVISION, "DoesNotExist"),
            ),
        ]
    labels = {REVISION: revision} | ({"istio.io/tag": tag} if tag else {})
    name = f"istio-revision-tag-{tag}" if tag else f"istio-sidecar-injector-{revision}"
    return WebhookConfiguration(metadata=Meta(name=name, labels=labels), webhooks=tuple(entries))


MESH = injectors([hooks("default", legacy=True), hooks("1-24"), hooks("1-24", "prod")])
CANARY_ONLY = injectors([hooks("1-24")])
ENABLED = InjectorConfig(
    ref="ConfigMap/istio-system/istio-sidecar-injector",
    policy="enabled",
    never=(),
    always=(),
    templates=("gateway", "sidecar"),
    default_templates=("sidecar",),
    values={},
    values_error="",
    texts={},
)


def pod(
    ns: dict[str, str], labels: dict[str, str], note: dict[str, str] | None = None, **more: Any
) -> NewPod:
    return NewPod(
        namespace=more.pop("namespace", "shop"),
        namespace_labels=ns,
        labels=labels,
        annotations=note or {},
        **more,
    )


ON = {INJECTION: "enabled"}
STAGE_A = [
    ("enabled", ON, {}, True, "default", Clause.POLICY_ENABLED),
    ("T40 enabled beats the namespace's revision", {**ON, REVISION: "1-24"}, {}, True, "default",
     Clause.POLICY_ENABLED),
    ("T40 enabled beats the pod's revision", ON, {REVISION: "1-24"}, True, "default",
     Clause.POLICY_ENABLED),
    ("T40 disabled blocks inject=true", {INJECTION: "disabled"}, {INJECT: "true"}, False, "",
     Clause.NAMESPACE_DISABLED),
    ("T40 any other value blocks", {INJECTION: "true"}, {INJECT: "true"}, False, "",
     Clause.NAMESPACE_DISABLED),
    ("T40 disabled blocks the revision", {INJECTION: "disabled", REVISION: "1-24"}, {}, False, "",
     Clause.NAMESPACE_DISABLED),
    ("namespace revision", {REVISION: "1-24"}, {}, True, "1-24", Clause.POLICY_ENABLED),
    ("T39 a tag resolves through its webhook", {REVISION: "prod"}, {}, True, "1-24",
     Clause.POLICY_ENABLED),
    ("pod revision ignored beside the namespace's", {REVISION: "1-24"}, {REVISION: "default"},
     True, "1-24", Clause.POLICY_ENABLED),
    ("pod revision alone", {}, {REVISION: "1-24"}, True, "1-24", Clause.POLICY_ENABLED),
    ("pod inject=true alone", {}, {INJECT: "true"}, True, "default", Clause.VALUE_TRUE),
    ("inject=true beside an unknown pod revision", {}, {INJECT: "true", REVISION: "9"}, False, "",
     Clause.REVISION_UNKNOWN),
    ("nothing said", {}, {}, False, "", Clause.NO_LABEL),
    ("pod says false", ON, {INJECT: "false"}, False, "", Clause.POD_LABEL_FALSE),
    ("unknown revision", {REVISION: "1-19"}, {}, False, "", Clause.REVISION_UNKNOWN),
]  # fmt: skip


@pytest.mark.parametrize(("why", "ns", "labels", "injected", "revision", "clause"), STAGE_A)
def test_which_webhook_is_asked(
    why: Any, ns: Any, labels: Any, injected: Any, revision: Any, clause: Any
) -> None:
    told = decide(pod(ns, labels), MESH, ENABLED)
    assert (told.injected, told.revision, told.clause) == (injected, revision, clause), why


def test_legacy_label_without_a_default_revision() -> None:
    told = decide(pod(ON, {}), CANARY_ONLY, ENABLED)
    assert (told.injected, told.clause) == (False, Clause.LEGACY_LABEL_UNSERVED)


def test_deactivated_hooks_offer_nothing() -> None:
    never = LabelSelector(match_labels={"istio.io/deactivated": "never-match"})
    old = hooks("default", legacy=True)
    off = WebhookConfiguration(
        metadata=old.metadata,
        webhooks=tuple(
            Webhook(
                name=w.name,
                client_config=w.client_config,
                rules=w.rules,
                namespace_selector=never,
                object_selector=never,
            )
            for w in old.webhooks
        ),
    )
    found = injectors([off])
    assert all(one.deactivated for one in found)
    assert webhooks.revisions(found) == ()
    assert decide(pod(ON, {}), found, ENABLED).clause is Clause.NO_WEBHOOK
    both = injectors([off, hooks("1-24", "default", legacy=True)])
    assert decide(pod(ON, {}), both, ENABLED).revision == "1-24"


def test_no_webhook_at_all() -> None:
    assert decide(pod(ON, {}), (), ENABLED).clause is Clause.NO_WEBHOOK


def test_rules_that_do_not_cover_pods() -> None:
    found = tuple(
        replace_webhook(
            one, Webhook(name=one.webhook.name, client_config=one.webhook.client_config)
        )
        for one in MESH
    )
    told = decide(pod(ON, {}), found, ENABLED)
    assert told.injected is False
    assert "rules" in webhooks.unmet(found[0].webhook, ON, {})


def replace_webhook(one: Injector, webhook: Webhook) -> Injector:
    return replace(one, webhook=webhook)


def test_metadata_name_is_always_a_label() -> None:
    auto = entry("auto.", "istiod", (need("kubernetes.io/metadata.name", "NotIn", "kube-system"),))
    found = injectors([WebhookConfiguration(metadata=Meta(name="x"), webhooks=(auto,))])
    assert decide(pod({}, {}), found, ENABLED).injected is True
    assert decide(pod({}, {}, namespace="kube-system"), found, ENABLED).injected is False


NEVER = LabelSelector(match_labels={"job": "batch"})
STAGE_B = [
    ("host network first", {INJECT: "true"}, {}, {"host_network": True}, {}, Clause.HOST_NETWORK),
    ("ignored namespace", {INJECT: "true"}, {}, {"namespace": "kube-public"}, {},
     Clause.IGNORED_NAMESPACE),
    ("label beats annotation", {INJECT: "true"}, {INJECT: "false"}, {}, {}, Clause.VALUE_TRUE),
    ("T41 the annotation acts in istiod", {}, {INJECT: "false"}, {}, {}, Clause.VALUE_FALSE),
    ("never selector", {"job": "batch"}, {}, {}, {"never": (NEVER,)}, Clause.NEVER_SELECTOR),
    ("inject=true beats never", {"job": "batch", INJECT: "true"}, {}, {}, {"never": (NEVER,)},
     Clause.VALUE_TRUE),
    ("never beats always", {"job": "batch"}, {}, {}, {"never": (NEVER,), "always": (NEVER,)},
     Clause.NEVER_SELECTOR),
    ("always beats policy disabled", {"job": "batch"}, {}, {},
     {"always": (NEVER,), "policy": "disabled"}, Clause.ALWAYS_SELECTOR),
    ("an empty selector selects nothing here", {}, {}, {}, {"never": (LabelSelector(),)},
     Clause.POLICY_ENABLED),
    ("policy disabled", {}, {}, {}, {"policy": "disabled"}, Clause.POLICY_DISABLED),
    ("policy disabled, pod says true", {INJECT: "true"}, {}, {}, {"policy": "disabled"},
     Clause.VALUE_TRUE),
    ("illegal policy blocks even true", {INJECT: "true"}, {}, {}, {"policy": "on"},
     Clause.POLICY_ILLEGAL),
]  # fmt: skip
YES = {Clause.VALUE_TRUE, Clause.POLICY_ENABLED, Clause.ALWAYS_SELECTOR}


@pytest.mark.parametrize(("why", "labels", "note", "more", "config", "clause"), STAGE_B)
def test_what_istiod_decides(
    why: Any, labels: Any, note: Any, more: Any, config: Any, clause: Any
) -> None:
    told = decide(pod(ON, labels, note, **more), MESH, replace(ENABLED, **config))
    assert (told.injected, told.clause) == (clause in YES, clause), why


def test_config_not_seen_is_not_a_no() -> None:
    told = decide(pod(ON, {}), MESH, None)
    assert told.injected is None
    assert told.asked


@pytest.mark.parametrize(
    ("value", "old", "new"),
    [
        (None, None, None),
        ("", None, None),
        ("true", True, True),
        ("false", False, False),
        ("yes", True, None),
        ("ON", True, None),
        ("True", True, None),
        ("no", False, None),
        ("enabled", False, None),
    ],
)
def test_values_by_release(value: Any, old: Any, new: Any) -> None:
    assert value_of(value, (1, 26)) is old
    assert value_of(value, (1, 27)) is new
    assert value_of(value) is new


LABEL = st.sampled_from(["enabled", "disabled", "true", ""])
REV = st.sampled_from(["default", "1-24", "prod", "1-19"])


@given(
    ns=st.fixed_dictionaries({}, optional={INJECTION: LABEL, REVISION: REV}),
    labels=st.fixed_dictionaries(
        {}, optional={INJECT: st.sampled_from(["true", "false", "x"]), REVISION: REV}
    ),
)
def test_the_chart_never_asks_twice_and_a_false_label_is_final(ns: Any, labels: Any) -> None:
    told = decide(pod(ns, labels), MESH, ENABLED)
    assert len(told.called) <= 1
    assert told.because
    if labels.get(INJECT) == "false" or ns.get(INJECTION, "enabled") != "enabled":
        assert told.injected is False
    backwards = decide(pod(ns, labels), tuple(reversed(MESH)), ENABLED)
    assert (backwards.injected, backwards.clause) == (told.injected, told.clause)


@given(
    ns=st.fixed_dictionaries({}, optional={INJECTION: LABEL, REVISION: REV}),
    labels=st.dictionaries(
        st.sampled_from([INJECT, REVISION, "app", "team"]), REV | LABEL | st.just("false")
    ),
)
def test_only_some_labels_of_a_pod_decide_who_is_asked(ns: Any, labels: Any) -> None:
    team = hooks("1-25")
    chosen = entry("team.", "istiod-1-25", (), need("team", "In", "prod", "default"))
    for configs in (
        [hooks("default", legacy=True), hooks("1-24")],
        [hooks("default", legacy=True), replace(team, webhooks=(*team.webhooks, chosen))],
    ):
        all_ = webhooks.overview(configs)
        few = {k: v for k, v in labels.items() if k in all_.label_keys}
        whole = decide(pod(ns, labels), all_.all, ENABLED)
        part = decide(pod(ns, few), all_.all, ENABLED)
        assert (part.called, part.clause) == (whole.called, whole.clause)
        assert (part.called, part.because) == (whole.called, whole.because)


def test_what_holds_of_all_webhooks_together() -> None:
    off = replace(hooks("default"), metadata=Meta(name="a", labels={REVISION: "default"}))
    dead = entry("x.", "istiod", (), need("istio.io/deactivated", "Exists"), need(REVISION, "In"))
    dead = replace(
        dead, namespace_selector=LabelSelector(match_labels={"istio.io/deactivated": "never"})
    )
    told = webhooks.overview([hooks("1-24", "prod"), replace(off, webhooks=(dead,))])
    assert (told.choices, told.first_choice, told.active) == ("prod", "prod", 2)
    assert told.deactivated is not None and told.deactivated.name == "a"
    assert told.label_keys == ("istio.io/deactivated", REVISION, INJECT)
    nothing = webhooks.overview([])
    assert (nothing.choices, nothing.active, nothing.deactivated) == ("", 0, None)


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3))
def test_unlabelled_namespaces_are_left_alone(labels: Any) -> None:
    assert decide(pod({}, labels), MESH, ENABLED).injected is False


CONFIG = ConfigMap(
    metadata=Meta(name="istio-sidecar-injector", namespace="istio-system"),
    kind="ConfigMap",
    data={
        "config": "policy: enabled\nneverInjectSelector:\n- matchLabels: {a: b}\n"
        "templates: {sidecar: x, gateway: y}\naliases: {both: [sidecar]}\n",
        "values": '{"pilot": {"cni": {"enabled": true}}, "global": {"tag": null}}',
    },
)


def test_injector_config() -> None:
    told = parse(CONFIG)
    assert told.policy == "enabled"
    assert told.never == (LabelSelector(match_labels={"a": "b"}),)
    assert told.templates == ("both", "gateway", "sidecar")
    assert told.cni
    assert told.value("global", "tag") is None
    assert injector_config.config_map_name("1-24") == "istio-sidecar-injector-1-24"
    assert injector_config.config_map_name("default") == "istio-sidecar-injector"


def test_injector_config_that_does_not_parse() -> None:
    with pytest.raises(UnparsableError):
        parse(ConfigMap(metadata=Meta(name="x"), data={"config": "a: [", "values": "{}"}))
    told = parse(ConfigMap(metadata=Meta(name="x"), data={"config": "{}", "values": "{"}))
    assert told.values_error
    assert told.policy == ""


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("sidecar.istio.io/interceptionMode", "TPROXY", "redirect"),
        ("status.sidecar.istio.io/port", " 15020", "99999"),
        ("readiness.status.sidecar.istio.io/periodSeconds", "3", "-3"),
        ("traffic.sidecar.istio.io/includeOutboundIPRanges", "*", "10.0.0.0"),
        ("traffic.sidecar.istio.io/excludeOutboundIPRanges", "10.1.2.3/8,::/0", "*"),
        ("traffic.sidecar.istio.io/excludeOutboundIPRanges", "", "10.0.0.0/33"),
        ("traffic.sidecar.istio.io/includeInboundPorts", "*", "80,http"),
        ("traffic.sidecar.istio.io/excludeInboundPorts", "80, 81", "*"),
        ("traffic.sidecar.istio.io/excludeOutboundPorts", "", "80,"),
        ("prometheus.istio.io/merge-metrics", "False", "no"),
        ("proxy.istio.io/config", "concurrency: 2", "- a"),
        ("traffic.sidecar.istio.io/excludeInterfaces", "net1, eth0.5", "a/b"),
        ("traffic.sidecar.istio.io/kubevirtInterfaces", "", "net1,"),
        ("istio.io/reroute-virtual-interfaces", "docker0", "interface-with-a-long-name"),
        ("sidecar.istio.io/userVolume", '{"v":{"emptyDir":{}}}', "v: {}"),
        ("sidecar.istio.io/userVolumeMount", "[]", ""),
        ("sidecar.istio.io/proxyCPU", "1e2", "1e2m"),
        ("sidecar.istio.io/proxyMemoryLimit", "64Mi", "64 Mi"),
    ],
)
def test_annotations_refused(name: Any, good: Any, bad: Any) -> None:
    assert annotations.refused({name: good, "other": "*"}) == ()
    assert [one[0] for one in annotations.refused({name: bad})] == [name]


def test_annotations_that_only_some_releases_look_at() -> None:
    faces = {"traffic.sidecar.istio.io/excludeInterfaces": "a/b"}
    dumps = {"sidecar.istio.io/enableCoreDump": "yes"}
    assert annotations.refused(faces, (1, 29)) == ()
    assert annotations.refused(faces, (1, 30)) and annotations.refused(faces)
    assert annotations.refused(dumps, (1, 24))
    assert annotations.refused(dumps, (1, 25)) == annotations.refused(dumps) == ()


def test_templates_and_quantities() -> None:
    asked = {annotations.TEMPLATES: "sidecar, custom"}
    assert annotations.unknown_templates(asked, ENABLED) == ("custom",)
    assert annotations.unknown_templates({}, ENABLED) == ()
    assert annotations.unknown_templates({annotations.TEMPLATES: ""}, ENABLED) == ("''",)
    for text, bad in (("100mm", True), ("-1", True), ("0", False)):
        assert bool(annotations.bad_quantities({"sidecar.istio.io/proxyCPU": text})) is bad
    assert annotations.quantity("1Gi") == 2**30
    assert annotations.quantity("100m") == pytest.approx(0.1)
    for text in ("1 G", " 1", "1e2m", "1K", "", "1ee"):
        assert annotations.quantity(text) is None
    assert (annotations.quantity("1e3"), annotations.quantity("1E")) == (1e3, 1e18)


@given(
    st.lists(
        st.tuples(
            st.dictionaries(st.sampled_from([INJECTION, REVISION]), st.one_of(LABEL, REV)),
            st.dictionaries(st.sampled_from([INJECT, REVISION, "app"]), st.one_of(LABEL, REV)),
        ),
        max_size=8,
    )
)
def test_the_revision_asked_for_many_pods_is_the_one_of_each(
    pods: list[tuple[dict[str, str], dict[str, str]]],
) -> None:
    configs = [hooks("default", legacy=True), hooks("1-24")]
    answers = webhooks.Answers(configs)
    for number, (space, labels) in enumerate(pods):
        for name in (f"ns{number}", f"ns{number}"):
            names = webhooks.namespace_labels(name, space)
            called = {one.revision for one in matching(injectors(configs), names, labels)}
            expected = min(called) if len(called) == 1 else ""
            assert answers.revision(name, space, labels) == expected


@pytest.mark.parametrize(
    ("value", "means"),
    [("enabled", True), ("enable", True), ("true", True), ("Enabled", True), ("default", True),
     ("disabled", False), ("false", False), ("No", False), ("off", False), ("", None)],
)  # fmt: skip
def test_what_a_namespace_label_was_meant_to_say(value: str, means: bool | None) -> None:
    assert label_means(value) is means


def test_a_selector_that_no_release_of_istio_writes() -> None:
    plain = hooks("default", legacy=True)
    foreign = LabelRequirement(key="control-plane", operator="DoesNotExist")
    changed = msgspec.structs.replace(
        plain,
        webhooks=tuple(
            msgspec.structs.replace(
                one,
                namespace_selector=LabelSelector(
                    match_expressions=(*one.namespace_selector.match_expressions, foreign)
                ),
            )
            for one in plain.webhooks
        ),
    )
    space = {INJECTION: "enabled", "control-plane": "kubeflow"}
    found, said = foreign_requirement(injectors([changed]), space, {})
    assert found is not None
    assert said == "namespaceSelector wants control-plane DoesNotExist"
    assert foreign_requirement(injectors([plain]), space, {}) == (None, "")
    assert foreign_requirement(injectors([changed]), {"control-plane": "x"}, {}) == (None, "")
