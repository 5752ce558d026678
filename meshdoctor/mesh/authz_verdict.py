"""What is the answer to one request, who gave it, and what was nearest to another answer?"""

from enum import StrEnum

from msgspec import Struct

from meshdoctor.mesh.authz_call import Truth
from meshdoctor.mesh.authz_rules import Clause, RuleResult
from meshdoctor.mesh.request_authentication import JwtOutcome


class Decision(StrEnum):
    ALLOW = "allow"
    DENY = "deny"
    UNKNOWN = "unknown"


class PolicyResult(Struct, frozen=True, kw_only=True):
    """One policy in force, judged. `never`: no rules at all, so it matches nothing.

    `enforced` is False for a dry-run policy.
    """

    ref: str
    action: str
    namespace: str
    rules: tuple[RuleResult, ...]
    rule_ids: tuple[str, ...]
    never: bool = False
    enforced: bool = True
    provider: str = ""

    @property
    def holds(self) -> Truth:
        """Whether any rule matches."""
        states = {rule.holds for rule in self.rules}
        return True if True in states else None if None in states else False


class Miss(Struct, frozen=True, kw_only=True):
    """A rule that did not match, with the fields that would have had to.

    `skipped` says that istiod generated nothing for it, and why.
    """

    policy: str
    rule: int
    clauses: tuple[Clause, ...]
    unknown: tuple[Clause, ...]
    skipped: str = ""

    @property
    def single(self) -> Clause | None:
        """The one field that alone keeps the rule from matching."""
        alone = len(self.clauses) == 1 and not self.unknown and not self.skipped
        return self.clauses[0] if alone else None


class Verdict(Struct, frozen=True, kw_only=True):
    """`layer` decided: CUSTOM, JWT, DENY, ALLOW, or "" when no policy is in force.

    `details` is the response code detail (or, on TCP, the termination detail) to expect in the
    access log; `status` 0 is a closed connection. `misses` are the ALLOW rules, nearest first.
    `needs` names attributes that would settle an unknown decision.
    """

    decision: Decision
    layer: str = ""
    policy: str = ""
    rule: int = -1
    rule_result: RuleResult | None = None
    details: str = ""
    status: int = 0
    misses: tuple[Miss, ...] = ()
    needs: tuple[str, ...] = ()
    policies: tuple[PolicyResult, ...] = ()
    jwt: JwtOutcome = JwtOutcome(passes=True)
    tcp: bool = False
    notes: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()

    def of(self, action: str) -> tuple[PolicyResult, ...]:
        """The enforced policies of one action."""
        return tuple(p for p in self.policies if p.action == action and p.enforced)
