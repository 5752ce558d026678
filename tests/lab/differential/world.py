"""Which objects stay for a whole run: the servers, their callers, a gateway?"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.lab.api import Object
from tests.lab.differential.case import (
    ALICE,
    BOB,
    CHECK,
    GATE,
    NOBODY,
    SERVICE,
    SPACES,
    TARGETS,
    VENDOR,
)

PORT_NAMES = {80: "http", 8081: "http-two", 7000: "odd", 9000: "tcp-echo", 443: "tls-app"}
HOPS = 1
UNPRIVILEGED = "net.ipv4.ip_unprivileged_port_start"
APP_ARGUMENTS = ("--http=8080", "--http=8081", "--http=8090", "--tcp=9000", "--https=8443")
CERTIFICATE = "var/tls"
GATE_TLS = "gate-tls"
"""The Secret of the gateway's certificate."""


def _namespace(name: str, injected: bool) -> Object:
    labels = {"istio-injection": "enabled"} if injected else {}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def workload(namespace: str, name: str, labels: dict[str, str]) -> list[Object]:
    """A ServiceAccount, a Deployment and a Service, all of one name."""
    here = {"name": name, "namespace": namespace}
    labels = {"app": name, **labels}
    container: Object = {
        "name": name,
        "image": "lab/app:1",
        "args": [f"--name={namespace}/{name}", *APP_ARGUMENTS, f"--cert={CERTIFICATE}/both.pem"],
        "volumeMounts": [{"name": "tls", "mountPath": f"/{CERTIFICATE}"}],
        "ports": [{"containerPort": number} for number in sorted(set(TARGETS.values()))],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 5},
    }
    spec: Object = {
        "selector": {"matchLabels": {"app": name}},
        "template": {
            "metadata": {"labels": labels},
            "spec": {
                "serviceAccountName": name,
                "containers": [container],
                "volumes": [{"name": "tls", "secret": {"secretName": "tls"}}],
            },
        },
    }
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": here},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": here, "spec": spec},
        _service(namespace, name),
    ]


def _service(namespace: str, name: str) -> Object:
    ports = [
        {"name": PORT_NAMES[port], "port": port, "targetPort": target}
        for port, target in TARGETS.items()
    ]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"app": name}, "ports": ports},
    }


def objects() -> list[Object]:
    """Everything that stays for the whole run."""
    found: list[Object] = []
    for client in (ALICE, BOB, NOBODY):
        namespace, name = client.split("/")
        found += [_namespace(namespace, client != NOBODY), *workload(namespace, name, {})]
    for space in SPACES:
        found += [_namespace(space, True), *workload(space, SERVICE, {"dif": space})]
    found += [_namespace(GATE, True), *_gateway(), *_authorizer()]
    found += [_namespace(VENDOR.split("/")[0], False), *_vendor()]
    names = [item["metadata"]["name"] for item in found if item["kind"] == "Namespace"]
    pem = base64.b64encode(b"".join(_certificate())).decode()
    shown, key = (base64.b64encode(part).decode() for part in _certificate())
    found += [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "tls", "namespace": name},
            "data": {"both.pem": pem},
        }
        for name in names
    ]
    found.append(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": GATE_TLS, "namespace": GATE},
            "type": "kubernetes.io/tls",
            "data": {"tls.crt": shown, "tls.key": key},
        }
    )
    return sorted(found, key=lambda item: item["kind"] == "Deployment")


def outside(space: str) -> str:
    """The name under which the vendor is known to a server's namespace alone."""
    return f"api.{space}.vendor.example"


def _vendor() -> list[Object]:
    """The host outside: HTTP on 80 and 8080, TLS on 443, TCP on 9000."""
    namespace, name = VENDOR.split("/")
    account, deployment, _ = workload(namespace, name, {})
    template = deployment["spec"]["template"]
    names = " ".join(map(outside, SPACES))
    template["metadata"]["annotations"] = {"lab.meshdoctor/names": names}
    template["spec"]["securityContext"] = {"sysctls": [{"name": UNPRIVILEGED, "value": "0"}]}
    template["spec"]["containers"][0]["args"] = [
        *("--name=vendor", "--http=80", "--http=8080", "--tcp=9000", "--https=443"),
        f"--cert={CERTIFICATE}/both.pem",
    ]
    return [account, deployment]


def _authorizer() -> list[Object]:
    """The external authorizer, outside the mesh."""
    found = workload(NOBODY.split("/")[0], "check", {})
    container = found[1]["spec"]["template"]["spec"]["containers"][0]
    container["args"] = ["--name=check", "--check", "--http=8080"]
    return found


def authorizers() -> list[Object]:
    """The external authorizer as the mesh config names it."""
    service = {
        "service": f"check.{NOBODY.split('/')[0]}.svc.cluster.local",
        "port": 80,
        "includeRequestHeadersInCheck": ["x-deny"],
    }
    return [{"name": CHECK, "envoyExtAuthzHttp": service}]


def _gateway() -> list[Object]:
    """An ingress gateway that trusts one proxy before it, and leads out of the mesh."""
    here = {"name": "ingress", "namespace": GATE}
    labels = {"app": "ingress", "istio": GATE, "dif": GATE}
    notes = {
        "inject.istio.io/templates": "gateway",
        "proxy.istio.io/config": json.dumps({"gatewayTopology": {"numTrustedProxies": HOPS}}),
    }
    pod: Object = {
        "serviceAccountName": "ingress",
        "securityContext": {"sysctls": [{"name": UNPRIVILEGED, "value": "0"}]},
        "containers": [{"name": "istio-proxy", "image": "auto"}],
    }
    spec: Object = {
        "selector": {"matchLabels": {"app": "ingress"}},
        "template": {"metadata": {"labels": labels, "annotations": notes}, "spec": pod},
    }
    ports = [{"name": "http", "port": 80, "targetPort": 80}]
    ports += [{"name": "https", "port": 443, "targetPort": 443}]
    server = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}
    route = {"destination": {"host": f"nobody.{NOBODY.split('/')[0]}.svc.cluster.local"}}
    route["destination"]["port"] = {"number": 80}  # type: ignore[assignment]
    hosts = {"hosts": ["*.gate.example"], "gateways": ["ingress"], "http": [{"route": [route]}]}
    network, rbac = "networking.istio.io/v1", "rbac.authorization.k8s.io"
    secrets = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "watch", "list"]}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": here},
        {"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": here, "rules": [secrets]},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "RoleBinding",
            "metadata": here,
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "ingress"},
            "subjects": [{"kind": "ServiceAccount", "name": "ingress", "namespace": GATE}],
        },
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": here, "spec": spec},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": here,
            "spec": {"selector": {"app": "ingress"}, "ports": ports},
        },
        {
            "apiVersion": network,
            "kind": "Gateway",
            "metadata": here,
            "spec": {"selector": {"istio": GATE}, "servers": [server]},
        },
        {"apiVersion": network, "kind": "VirtualService", "metadata": here, "spec": hosts},
    ]


@cache
def _certificate() -> tuple[bytes, bytes]:
    """Certificate and key of the applications' own TLS and of the gateway's hosts; nobody verifies
    it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "app")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(f"*.{space}.example") for space in SPACES]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return made.public_bytes(serialization.Encoding.PEM), private
