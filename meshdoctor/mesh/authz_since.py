"""Since when do the policies that refuse requests stand as they are?

What passed before says nothing of them. Proxies have a change a moment later than the API server
(istiod's debounce and push, docs of PILOT_DEBOUNCE_AFTER), and finish what they had begun.
"""

from datetime import UTC, datetime, timedelta

from meshdoctor.mesh.authorization import Inputs
from meshdoctor.mesh.authz_evidence import (
    BAD_CUSTOM,
    DEFAULT,
    EXT_DENIED,
    EXT_ERROR,
    JWT,
    MATCHED,
    SHADOW_CUSTOM,
    TOO_LARGE,
    UNTOLD,
    Denial,
)
from meshdoctor.mesh.authz_policies import dry_run, in_force
from meshdoctor.mesh.authz_verdict import Decision, Verdict
from meshdoctor.mesh.changes import last_change
from meshdoctor.model.kubernetes import Object

ALWAYS = datetime.min.replace(tzinfo=UTC)
SETTLES = timedelta(seconds=10)
JWT_LAYER = "JWT"
_KINDS = {
    DEFAULT: "ALLOW",
    MATCHED: "DENY",
    JWT: JWT_LAYER,
    UNTOLD: UNTOLD,
    **dict.fromkeys((BAD_CUSTOM, SHADOW_CUSTOM, EXT_DENIED, EXT_ERROR, TOO_LARGE), "CUSTOM"),
}


def settled(
    denial: Denial | None, inputs: Inputs, verdict: Verdict, config: Object | None
) -> datetime | None:
    """From when on a request that passed was judged as one would be now: by the policies of the
    kind that refused, else by those that would refuse; `config` declares the providers of CUSTOM
    ones. None: the objects do not tell."""
    kind = _kind(denial, verdict)
    changes = [last_change(one) for one in _deciding(kind, denial, inputs)]
    if kind == "CUSTOM" and changes and config is not None:
        changes.append(last_change(config))
    known = [at for at in changes if at is not None]
    if len(known) < len(changes):
        return None
    return max(known) + SETTLES if known else ALWAYS


def _kind(denial: Denial | None, verdict: Verdict) -> str:
    """ALLOW, DENY, CUSTOM or JWT; UNTOLD: any of them; "": none."""
    if denial is not None:
        return _KINDS.get(denial.kind, "")
    return verdict.layer if verdict.decision is Decision.DENY else ""


def _deciding(kind: str, denial: Denial | None, inputs: Inputs) -> tuple[Object, ...]:
    policies = in_force(inputs.policies, inputs.judge, inputs.settings)
    asked = tuple(
        p for p in policies if kind in (p.spec.action, UNTOLD) and kind and not dry_run(p)
    )
    named = tuple(p for p in asked if denial is not None and p.ref == denial.ref)
    if named or kind not in (JWT_LAYER, UNTOLD):
        return named or asked
    return (*asked, *in_force(inputs.authentications, inputs.judge, inputs.settings))
