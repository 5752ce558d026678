"""A shop of two namespaces for authorization scenarios: cart calls pay, a gateway stands before.

`outcome` runs the authorization playbooks and says what they confirm.
"""

from collections.abc import Mapping
from functools import cache
from textwrap import dedent, indent
from typing import Any

from meshdoctor.engine.diagnose import Options, diagnose
from meshdoctor.engine.playbook import Playbook, load_all
from meshdoctor.engine.scope import Scope, parse_target
from meshdoctor.model.report import Report
from meshdoctor.model.subjects import Request
from tests.unit.world import FakeSource

CART, PAY, GATE, NODE = "10.0.0.7", "10.0.0.9", "10.0.0.3", "10.0.1.1"
SNI = "outbound_.80_._.pay.shop.svc.cluster.local"


def pod(
    name: str,
    namespace: str,
    ip: str,
    *,
    proxy: str = "sidecar",
    labels: str = "",
    port: int = 8080,
    extra: str = "",
    annotations: str = "",
) -> str:
    """A ready pod of Deployment `name`; `proxy` "" has none."""
    container = f"""
        - name: istio-proxy
          image: docker.io/istio/proxyv2:1.31.0
          args: [proxy, {proxy}]"""
    tls = "" if not proxy else "security.istio.io/tlsMode: istio"
    return f"""
    apiVersion: v1
    kind: Pod
    metadata:
      name: {name}-1
      namespace: {namespace}
      annotations: {{{annotations}}}
      labels: {{app: {name}, {labels + "," if labels else ""} {tls}}}
      ownerReferences: [{{kind: ReplicaSet, name: {name}-5d4f8c7b9, controller: true}}]
    spec:
      serviceAccountName: {name}
      nodeName: node-1
      containers:
        - name: app
          image: app:1
          ports: [{{containerPort: {port}}}]{container if proxy else ""}
    {extra}
    status:
      phase: Running
      podIP: {ip}
      conditions: [{{type: Ready, status: "True"}}]
    """


def service(
    name: str, namespace: str, port: str = "{name: http, port: 80, targetPort: 8080}"
) -> str:
    """A Service that selects app=name."""
    return f"""
    apiVersion: v1
    kind: Service
    metadata: {{name: {name}, namespace: {namespace}}}
    spec:
      clusterIP: 10.96.0.9
      selector: {{app: {name}}}
      ports: [{port}]
    """


def mesh(config: str = "", env: str = "", release: str = "1.31.0") -> str:
    """istiod and the mesh config; `config` is YAML added to it."""
    text = indent(dedent(f"accessLogFile: /dev/stdout\n{dedent(config)}"), " " * 8)
    return f"""
    apiVersion: v1
    kind: ConfigMap
    metadata: {{name: istio, namespace: istio-system}}
    data:
      mesh: |
{text}
    ---
    apiVersion: v1
    kind: Pod
    metadata:
      name: istiod-1
      namespace: istio-system
      labels: {{app: istiod}}
      ownerReferences: [{{kind: ReplicaSet, name: istiod-5d4f8c7b9, controller: true}}]
    spec:
      containers:
        - {{name: discovery, image: "docker.io/istio/pilot:{release}", env: [{env}]}}
    status: {{phase: Running, podIP: 10.0.0.2}}
    """


def policy(spec: str, name: str = "p", namespace: str = "shop", annotations: str = "") -> str:
    """An AuthorizationPolicy."""
    return _config("AuthorizationPolicy", spec, name, namespace, annotations)


def request_auth(spec: str, name: str = "idp", namespace: str = "shop") -> str:
    """A RequestAuthentication."""
    return _config("RequestAuthentication", spec, name, namespace, "")


def _config(kind: str, spec: str, name: str, namespace: str, annotations: str) -> str:
    return f"""
    apiVersion: security.istio.io/v1
    kind: {kind}
    metadata:
      name: {name}
      namespace: {namespace}
      annotations: {{{annotations}}}
      creationTimestamp: "2026-11-01T00:00:00Z"
    spec: {spec}
    """


def line(
    *,
    code: int = 403,
    details: str = "rbac_access_denied_matched_policy[none]",
    request: str = "GET /orders HTTP/1.1",
    flags: str = "-",
    termination: str = "-",
    host: str = "pay.shop",
    cluster: str = "inbound|8080||",
    peer: str = f"{CART}:50000",
    sni: str = SNI,
    local: str = f"{PAY}:8080",
    xff: str = "-",
    agent: str = "curl/8",
    request_id: str = "r-1",
) -> str:
    """One access-log line as Istio writes it."""
    return (
        f'[2026-11-18T09:24:00.875Z] "{request}" {code} {flags} {details} {termination} "-" 0 19 0'
        f' - "{xff}" "{agent}" "{request_id}" "{host}" "-" {cluster} - {local} {peer} {sni}'
        " default\n"
    )


@cache
def books() -> tuple[Playbook, ...]:
    """The authorization playbooks."""
    return tuple(b for b in load_all() if b.name.startswith("authz"))


def report(
    *objects: str,
    logs: Mapping[str, str] | None = None,
    request: Request | None = None,
    from_: str = "shop/cart",
    to: str = "shop/pay:80",
    istioctl: Mapping[str, str] | None = None,
) -> Report:
    """The report of one edge; `logs` by `namespace/pod` (istio-proxy) or `namespace/pod/container`;
    pods without a given log have an empty one."""
    text = "\n---\n".join(dedent(one) for one in objects)
    given: dict[tuple[str, str, str], str] = {}
    for where in ("shop/cart-1", "shop/pay-1", "istio-system/gate-1"):
        namespace, name = where.split("/")
        given[(namespace, name, "istio-proxy")] = ""
        given[(namespace, name, "app")] = ""
    given[("istio-system", "istiod-1", "discovery")] = ""
    for where, one in (logs or {}).items():
        parts = where.split("/")
        given[(parts[0], parts[1], parts[2] if len(parts) > 2 else "istio-proxy")] = one
    source = FakeSource(text, logs=given, istioctl=dict(istioctl or {}))
    scope = Scope(
        from_=parse_target(from_, "--from") if from_ else None,
        to=parse_target(to, "--to"),
        request=request or Request(),
    )
    return diagnose(source, books(), scope, Options(strict=True))


def outcome(*objects: str, **rest: Any) -> list[str]:
    """Codes confirmed, in the report's order; folded ones in parentheses."""
    found = report(*objects, **rest).findings
    return [
        f"({f.code})" if f.group == "folded" else f.code for f in found if f.verdict == "confirmed"
    ]


SHOP = (
    mesh(),
    pod("cart", "shop", CART),
    pod("pay", "shop", PAY),
    service("cart", "shop"),
    service("pay", "shop"),
)
