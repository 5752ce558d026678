"""What may I see? Permissions of whoever runs this, asked before a diagnosis needs them.

One SelfSubjectRulesReview per namespace answers for many kinds; a SelfSubjectAccessReview decides
cluster-wide reads, and namespaces whose rules the server cannot list completely.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import msgspec

from meshdoctor.model.kinds import BY_NAME
from meshdoctor.model.ready import decoder
from meshdoctor.ports import EvidenceError
from meshdoctor.sources.http import Refused, Transport

_ROOT = "/apis/authorization.k8s.io/v1"
_LOGS = frozenset({"log"})
_FORWARDED = frozenset({"proxy-status", "proxy-config", "debug", "metrics", "authz-check"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One permission; `namespace` "" asks for all namespaces or for the cluster scope."""

    verb: str
    group: str
    resource: str
    namespace: str = ""
    namespaced: bool = True

    @property
    def command(self) -> str:
        name = f"{self.resource}.{self.group}" if self.group else self.resource
        scope = f" -n {self.namespace}" if self.namespace else " -A" if self.namespaced else ""
        return f"kubectl auth can-i {self.verb} {name}{scope}"


class _Rule(msgspec.Struct, frozen=True, rename="camel"):
    verbs: list[str] = []
    api_groups: list[str] | None = None
    resources: list[str] | None = None
    resource_names: list[str] | None = None


class _Status(msgspec.Struct, frozen=True, rename="camel"):
    allowed: bool = False
    incomplete: bool = False
    resource_rules: list[_Rule] | None = None


class _Review(msgspec.Struct, frozen=True):
    status: _Status = _Status()


def needs_of(reads: Iterable[str], namespaces: Sequence[str]) -> list[Need]:
    """Permissions for what probes declare they read, in these namespaces; none: in all."""
    wanted = set(reads)
    found: list[Need] = []
    for scope in namespaces or ("",):
        for name in sorted(wanted & BY_NAME.keys()):
            row = BY_NAME[name]
            if row.namespaced:
                found.append(
                    Need(verb="list", group=row.group, resource=row.plural, namespace=scope)
                )
        if wanted & _LOGS:
            found.append(Need(verb="get", group="", resource="pods/log", namespace=scope))
        if wanted & _FORWARDED:
            found += [
                Need(verb=verb, group="", resource="pods/portforward", namespace=scope)
                for verb in ("create", "get")  # a WebSocket is a GET, and since 1.35 a create too
            ]
    for name in sorted(wanted & BY_NAME.keys()):
        row = BY_NAME[name]
        if not row.namespaced:
            found.append(Need(verb="list", group=row.group, resource=row.plural, namespaced=False))
    return found


class Access:
    """Answers of one API server about one identity."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def check(self, needs: Sequence[Need]) -> Iterator[tuple[Need, bool | None]]:
        """Whether each need is met; None when the server does not say."""
        spaces = sorted({need.namespace for need in needs if need.namespace})
        with ThreadPoolExecutor(8, thread_name_prefix="access") as pool:
            rules = dict(zip(spaces, pool.map(self._rules, spaces), strict=True))
            yield from zip(
                needs, pool.map(lambda n: self._one(n, rules.get(n.namespace)), needs), strict=True
            )

    def _one(self, need: Need, rules: _Status | None) -> bool | None:
        if rules is not None:
            if any(_grants(rule, need) for rule in rules.resource_rules or ()):
                return True
            if not rules.incomplete:
                return False
        return self._allowed(need)

    def _rules(self, namespace: str) -> _Status | None:
        body = {"spec": {"namespace": namespace}}
        return self._ask("selfsubjectrulesreviews", "SelfSubjectRulesReview", body)

    def _allowed(self, need: Need) -> bool | None:
        resource, _, sub = need.resource.partition("/")
        attributes = {
            "namespace": need.namespace,
            "verb": need.verb,
            "group": need.group,
            "resource": resource,
            "subresource": sub,
        }
        body = {"spec": {"resourceAttributes": attributes}}
        status = self._ask("selfsubjectaccessreviews", "SelfSubjectAccessReview", body)
        return None if status is None else status.allowed

    def _ask(self, plural: str, kind: str, body: Mapping[str, object]) -> _Status | None:
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, **body}
        try:
            answer = self._transport.review(f"{_ROOT}/{plural}", msgspec.json.encode(review))
            return decoder(_Review).decode(answer).status
        except (Refused, EvidenceError, msgspec.DecodeError):
            return None


def _grants(rule: _Rule, need: Need) -> bool:
    """RBAC's own matching: `*` for all, `*/log` for a subresource of all."""
    if rule.resource_names:
        return False
    verbs, groups, resources = rule.verbs, rule.api_groups or (), rule.resources or ()
    sub = need.resource.partition("/")[2]
    wanted = {"*", need.resource, *([f"*/{sub}"] if sub else [])}
    return (
        ("*" in verbs or need.verb in verbs)
        and ("*" in groups or need.group in groups)
        and any(one in wanted for one in resources)
    )
