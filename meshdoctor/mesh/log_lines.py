"""Which lines of istiod, pilot-agent, Envoy and istio-cni say something that decides a cause?

Each kind is one fragment of a log statement in Istio's source, read at 1.20 to 1.32-dev, with the
values named that it carries; where older releases (1.4 to 1.9) said it in other words, the
row takes both. A line that no row knows is skipped.
"""

import re
from collections.abc import Iterable
from datetime import datetime, timedelta

from msgspec import Struct

from meshdoctor.mesh.log_text import json_object, lines, when
from meshdoctor.mesh.text import clean
from meshdoctor.model.patterns import pattern

MOST_OF_A_VALUE = 1500


class Said(Struct, frozen=True, kw_only=True):
    """One line that matters: its kind (see ROWS), when, its bounded text, the values it names."""

    kind: str
    at: datetime | None
    text: str
    values: tuple[tuple[str, str], ...] = ()

    def get(self, name: str) -> str:
        """A value by its name; "" when the line does not carry it."""
        return next((value for key, value in self.values if key == name), "")


class Row(Struct, frozen=True, kw_only=True):
    """`fragment` must be in the line; `pattern`, when given, names the values."""

    kind: str
    fragment: str
    pattern: re.Pattern[str] | None = None


def row(kind: str, fragment: str, values: str = "") -> Row:
    """A row; `values` is the pattern whose groups name them, compiled when a line needs it."""
    return Row(kind=kind, fragment=fragment, pattern=pattern(values) if values else None)


_UPDATES = r"cds updates: (?P<cds>[^;]*); lds updates: (?P<lds>.*)"
ENVOY: tuple[Row, ...] = (
    row(
        "xds_closed",
        " closed",
        r"(?:gRPC config stream|xds-grpc)\b.{0,80}? closed(?: since (?P<seconds>\d+)s ago)?: "
        r"(?P<code>\d+), ?(?P<reason>.*)",
    ),
    row("config_rejected", " config for ", r"config for (?P<type>\S+) rejected: (?P<reason>.*)"),
)
AGENT: tuple[Row, ...] = (
    row("proxy_ready", "Envoy proxy is ready"),
    row("config_not_received", "config not received from ", _UPDATES),
    row("config_was_rejected", "config received from XDS server, but was rejected", _UPDATES),
    row("not_live", "server is not live", r"current state is: (?P<state>\w+)"),
    row("workers_not_started", "workers have not yet started"),
    row("xds_connected", "upstream XDS server", r"connected to .*XDS server:? ?(?P<address>\S*)"),
    row(
        "xds_connect_failed",
        "failed to connect to upstream ",
        r"upstream (?P<address>\S+): (?P<reason>.*)",
    ),
    row(
        "xds_terminated",
        "upstream terminated with unexpected error",
        r"unexpected error (?P<reason>.*?)(?:\tid=\S+)?$",
    ),
    row("warm_failed", "failed to warm certificate", r"certificate: (?P<reason>.*)"),
    row("warm_root_failed", "failed to warm root certificate", r"certificate: (?P<reason>.*)"),
    row("csr_failed", "failed to sign CSR", r"CSR: (?P<reason>.*)"),
    row("csr_failed", "CSR hit non-retryable error", r"Error: (?P<reason>.*)"),
    row("sign_failed", "failed to sign: ", r"failed to sign: (?P<reason>.*)"),
    row("create_failed", "Failed to create certificate: ", r"certificate: (?P<reason>.*)"),
    row(
        "certificate_made",
        "generated new workload certificate",
        r"latency=\"?(?P<latency>[^\s\"]+)\"?.*ttl=\"?(?P<ttl>[^\s\"]+)",
    ),
    row("root_changed", "Root cert has changed, start rotating root cert"),
    row("foreign_sds", "Existing workload SDS socket found", r"found at (?P<path>[^\s.]\S*?)\. "),
    row("envoy_oom", "Envoy may have been out of memory killed"),
    row("envoy_exited", "Envoy exited with error", r"error: (?P<reason>.*)"),
    row(
        "probe_failed",
        "Request to probe app failed",
        r"failed: (?P<reason>.*?)(?:, original URL path = (?P<path>\S+))?$",
    ),
    row("draining", "Agent draining"),
    row(
        "wasm_not_fetched",
        "cannot fetch Wasm module",
        r"(?P<reason>cannot fetch Wasm module .*)",
    ),
)
ISTIOD: tuple[Row, ...] = (
    # Up to 1.3 the proxy's whole answer is printed.
    row(
        "nack",
        "error_detail:<",
        r"ADS:(?P<type>\S+): ACK ERROR (?:\S+:\d+ )?(?P<connection>\S+)(?: \(\S+\))? .*"
        r"error_detail:<code:(?P<code>\d+) message:\"(?P<reason>.*?)(?:\" >\s*)*$",
    ),
    row(
        "nack",
        "ACK ERROR ",
        r"ADS:(?P<type>\S+): ACK ERROR (?:\S+:\d+ )?(?P<connection>\S+)(?: \(\S+\))? "
        r"(?P<code>\w+):(?P<reason>.*)",
    ),
    row(
        "debounce",
        "Push debounce stable",
        r"stable\[\d+\] (?P<events>\d+) for (?:config|reason) (?P<config>.*?): "
        r"(?P<since_change>\S+) since last change, (?P<since_push>\S+) since last push",
    ),
    row(
        "push",
        ": PUSH ",
        r"(?P<type>\w+): PUSH .*for node:(?P<node>\S+) resources:(?P<resources>\d+)"
        r"(?: size:(?P<size>\S+))?",
    ),
    row("terminated", " terminated", r'ADS: "(?P<peer>[^"]*)" (?P<connection>\S+) terminated'),
    row(
        "connected",
        "connection for node:",
        r"new (?:delta )?connection for node:(?P<connection>\S+)",
    ),
    row("rate_limited", "exceeded rate limit", r'ADS: "(?P<peer>[^"]*)"'),
    row("unauthorized_xds", "Unauthorized XDS", r"XDS: (?P<reason>.*)"),
    row(
        "secret_missing",
        "failed to fetch key and certificate for ",
        r"certificate for (?P<credential>\S+?)(?:: (?P<reason>.*))?$",
    ),
    row(
        "secret_missing",
        "failed to fetch ca certificate for ",
        r"certificate for (?P<credential>\S+?)(?:: (?P<reason>.*))?$",
    ),
    row(
        "secret_unauthorized",
        "attempted to access unauthorized certificates",
        r"proxy (?P<proxy>\S+) attempted .*certificates (?P<credential>.*?): (?P<reason>.*)",
    ),
    row("csr_refused", "CSR signing error", r"signing error:? ?(?P<reason>.*)"),
    row(
        "cluster_unknown",
        "client claims to be in cluster",
        r'in cluster "(?P<claimed>[^"]*)".*local cluster "(?P<local>[^"]*)"',
    ),
    row(
        "cluster_unknown",
        "'s kube client",
        r"could not get cluster (?P<claimed>\S+)'s kube client",
    ),
    row("root_not_updated", "pdating new ROOT-CA not supported"),
    row("ca_incomplete", "incomplete signing CA bundle detected", r"detected at (?P<path>\S+)"),
    row("ca_not_created", "failed to create CA: ", r"failed to create CA: (?P<reason>.*)"),
    row("ca_update_failed", "Failed to update new Plug-in CA certs", r"certs: (?P<reason>.*)"),
    row("root_map_skipped", "skip writing ConfigMap", r"ConfigMap (?P<config_map>\S+)"),
    row(
        "server_skipped",
        "skipping server on gateway",
        r"on gateway (?P<gateway>[^\s,]+)(?: port (?P<port>\S+?))?[,:] (?P<reason>.*)",
    ),
    row(
        "port_skipped",
        "skipping privileged gateway port",
        r"gateway port (?P<port>\d{1,5}) for node (?P<proxy>\S+) as",
    ),
    row("no_client_tls", "failed to build Upstream TLSContext", r"TLSContext: (?P<reason>.*)"),
    row("authz_error", "Processed authorization policy", r"policy[^:]*[:,] ?(?P<reason>.*)"),
    row(
        "jwks_failed",
        "JWKS fetch failed for issuer",
        r"issuer (?P<issuer>\S+) \((?P<uri>[^)]*)\)",
    ),
    row(
        "jwks_error",
        "Failed to fetch jwt public key from issuer",
        r'issuer "(?P<issuer>[^"]*)", jwks uri "(?P<uri>[^"]*)": (?P<reason>.*)',
    ),
    row("jwks_error", "from jwks URI", r'URI "(?P<uri>[^"]*)": (?P<reason>.*)'),
    row("jwks_error", "Failed to fetch public key from", r'from "(?P<uri>[^"]*)": (?P<reason>.*)'),
    row("jwks_retry", "Failed to GET from", r'from "(?P<uri>[^"]*)": (?P<reason>.*)'),
    row("injection_failed", "Pod injection failed", r"failed: (?P<reason>.*)"),
    row("injection_skipped", "due to policy check", r"Skipping (?P<pod>\S+/\S+)"),
    row(
        "tls_refused",
        "TLS handshake error from",
        r"error from (?P<peer>\S+): (?P<reason>.*)",
    ),
    row(
        "remote_cluster",
        "remote cluster ",
        r"remote cluster (?P<cluster>\S+) failed to sync(?P<reason>.*)",
    ),
    row(
        "older_wins",
        "PeerAuthentication is already defined for",
        r"defined for (?P<namespace>\S+)",
    ),
    row(
        "token_refused",
        "KubeJWTAuthenticator",
        r"(?:.*? (?:from|for) (?P<peer>[\d.a-f:\[\]]+):\d+: )?.*KubeJWTAuthenticator.*?"
        r"returns an error: \[(?P<reason>[^\]]+)\]",
    ),
)
GATEWAY: tuple[Row, ...] = (
    row("secret_missing", "annot find secret ", r"find secret (?P<credential>[\w.\-]+)"),
)
"""Gateways fetched their Secrets themselves up to 1.7 (security/pkg/nodeagent/secretfetcher)."""
CNI: tuple[Row, ...] = (
    row("cni_excluded", "excluded due to ", r"excluded due to (?P<reason>.*)"),
    row("cni_failed", "istio-cni cmdAdd error", r"error: (?P<reason>.*)"),
    row("cni_namespace_excluded", " excluded", r"pod namespace (?P<namespace>\S+) excluded"),
    row("cni_repaired", "pod repaired"),
)
ROWS: tuple[Row, ...] = (*ENVOY, *AGENT, *ISTIOD, *CNI)
_NEED_VALUES = frozenset({"xds_closed", "config_rejected", "xds_connected", "nack", "push"}) | {
    "terminated",
    "remote_cluster",
    "cni_namespace_excluded",
    "api_unreachable",
    "invalid",
    "not_deployed",
}
_ACCESS = pattern(r'^\[\d{4}-\d\d-\d\dT[^\]]{1,40}\] "')


def scan(text: str, rows: tuple[Row, ...] = ROWS) -> tuple[Said, ...]:
    """What a container's log says, in order; empty when no known line is in it. Never raises.

    >>> said = scan("2026-11-18T09:24:33.1Z\\twarning\\tenvoy config\\tStreamAggregatedResources "
    ...             "gRPC config stream to xds-grpc closed since 54s ago: 14, connection error")
    >>> said[0].kind, said[0].get("seconds"), said[0].get("reason")
    ('xds_closed', '54', 'connection error')
    """
    return scan_lines(lines(text), rows)


def scan_lines(given: Iterable[str], rows: tuple[Row, ...] = ROWS) -> tuple[Said, ...]:
    """The same over lines, such as `AccessLog.other`. Access lines are skipped: a client writes
    half of them."""
    found = []
    for line in given:
        if _ACCESS.match(line) or (line.startswith("{") and '"response_code"' in line):
            continue
        one = _one(line[:8192], rows)
        if one is not None:
            found.append(one)
    return tuple(found)


def _one(line: str, rows: tuple[Row, ...]) -> Said | None:
    for row in rows:
        if row.fragment not in line:
            continue
        text, at = _message(line)
        match = row.pattern.search(text) if row.pattern is not None else None
        if match is None and row.kind in _NEED_VALUES:
            continue
        values = match.groupdict() if match is not None else {}
        return Said(
            kind=row.kind,
            at=at,
            text=clean(text),
            values=tuple(
                (key, clean(value, MOST_OF_A_VALUE)) for key, value in values.items() if value
            ),
        )
    return None


def _message(line: str) -> tuple[str, datetime | None]:
    """The text of a log line and its time; JSON logs (`--log_as_json`) carry both as keys."""
    data = json_object(line)
    if data is not None and isinstance(data.get("msg", data.get("message")), str):
        return (str(data.get("msg", data.get("message"))), when(str(data.get("time", ""))))
    return (line, when(re.split(r"[\s]", line, maxsplit=1)[0]))


def of(said: Iterable[Said], *kinds: str) -> tuple[Said, ...]:
    """Only those of some kinds."""
    return tuple(one for one in said if one.kind in kinds)


_UNIT = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_DURATION = pattern(r"(\d+(?:\.\d+)?)(h|ms|m|s|µs|us|ns)")


def go_duration(text: str) -> timedelta | None:
    """A duration as Go prints it; None when it is none.

    >>> go_duration("1h2m3.5s")
    datetime.timedelta(seconds=3723, microseconds=500000)
    """
    parts = _DURATION.findall(text)
    if not parts or len(text) > 40 or "".join(n + u for n, u in parts) != text.lstrip("-"):
        return None
    return timedelta(seconds=sum(float(n) * _UNIT[u] for n, u in parts))
