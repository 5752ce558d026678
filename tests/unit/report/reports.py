"""Reports as the engine makes them, written by hand: one per shape that a renderer must handle."""

import msgspec

from meshdoctor.model.report import (
    SCHEMA,
    ChangeNote,
    Coverage,
    Finding,
    Missing,
    Report,
    RuledOut,
    Symptom,
    Timing,
    TrailStep,
    VerifyStep,
)

EDGE = "shop/cart -> shop/pay:8080"

SECRET = Missing(
    what="istioctl proxy-config secret pay-5c9d7.shop",
    reason="tool_missing",
    detail="istioctl not found on PATH",
    remedy="curl -L https://istio.io/downloadIstio | sh -",
)

DR_OFF = Finding(
    code="MD1001",
    name="client-tls-off-server-strict",
    title="Client turns TLS off against a server that takes mutual TLS only",
    verdict="confirmed",
    strength="observed",
    severity="outage",
    subject_kind="edge",
    subject=EDGE,
    group="main",
    rank=1,
    mesh=True,
    objects=["DestinationRule/shop/pay", "PeerAuthentication/shop/default"],
    because="DestinationRule shop/pay sets tls.mode DISABLE for pay.shop.svc.cluster.local; "
    "PeerAuthentication shop/default accepts mutual TLS only.",
    observed='41 x "NR filter_chain_not_found" at shop/pay-5c9d7 from cart-7d4f9 (10.0.3.7) '
    "since 03:12:08",
    trail=[
        TrailStep(
            ask="Did the server's proxy refuse the connection?",
            condition="server_log.refused > 0 || tls.predicts_failure",
            holds=True,
            values={"server_log.refused": 41, "tls.predicts_failure": True},
            commands=["kubectl -n shop logs pay-5c9d7 -c istio-proxy --since=1h"],
        ),
        TrailStep(
            ask="Does the client speak plaintext to a server that takes mutual TLS only?",
            condition="client.tls_mode == 'DISABLE' && server.mode == 'STRICT'",
            holds=True,
            values={"client.tls_mode": "DISABLE", "server.mode": "STRICT", "client.pod": None},
            commands=["kubectl get destinationrules.networking.istio.io -n shop -o yaml"],
        ),
    ],
    explains=["41 x 503 UC seen by shop/cart"],
    changes=[
        ChangeNote(
            object="DestinationRule/shop/pay",
            at="2026-11-24T03:11:40Z",
            by="argocd-controller",
        )
    ],
    fix="kubectl -n shop patch destinationrule pay --type=json "
    """-p '[{"op":"remove","path":"/spec/trafficPolicy/tls"}]'""",
    verify=VerifyStep(
        run="istioctl proxy-config cluster cart-7d4f9.shop --fqdn pay.shop.svc.cluster.local "
        "--port 8080 -o json",
        expect="tlsMode-istio",
    ),
    docs="https://istio.io/latest/docs/ops/common-problems/network-issues/",
    fingerprint="5a1f0c3be2d7",
)

EXPIRED = msgspec.structs.replace(
    DR_OFF,
    code="MD1104",
    name="workload-cert-expired",
    title="A workload certificate has expired",
    verdict="undecided",
    group="undecided",
    rank=2,
    objects=[],
    because="",
    observed="",
    explains=[],
    changes=[],
    missing=[SECRET],
    fix="",
    verify=None,
)

CACHE = msgspec.structs.replace(
    DR_OFF,
    code="MD3502",
    name="setting-without-effect",
    title="A setting that no supported release reads",
    strength="derived",
    severity="hygiene",
    subject_kind="mesh",
    subject="mesh",
    group="also_noticed",
    rank=3,
    objects=["Deployment/istio-system/istiod"],
    because="Deployment istio-system/istiod sets PILOT_WEBHOOK_CACHE_SIZE.",
    observed="",
    explains=[],
    changes=[],
)


def _out(code: str, name: str, because: str, fact: str, value: bool) -> RuledOut:
    return RuledOut(code=code, name=name, subjects=1, because=because, values={fact: value})


RULED_OUT = [
    _out("MD1002", "plaintext-client-outside-mesh", "!client.has_proxy", "client.has_proxy", True),
    _out("MD1003", "client-bypasses-sidecar", "client.excluded", "client.excluded", False),
    _out("MD1020", "server-port-not-captured", "!server.captured", "server.captured", True),
]

ONE_CAUSE = Report(
    schema=SCHEMA,
    tool_version="0.1.0",
    generated_at="2026-11-24T03:40:00Z",
    observed_at="2026-11-24T03:39:54Z",
    source="context prod-eu-1",
    scope=EDGE,
    exit=1,
    summary="1 cause confirmed",
    partial=False,
    healthy=False,
    versions={"istio": "1.30.3"},
    findings=[DR_OFF, EXPIRED, CACHE],
    ruled_out=RULED_OUT,
    coverage=Coverage(subjects={"edge": 1, "workload": 2, "mesh": 1}, reads=31, objects=412),
    timings=[Timing(step="total", seconds=6.2)],
)

HEALTHY = msgspec.structs.replace(
    ONE_CAUSE,
    exit=0,
    summary="healthy",
    healthy=True,
    findings=[],
    changes=[],
)

BLIND = msgspec.structs.replace(
    ONE_CAUSE,
    exit=3,
    summary="nothing confirmed, 3 undecided",
    changes=[
        ChangeNote(
            object="VirtualService/shop/pay", at="2026-11-24T03:11:40Z", by="argocd", what="changed"
        ),
        ChangeNote(
            object="Deployment/shop/pay", at="2026-11-23T21:02:00Z", by="helm", what="created"
        ),
    ],
    findings=[
        EXPIRED,
        msgspec.structs.replace(EXPIRED, code="MD1105", title="The root certificate has expired"),
        msgspec.structs.replace(
            EXPIRED,
            code="MD2001",
            title="A DENY policy matches the request",
            missing=[
                Missing(
                    what="AuthorizationPolicy in shop",
                    reason="forbidden",
                    detail='User "oncall" cannot list resource "authorizationpolicies"',
                    remedy="kubectl create role meshdoctor -n shop --verb=get,list "
                    "--resource=authorizationpolicies.security.istio.io",
                )
            ],
        ),
    ],
    unseen=[
        SECRET,
        Missing(
            what="log of shop/pay-5c9d7 istio-proxy",
            reason="timeout",
            detail="no answer within 10 s",
            remedy="meshdoctor diagnose --deadline 120s ...",
        ),
    ],
    symptoms=[
        Symptom(
            subject=EDGE,
            text="503 UC upstream_reset_before_response_started{connection_termination}",
            count=17,
            first="2026-11-24T03:12:08Z",
            last="2026-11-24T03:39:51Z",
            look_next="the application's own log: kubectl -n shop logs pay-5c9d7 -c pay",
        )
    ],
    coverage=Coverage(subjects={"edge": 1}, set_aside=["objects.yaml:812: Pod shop/odd: no spec"]),
    partial=True,
)


def _noted(i: int) -> Finding:
    return msgspec.structs.replace(
        DR_OFF,
        rank=i,
        subject=f"shop/cart-{i} -> shop/pay:8080",
        also_on=[f"team-{n}/client -> shop/pay:8080" for n in range(i)],
        strength="derived" if i % 2 else "suspected",
        observed="",
        severity="partial" if i % 2 else "degraded",
    )


WHOLE_MESH = msgspec.structs.replace(
    ONE_CAUSE,
    scope="mesh",
    summary="6 causes confirmed",
    findings=[_noted(i) for i in range(1, 7)]
    + [EXPIRED]
    + [msgspec.structs.replace(CACHE, code=f"MD35{i:02}") for i in range(5)],
)

POISON = '\x1b[31m[red]`rm -rf`|**b**<b>\u202e"[x](http://evil)"\x1b]0;owned\x07'

HOSTILE = msgspec.structs.replace(
    ONE_CAUSE,
    scope=POISON,
    summary=POISON,
    findings=[
        msgspec.structs.replace(
            DR_OFF,
            title=POISON,
            subject=POISON,
            because=POISON + "\n# heading",
            observed=POISON,
            objects=[POISON],
            fix="kubectl get x\n```\n" + POISON,
            trail=[TrailStep(ask=POISON, condition=POISON, holds=None, values={POISON: POISON})],
        ),
        msgspec.structs.replace(CACHE, title=POISON, objects=[POISON]),
        msgspec.structs.replace(EXPIRED, title=POISON, missing=[Missing(what=POISON, reason="x")]),
    ],
    ruled_out=[RuledOut(code="MD1", name=POISON, subjects=1, because=POISON)],
    unseen=[Missing(what=POISON, reason=POISON, detail=POISON, remedy=POISON)],
    symptoms=[Symptom(subject=POISON, text=POISON, count=1, look_next=POISON)],
)

ALL = {
    "blind": BLIND,
    "healthy": HEALTHY,
    "hostile": HOSTILE,
    "one-cause": ONE_CAUSE,
    "whole-mesh": WHOLE_MESH,
}
