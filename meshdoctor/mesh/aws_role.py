"""Does an application's log say that AWS knows it under another role than its own?

An SDK whose call to STS fails goes on to the next source of credentials, the node's role, and keeps
it: until the pod is restarted AWS denies what only the pod's own role may do.
"""

from msgspec import Struct

from meshdoctor.model.kubernetes import ServiceAccount
from meshdoctor.model.patterns import pattern

ROLE_ANNOTATION = "eks.amazonaws.com/role-arn"
_DENIED = pattern(
    r"not authorized to perform|AccessDenied|UnauthorizedOperation|no permissions for"
)
_ASSUMED = pattern(
    r"(?::assumed-role/|User \[name=arn:aws[\w-]{0,9}:iam::\d{0,12}\w*:role/)([\w+=.@-]{1,64})"
)
_STS = pattern(r"\bSTS\b|\bsts[.-][\w.-]*amazonaws\.com|AssumeRoleWithWebIdentity")
_FAILED = pattern(
    r"refused|[Tt]imed? ?out|reset by peer|Unable to execute HTTP request|[Cc]ould not connect|"
    r"EndpointConnectionError|RequestError: send request failed|EOF|connection error|"
    r"broken connection|request failed"
)


class Fallback(Struct, frozen=True, kw_only=True):
    """Lines in which AWS denies another role; that role; calls to STS that did not get through."""

    denied: tuple[str, ...] = ()
    role: str = ""
    sts_failures: tuple[str, ...] = ()


def own_role(account: ServiceAccount | None) -> str:
    """The name of the role that the account is meant to have; "": none."""
    if account is None:
        return ""
    return account.metadata.annotations.get(ROLE_ANNOTATION, "").rpartition("/")[2]


def read(text: str, own: str) -> Fallback:
    """What an application's log says; `own` is the name of its role."""
    denied: list[str] = []
    failed: list[str] = []
    role = ""
    for line in text.splitlines():
        assumed = _ASSUMED.search(line)
        if assumed is not None and assumed[1] != own and _DENIED.search(line):
            denied.append(line)
            role = assumed[1]
        elif _STS.search(line) and _FAILED.search(line):
            failed.append(line)
    return Fallback(denied=tuple(denied), role=role, sts_failures=tuple(failed))
