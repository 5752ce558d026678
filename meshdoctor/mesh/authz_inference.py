"""What does a logged refusal tell of the token of a request that nobody described?

A RequestAuthentication lets a request without a token pass and answers a bad one itself. So where
every token that it accepts would have been let in, a refusal by the policies behind it (RBAC) is
one of a request without a token.
"""

from msgspec.structs import replace

from meshdoctor.mesh.authorization import Inputs, decide
from meshdoctor.mesh.authz_evidence import DEFAULT, MATCHED, Denial
from meshdoctor.mesh.authz_fields import Claims
from meshdoctor.mesh.authz_policies import in_force
from meshdoctor.mesh.authz_verdict import Decision, Verdict

NO_TOKEN = Claims(values={})
# A subject that only a wildcard matches.
_ANYBODY = "\uffff"


def lacked_token(inputs: Inputs, verdict: Verdict, denial: Denial | None) -> bool:
    """Whether the refusal in the log is one that only a request without a token can meet."""
    open_question = verdict.decision is Decision.UNKNOWN and verdict.jwt.claims.values is None
    if denial is None or not open_question or inputs.claims is not None:
        return False
    without = decide(replace(inputs, claims=NO_TOKEN))
    if without.decision is not Decision.DENY or not _same(without, denial):
        return False
    rules = in_force(inputs.authentications, inputs.judge, inputs.settings)
    issuers = {rule.issuer for one in rules for rule in one.spec.jwt_rules}
    return bool(issuers) and all(
        decide(replace(inputs, claims=Claims(values={"iss": issuer, "sub": _ANYBODY}))).decision
        is Decision.ALLOW
        for issuer in issuers
    )


def _same(verdict: Verdict, denial: Denial) -> bool:
    """Whether the verdict is the refusal that was logged."""
    if denial.kind == DEFAULT:
        return verdict.layer == "ALLOW"
    named = (verdict.policy, verdict.rule) == (denial.ref, denial.rule)
    return denial.kind == MATCHED and verdict.layer == "DENY" and named
