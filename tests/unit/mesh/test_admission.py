"""What the API server says when it refuses a pod, one row per text."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshdoctor.mesh.admission import (
    AWS_TOKEN,
    AWS_TOKEN_WEBHOOK,
    Refusal,
    doubled,
    names_added,
    read,
    standing,
    wants_profile,
)
from meshdoctor.model.kubernetes import (
    Condition,
    Event,
    Meta,
    TargetRef,
    Workload,
    WorkloadSpec,
    WorkloadStatus,
)

CALL = (
    "Error creating: Internal error occurred: failed calling webhook "
    '"namespace.sidecar-injector.istio.io": failed to call webhook: Post '
    '"https://istiod.istio-system.svc:443/inject?timeout=10s": '
)
DENY = (
    'Error creating: admission webhook "rev.namespace.sidecar-injector.istio.io" '
    "denied the request: "
)
ROWS = [
    (CALL + 'no endpoints available for service "istiod"', Refusal.CALL_NO_ENDPOINTS),
    (CALL + "context deadline exceeded", Refusal.CALL_UNREACHABLE),
    (CALL + "dial tcp 10.0.1.4:15017: i/o timeout", Refusal.CALL_UNREACHABLE),
    (CALL + "Address is not allowed", Refusal.CALL_UNREACHABLE),
    (CALL + "dial tcp 10.0.1.4:15017: connect: connection refused", Refusal.CALL_UNREACHABLE),
    (CALL + "tls: failed to verify certificate: x509: certificate signed by unknown authority",
     Refusal.CALL_UNTRUSTED),
    (CALL + "x509: certificate has expired or is not yet valid: current time ...",
     Refusal.CALL_BAD_CERTIFICATE),
    (CALL + "x509: certificate is valid for istiod.a.svc, not istiod.istio-system.svc",
     Refusal.CALL_BAD_CERTIFICATE),
    (CALL + 'service "istiod-1-9" not found', Refusal.CALL_NO_SERVICE),
    (CALL + "an error on the server", Refusal.CALL_OTHER),
    (DENY + "failed to run injection template: template: inject:1", Refusal.TEMPLATE),
    (DENY + "failed parsing generated injected YAML (check Istio sidecar injector configuration)",
     Refusal.TEMPLATE),
    (DENY + "invalid value 'x' for annotation 'sidecar.istio.io/interceptionMode': bad",
     Refusal.ANNOTATION),
    (DENY + 'requested template "nope" not found; have gateway, sidecar', Refusal.TEMPLATE_UNKNOWN),
    ('pods "x-" is forbidden: violates PodSecurity "baseline:latest": non-default capabilities '
     '(container "istio-init" must not include "NET_ADMIN", "NET_RAW" in '
     "securityContext.capabilities.add)", Refusal.SECURITY),
    ('pods "x" is forbidden: unable to validate against any security context constraint: [...]',
     Refusal.SECURITY),
    ('pods "x-" is forbidden: unable to validate against any pod security policy: '
     '[spec.initContainers[0].securityContext.capabilities.add: Invalid value: "NET_ADMIN": '
     "capability may not be added]", Refusal.SECURITY),
    ('admission webhook "validation.gatekeeper.sh" denied the request: [psp] istio-init no',
     Refusal.SECURITY),
    ("Pod not supported on Fargate: invalid SecurityContext fields: Capabilities added: NET_ADMIN",
     Refusal.SECURITY),
    ('pods "x" is forbidden: exceeded quota: compute, requested: limits.cpu=2, used: ...',
     Refusal.QUOTA),
    ('pods "x" is forbidden: failed quota: q: must specify limits.cpu for: istio-proxy',
     Refusal.QUOTA),
    ('pods "x" is forbidden: maximum cpu usage per Container is 1, but limit is 2',
     Refusal.LIMIT_RANGE),
    ('Pod "x" is invalid: spec.containers[1].volumeMounts[2].mountPath: Invalid value: "/v": must '
     "be unique", Refusal.DUPLICATE),
    ('Pod "x" is invalid: spec.volumes[3].name: Duplicate value: "istio-token"', Refusal.DUPLICATE),
    ('Pod "x" is invalid: spec.containers[1].resources.requests: Invalid value: "100m": must be '
     "less than or equal to cpu limit of 0", Refusal.RESOURCES),
    ('Pod "x" is invalid: [spec.initContainers[1].lifecycle: Forbidden: may not be set for init '
     "containers without restartPolicy=Always]", Refusal.NATIVE),
    ('Pod "x" is invalid: spec.initContainers[1].startupProbe: Forbidden: may not be set for init '
     "containers", Refusal.NATIVE),
    ('pods "x" is forbidden: error looking up service account a/b: serviceaccount "b" not found',
     Refusal.OTHER),
    ('Internal error occurred: failed calling webhook "x.example.com": context deadline exceeded',
     Refusal.OTHER_CALL),
    ("Timeout: request did not complete within requested timeout - context deadline exceeded",
     Refusal.TIMED_OUT),
    ("", Refusal.OTHER),
    (CALL + 'unsupported service type "ExternalName"', Refusal.CALL_ALIAS),
    (DENY + "failed to run injection template: failed parsing generated injected YAML: unmarshal "
     "patched pod: quantities must match the regular expression '^([+-]?[0-9.]+)$'",
     Refusal.RESOURCES),
]  # fmt: skip


@pytest.mark.parametrize(("text", "kind"), ROWS)
def test_texts(text: Any, kind: Any) -> None:
    assert read(text).kind is kind


def test_a_seccomp_profile_that_is_wanted() -> None:
    wants = (
        'violates PodSecurity "restricted:latest": seccompProfile (pod or containers "istio-proxy" '
        "must set securityContext.seccompProfile.type to RuntimeDefault)"
    )
    assert wants_profile(wants)
    assert not wants_profile(f'{wants}, runAsUser=0 (container "istio-init" must not)')
    assert not wants_profile(ROWS[14][0])


def test_names() -> None:
    assert read(DENY + "x").by == "rev.namespace.sidecar-injector.istio.io"
    assert read("exceeded quota: compute, requested").by == "compute"
    assert read(ROWS[14][0]).names_mesh
    twice = 'spec.containers[2].volumeMounts[2].mountPath: Invalid value: "{}": must be unique'
    assert read(twice.format(AWS_TOKEN)).by == AWS_TOKEN_WEBHOOK
    assert read(twice.format("/data")).by == ""
    assert not read('violates PodSecurity "restricted": container "app" must set').names_mesh


@given(st.text(max_size=300))
def test_any_text_is_bounded(text: Any) -> None:
    assert len(read(text * 20).text) <= 300


NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
ABOUT = TargetRef(kind="ReplicaSet", name="a-1", namespace="shop")


def replica_set(have: int, *conditions: Condition) -> Workload:
    return Workload(
        kind="ReplicaSet",
        metadata=Meta(name="a-1", namespace="shop"),
        spec=WorkloadSpec(replicas=2),
        status=WorkloadStatus(replicas=have, ready_replicas=have, conditions=conditions),
    )


def event(ago: timedelta, text: str = CALL + "context deadline exceeded") -> Event:
    return Event(
        metadata=Meta(namespace="shop"),
        involved_object=ABOUT,
        reason="FailedCreate",
        message=text,
        last_timestamp=NOW - ago,
    )


def test_recent_event_stands_while_pods_are_missing() -> None:
    told = standing([replica_set(0)], [event(timedelta(minutes=5))], NOW)
    assert told is not None and told.call_failed


def test_event_is_superseded_by_the_pods_it_missed() -> None:
    assert standing([replica_set(2)], [event(timedelta(minutes=5))], NOW) is None


def test_old_event_proves_nothing() -> None:
    assert standing([replica_set(0)], [event(timedelta(hours=2))], NOW) is None


def test_newest_word_counts_and_order_does_not() -> None:
    both = [event(timedelta(minutes=5)), event(timedelta(minutes=9), DENY + "x")]
    for events in (both, both[::-1]):
        told = standing([replica_set(0)], events, NOW)
        assert told is not None and told.kind is Refusal.CALL_UNREACHABLE


def test_condition_stands_without_events() -> None:
    failing = Condition(type="ReplicaFailure", status="True", message=DENY + "boom")
    told = standing([replica_set(0, failing)], [], NOW)
    assert told is not None and told.kind is Refusal.TEMPLATE


@pytest.mark.parametrize(
    ("text", "inits", "containers", "added"),
    [
        ("[spec.initContainers[0].securityContext.x: Invalid value: false]", 0, 1, True),
        ("[spec.initContainers[0].securityContext.x: Invalid value: false]", 1, 1, False),
        ("[spec.containers[1].securityContext.x: Invalid value: true]", 0, 1, True),
        ("[spec.containers[0].securityContext.x: Invalid value: true]", 0, 1, False),
        ("spec.volumes[7]: Invalid value", 0, 0, False),
    ],
)
def test_containers_that_a_policy_names_by_number(
    text: str, inits: int, containers: int, added: bool
) -> None:
    assert names_added(text, inits, containers) is added


def test_a_container_of_istios_that_is_there_twice() -> None:
    said = 'spec.initContainers[1].name: Duplicate value: "istio-proxy"'
    assert doubled(said) == "istio-proxy"
    assert doubled(said.replace("istio-proxy", "app")) == ""
    assert doubled('spec.volumes[3].name: Duplicate value: "istio-envoy"') == ""
