"""Did istiod obtain the signing keys, and does the judging proxy hold the token's key?"""

from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh import log_lines
from meshdoctor.mesh.jwks import Keys, keys_in, names_placeholder
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import PROXY
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.kubernetes import Pod
from meshdoctor.model.subjects import EdgeSubject, SubjectKind
from meshdoctor.ports import NotAskedError, UnparsableError
from meshdoctor.probes.authz_denial import READS
from meshdoctor.probes.authz_hop import Hop
from meshdoctor.probes.authz_hops import situation
from meshdoctor.probes.reading import istiod_pods, workloads
from meshdoctor.probes.view import View, attempt, probe

NOT_SAID = "its log, as far as it was read, does not say why"
KINDS = ("jwks_failed", "jwks_error", "jwks_retry")


class AuthzJwks(Struct, frozen=True, kw_only=True):
    """istiod's log about the key sets, and the keys in the judge's listeners."""

    errors: Annotated[Fact[int], "istiod log lines of failed fetches of these key sets", OBSERVED]
    error: Annotated[Fact[str], "the last of them, or that there is none", OBSERVED]
    istiod: Annotated[Fact[Ref], "the workload of istiod"]
    placeholder: Annotated[Fact[bool], "the proxy holds istiod's placeholder key", OBSERVED]
    unread: Annotated[Fact[bool], "the proxy's listeners, which hold its keys, could not be read"]
    lacks_kid: Annotated[
        Fact[bool],
        "real keys, and none with the token's key id; where that is not told, as the proxy says",
        OBSERVED,
    ]
    kid: Annotated[Fact[str], "key id of the token; empty: none or not known"]
    signed_with: Annotated[Fact[str], "the token's key in words"]


@probe("authz-jwks", subject=SubjectKind.EDGE, reads=(*READS, "proxy-config"), costly=True)
def authz_jwks(view: View, edge: EdgeSubject) -> AuthzJwks:
    """Did istiod obtain the signing keys, and does the proxy hold the token's key?"""
    found = situation(view, edge)
    judge = found.judge
    if judge is None or judge.pod is None:
        raise NotAskedError("signing keys of the judging proxy", "no proxy judges this edge")
    uris = {
        rule.jwks_uri or rule.issuer
        for policy in judge.inputs.authentications
        for rule in policy.spec.jwt_rules
    }
    pod = judge.pod
    said = attempt(lambda: _istiod_said(view, uris))
    keys = attempt(lambda: _keys(view, pod.namespace, pod.name))
    kid = judge.verdict.jwt.kid
    mine = () if isinstance(keys, Unavailable) else keys
    lines = () if isinstance(said, Unavailable) else said
    return AuthzJwks(
        errors=said if isinstance(said, Unavailable) else len(said),
        error=clean(lines[-1].text, 300) if lines else NOT_SAID,
        istiod=Ref(_istiod(view)),
        placeholder=_placeholder(view, pod, keys),
        unread=isinstance(keys, Unavailable),
        lacks_kid=keys if isinstance(keys, Unavailable) else _lacks(mine, kid, _no_match(judge)),
        kid=kid,
        signed_with=f"key {kid}" if kid else "a key that no log names",
    )


def _placeholder(view: View, pod: Pod, keys: tuple[Keys, ...] | Unavailable) -> bool | Unavailable:
    """From its listeners; where they cannot be read, a debug log may show what it was given."""
    if not isinstance(keys, Unavailable):
        return any(k.placeholder for k in keys)
    log = attempt(lambda: view.log(pod.namespace, pod.name, PROXY).text)
    return True if isinstance(log, str) and names_placeholder(log) else keys


def _istiod_said(view: View, uris: set[str]) -> tuple[log_lines.Said, ...]:
    out: list[log_lines.Said] = []
    for pod in istiod_pods(view)[:3]:
        text = view.log(pod.namespace, pod.name, "discovery").text
        for one in log_lines.of(log_lines.scan(text, log_lines.ISTIOD), *KINDS):
            named = one.get("uri") or one.get("issuer")
            if not named or named in uris or one.get("issuer") in uris:
                out.append(one)
    return tuple(out)


def _istiod(view: View) -> str:
    pods = istiod_pods(view)
    for found in workloads(view).values():
        if any(pod in found.pods for pod in pods):
            return found.subject.ref
    return ""


def _keys(view: View, namespace: str, pod: str) -> tuple[Keys, ...]:
    keys = keys_in(view.proxy_config("listener", namespace, pod).text)
    if keys is None:
        raise UnparsableError(f"proxy-config listener of {namespace}/{pod}")
    return keys


def _no_match(judge: Hop) -> bool:
    """Whether the proxy said that no key of its own has the token's key id or algorithm."""
    denial = judge.summary.denial
    return denial is not None and denial.text.startswith("Jwks doesn't have key")


def _lacks(keys: tuple[Keys, ...], kid: str, no_match: bool) -> bool:
    real = [k for k in keys if not k.placeholder and not k.remote and k.kids]
    if not kid:
        return bool(real) and no_match
    return bool(real) and all(kid not in k.kids and "" not in k.kids for k in real)
