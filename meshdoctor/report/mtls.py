"""How is the prediction of one edge's ports shown, as text and as JSON?"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from meshdoctor.mesh import mtls
from meshdoctor.mesh.edge_tls import Judged
from meshdoctor.mesh.text import clean
from meshdoctor.model.subjects import EdgeSubject

Row = tuple[EdgeSubject, Judged]
SCHEMA = "meshdoctor.mtls/v1"
_REASONS: Mapping[str, str] = {
    mtls.AUTO: "by auto mTLS, as no DestinationRule decides and the endpoint has tlsMode=istio",
    mtls.NO_PROXY: "the client has no proxy",
    mtls.EXTERNAL: "the host is outside the mesh",
    mtls.AUTO_OFF: "enableAutoMtls is false in the mesh config",
    mtls.POLICY_DISABLES: "auto mTLS reads namespace and mesh policies only, and finds DISABLE",
    mtls.HEADLESS: "headless or PASSTHROUGH: not every endpoint has a sidecar",
    mtls.ENDPOINT_LABEL: "the endpoint's pod has no label tlsMode=istio",
    mtls.ENDPOINT_POLICY: "by auto mTLS, as the policy of this endpoint's port is DISABLE",
}
_WORDS: Mapping[str, str] = {
    "pod-ip": "the client calls a pod IP, which its proxy does not know",
    "unknown-host": "the client calls a host that no Service has",
    "exportTo": "the Service is not exported to the client's namespace",
    "sidecar": "a Sidecar hides the Service from the client",
}


def reason(judged: Judged) -> str:
    """Why the client speaks as it does, naming the object that decides."""
    found = judged.outcome.client.reason
    if found == mtls.RULE:
        return f"{judged.ruling.source}, tls mode {judged.ruling.mode} ({judged.ruling.level})"
    if found == mtls.RULE_IGNORED:
        return f"{judged.ruling.source}: credentialName is ignored on a sidecar"
    if found == mtls.ENDPOINT_RULE:
        kept = judged.ruling.endpoint_mode
        return (
            f"auto mTLS, as {judged.ruling.source}'s entry for the port has no tls; its endpoints "
            f"are still marked by the mode above it, {kept}"
        )
    if found == mtls.BYPASS:
        return f"{judged.out.by} ({judged.out.value}) keeps the call away from its sidecar"
    if found == mtls.PASSTHROUGH:
        return f"{_WORDS.get(judged.passthrough, judged.passthrough)}: PassthroughCluster"
    return _REASONS.get(found, found)


def server_reason(judged: Judged) -> str:
    """Why the server takes what it takes, naming the object that decides."""
    if judged.server_proxy != "sidecar":
        return f"its proxy is a {judged.server_proxy}" if judged.server_proxy else "it has no proxy"
    if judged.into:
        return f"{judged.into.by} ({judged.into.value})"
    policy = judged.policy
    source = policy.source or "no PeerAuthentication: Istio's default"
    return f"{policy.mode}, {source}" + (f" ({policy.level})" if policy.source else "")


def verdict(judged: Judged) -> str:
    """works, fails, or unknown where the truth table has no say."""
    if not judged.applies:
        return "unknown"
    return "works" if judged.outcome.works else "fails"


def as_text(rows: Iterable[Row]) -> str:
    """One block for each edge and port."""
    out = []
    for edge, judged in rows:
        inner = f" -> {judged.workload_port}" if judged.workload_port != edge.port else ""
        server = f" at {edge.server}" if edge.server is not None and edge.service else ""
        protocol = judged.protocol
        out.append(f"{edge}{inner}{server}  {protocol.protocol} (by {protocol.by})")
        out.append(f"  client  {judged.outcome.client.says}: {reason(judged)}")
        out.append(f"  server  {judged.outcome.accepts}: {server_reason(judged)}")
        out.append(f"  result  {_result(judged)}")
    return "\n".join(clean(line, 600) if line[:1] != " " else _kept(line) for line in out) + "\n"


def _kept(line: str) -> str:
    """A cleaned line that keeps its indent."""
    return "  " + clean(line, 600)


def _result(judged: Judged) -> str:
    if not judged.applies:
        return "unknown: ambient, or no pod of the server is known"
    if judged.outcome.works:
        return f"works: {judged.outcome.why}"
    return f"FAILS: {judged.outcome.why}; seen as: {judged.outcome.symptom}"


def as_json(rows: Iterable[Row]) -> str:
    """`meshdoctor.mtls/v1`: fields are only ever added."""
    return json.dumps({"schema": SCHEMA, "ports": [_row(e, j) for e, j in rows]}, indent=2) + "\n"


def _row(edge: EdgeSubject, judged: Judged) -> dict[str, Any]:
    return {
        "client": edge.client.ref if edge.client else "",
        "server": edge.server.ref if edge.server else "",
        "host": clean(judged.host),
        "port": edge.port,
        "workload_port": judged.workload_port,
        "protocol": judged.protocol.protocol,
        "protocol_by": judged.protocol.by,
        "result": verdict(judged),
        "why": judged.outcome.why,
        "symptom": judged.outcome.symptom,
        "client_side": {
            "proxy": judged.client_proxy,
            "speaks": judged.outcome.client.says,
            "reason": judged.outcome.client.reason,
            "reason_text": clean(reason(judged)),
            "destination_rule": judged.ruling.source,
            "tls_mode": judged.ruling.mode,
            "in_force": judged.ruling.chosen.first.ref if judged.ruling.chosen else "",
        },
        "server_side": {
            "proxy": judged.server_proxy,
            "accepts": judged.outcome.accepts,
            "mode": judged.policy.mode,
            "decided_by": judged.policy.level,
            "peer_authentication": judged.policy.source,
            "reason_text": clean(server_reason(judged)),
        },
    }
