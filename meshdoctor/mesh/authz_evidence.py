"""What do access lines say about who refused a request, and why?

Envoy puts the reason in response_code_details, or for TCP in connection_termination_details:
`rbac_access_denied_matched_policy[none]`, `...[ns[N]-policy[P]-rule[i]]`,
`jwt_authn_access_denied{Text}`, `ext_authz_denied`, `ext_authz_error`. Same from 1.9 to 1.31.
At level debug the JWT filter also says how it judged each request (`Jwt authentication completed
with: Text`, source/extensions/filters/http/jwt_authn/filter.cc), without naming the request.
Releases up to 1.8 log no details: a 403 without upstream address is a policy's, of which kind is
not told.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from meshdoctor.mesh.access_log import AccessLog, Line
from meshdoctor.mesh.authority import bare_host
from meshdoctor.mesh.authz_custom import BAD_WORDS
from meshdoctor.mesh.edge_evidence import black_holed, by_upstream
from meshdoctor.mesh.text import clean
from meshdoctor.model.patterns import pattern

RBAC = "rbac_access_denied_matched_policy["
_RULE = pattern(r"ns\[([^\]]*)\]-policy\[([^\]]*)\]-rule\[(\d{1,6})\]")
_PROVIDER = pattern(r"^istio-ext-authz-(.*?)-?ns\[")
DEFAULT, MATCHED, BAD_CUSTOM, SHADOW_CUSTOM = "default", "matched", "bad-custom", "custom-rbac"
JWT, EXT_DENIED, EXT_ERROR, TOO_LARGE, OTHER = "jwt", "ext-denied", "ext-error", "size", "other"
UNTOLD = "untold"
DIRECT = "direct_response"
"""Details of an answer that a route gives itself."""
_OTHER_FLAGS = frozenset({"RL", "RLSE", "FI", "DI"})
_OTHER_WORDS = ("wasm_fail_stream", "lua_response", "response_payload_too_large")
_UPSTREAM = frozenset({"", "-", "via_upstream"})
_ROUTING = ("route_not_found", "cluster_not_found", "no_healthy_upstream", "upstream_", "http1.")
_JUDGED = pattern(r"Jwt authentication completed with: (?P<why>[^\t]{1,200})")
# The caller hung up: the code, if there is one, is what the upstream had answered before.
_HUNG_UP = ("downstream_",)


class Denial(Struct, frozen=True, kw_only=True):
    """One refusal. `kind` is one of this module's words; `policy` "" unless the line names it."""

    kind: str
    text: str
    namespace: str = ""
    policy: str = ""
    rule: int = -1
    provider: str = ""

    @property
    def ref(self) -> str:
        """`AuthorizationPolicy/ns/name`; "" when no policy is named."""
        return f"AuthorizationPolicy/{self.namespace}/{self.policy}" if self.policy else ""


def of_line(line: Line) -> Denial | None:
    """Who refused; None for a line that no filter of this proxy refused."""
    for text in (line.details, line.termination):
        if RBAC in text:
            return _rbac(text)
    if line.details.startswith("jwt_authn_access_denied{"):
        reason = line.details.partition("{")[2].rstrip("}").replace("_", " ")
        return Denial(kind=JWT, text=clean(reason, 200))
    if "ext_authz_denied" in line.details:
        return Denial(kind=EXT_DENIED, text="ext_authz_denied")
    if "ext_authz_error" in line.details:
        return Denial(kind=EXT_ERROR, text="ext_authz_error")
    if line.code == 413 or "request_payload_too_large" in line.details:
        return Denial(kind=TOO_LARGE, text=clean(line.details, 200)) if _local(line) else None
    if "UAEX" in line.flags:
        return Denial(kind=EXT_DENIED, text="UAEX")
    if _closed(line):
        return Denial(kind=UNTOLD, text="connection closed")
    if _untold(line):
        return Denial(kind=JWT, text="") if line.code == 401 else Denial(kind=UNTOLD, text="403")
    if line.flags & _OTHER_FLAGS or line.details.startswith(_OTHER_WORDS):
        return Denial(kind=OTHER, text=clean(_words(line), 200))
    answered = line.details == DIRECT and line.code >= 400 and not black_holed(line)
    if answered or (line.code in (401, 403, 429) and _local(line)):
        return Denial(kind=OTHER, text=clean(_words(line), 200))
    return None


def _untold(line: Line) -> bool:
    """Whether this proxy answered 401 or 403 itself, and says no more: before 1.9 lines hold no
    details, and a request that went on has an upstream address."""
    known = line.upstream_cluster and not line.upstream_host
    return line.code in (401, 403) and bool(known) and not line.details and not line.flags


def _closed(line: Line) -> bool:
    """Whether the server's proxy ended a connection before it connected to its application, and
    says no more: so does its RBAC filter in releases up to 1.8."""
    told = line.details or line.termination or line.flags or line.upstream_host or line.code
    return line.is_tcp and line.is_inbound and not told and not line.bytes_sent


def _local(line: Line) -> bool:
    """Whether this proxy itself answered, and not because it could not route or connect."""
    return line.details not in _UPSTREAM and not line.details.startswith(_ROUTING + _HUNG_UP)


def _words(line: Line) -> str:
    flags = ",".join(sorted(line.flags))
    return " ".join(t for t in (str(line.code or ""), flags, line.details) if t)


def _rbac(text: str) -> Denial:
    inner = text.partition(RBAC)[2].removesuffix("]")
    if inner == "none":
        return Denial(kind=DEFAULT, text=clean(text, 200))
    found = _RULE.search(inner)
    provider = _PROVIDER.match(inner)
    kind = MATCHED
    if BAD_WORDS in inner:
        kind = BAD_CUSTOM
    elif inner.startswith("istio-ext-authz"):
        kind = SHADOW_CUSTOM
    elif found is None:
        kind = OTHER  # no name that istiod gives: a filter that an EnvoyFilter added
    return Denial(
        kind=kind,
        text=clean(text, 200),
        namespace=found[1] if found else "",
        policy=found[2] if found else "",
        rule=int(found[3]) if found else -1,
        provider=clean(provider[1], 100) if provider else "",
    )


class Summary(Struct, frozen=True, kw_only=True):
    """Refusals among some lines. `line` and `denial` are the most frequent kind's latest; `alike`
    of those that passed have its method and path. None: whether they passed under the policies of
    now is not known."""

    counts: Counter[str]
    line: Line | None = None
    denial: Denial | None = None
    plaintext: int = 0
    total: int = 0
    passed: int | None = 0
    alike: int | None = 0

    def count(self, kind: str) -> int:
        return self.counts.get(kind, 0)

    @property
    def refused(self) -> int:
        """All refusals by a filter of this proxy."""
        return sum(self.counts.values())


def _since_answered(refused: list[tuple[Line, Denial]]) -> list[tuple[Line, Denial]]:
    """Without errors of an external authorizer that are older than all its answers."""
    answers = [one.start for one, denial in refused if denial.kind == EXT_DENIED and one.start]
    first = min(answers, default=None)
    if first is None:
        return refused
    return [
        (line, denial)
        for line, denial in refused
        if denial.kind != EXT_ERROR or line.start is None or line.start >= first
    ]


def summarise(lines: Iterable[Line]) -> Summary:
    """How often which filter refused; `passed` counts requests that went on to the upstream. What
    failed before an external authorizer first answered tells of its start only."""
    lines = tuple(lines)
    refused = _since_answered(
        [(line, denial) for line in lines if (denial := of_line(line)) is not None]
    )
    counts = Counter(denial.kind for _, denial in refused)
    passed = [line for line in lines if _passed(line)]
    if not refused:
        return Summary(counts=counts, total=len(lines), passed=len(passed))
    kinds = Counter((d.kind, d.ref, d.rule, d.text) for _, d in refused)
    most = kinds.most_common(1)[0][0]
    line, denial = next(
        (one, d) for one, d in reversed(refused) if (d.kind, d.ref, d.rule, d.text) == most
    )
    return Summary(
        counts=counts,
        line=line,
        denial=denial,
        plaintext=sum(1 for one, _ in refused if one.server_name_kind == "plaintext"),
        total=len(lines),
        passed=len(passed),
        alike=sum(1 for one in passed if _asked(one) == _asked(line)),
    )


def _asked(line: Line) -> tuple[str, str]:
    return line.method, line.path.partition("?")[0]


def counted_since(summary: Summary, lines: Iterable[Line], since: datetime | None) -> Summary:
    """The same, where what passed before `since` does not count; None: since when is not known."""
    passed = [line for line in lines if _passed(line)]
    asked = _asked(summary.line) if summary.line is not None else None
    alike = [line for line in passed if _asked(line) == asked]
    return replace(summary, passed=_count(passed, since), alike=_count(alike, since))


def _count(lines: Iterable[Line], since: datetime | None) -> int | None:
    """How many there are since then; None: some, and whether since then is not known of any."""
    times = [line.start for line in lines]
    after = sum(1 for at in times if at is not None and since is not None and at >= since)
    return None if not after and times and (since is None or None in times) else after


def _passed(line: Line) -> bool:
    return line.details == "via_upstream" and line.code < 400


def told(summary: Summary, layer: str) -> Summary:
    """The same, where lines do not say which kind of policy refused but judging the policies does:
    `layer` ALLOW or DENY."""
    kind = {"ALLOW": DEFAULT, "DENY": MATCHED}.get(layer)
    denial = summary.denial
    if kind is None or denial is None or denial.kind != UNTOLD:
        return summary
    counts = Counter(summary.counts)
    counts[kind] += counts.pop(UNTOLD)
    return replace(summary, counts=counts, denial=replace(denial, kind=kind))


def of_debug_log(log: AccessLog) -> Summary:
    """Refused tokens of a proxy that logs no requests, from its JWT filter's own words.

    They name no caller, so they count only where the filter let nobody pass.
    """
    words = [found["why"].strip() for text in log.other if (found := _JUDGED.search(text))]
    if log.lines or not words or "OK" in words:
        return Summary(counts=Counter())
    text = Counter(words).most_common(1)[0][0]
    denial = Denial(kind=JWT, text=clean(text, 200))
    return Summary(counts=Counter({JWT: len(words)}), denial=denial, total=len(words))


def relevant(lines: Iterable[Line], *, method: str, path: str, host: str) -> tuple[Line, ...]:
    """The lines of the request asked about; all of them when none is that request."""
    lines = tuple(lines)
    wanted = tuple(
        line
        for line in lines
        if (not method or line.method in ("", method.upper()))
        and (not path or line.path.partition("?")[0] in ("", path.partition("?")[0]))
        and (not host or line.host in ("", bare_host(host)))
    )
    return wanted or lines


def answered_by_app(line: Line) -> bool:
    """Whether an upstream, not this proxy, answered 401 or 403."""
    return line.code in (401, 403) and by_upstream(line)
