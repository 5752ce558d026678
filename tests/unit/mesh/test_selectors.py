"""Are things looked up by their selectors those that comparing each would find?"""

from hypothesis import given
from hypothesis import strategies as st

from meshdoctor.mesh.authz_call import Judge, Settings
from meshdoctor.mesh.authz_policies import Candidates, in_force
from meshdoctor.mesh.selectors import BySelector
from meshdoctor.model.istio import (
    AuthorizationPolicy,
    AuthorizationPolicySpec,
    PolicyTargetRef,
    WorkloadSelector,
)
from meshdoctor.model.kubernetes import Meta
from meshdoctor.model.snapshot import selects

GATEWAY = "gateway.networking.k8s.io/gateway-name"
LABELS = st.dictionaries(st.sampled_from(["app", "v", GATEWAY]), st.sampled_from(["a", "b"]))


@given(st.lists(LABELS, max_size=8), LABELS)
def test_no_selector_that_selects_is_missed(
    selectors: list[dict[str, str]], labels: dict[str, str]
) -> None:
    things = list(enumerate(selectors))
    index = BySelector((wanted, thing) for thing in things for wanted in [thing[1]])
    found = index.candidates(labels)
    assert [t for t in found if selects(t[1], labels)] == [
        t for t in things if selects(t[1], labels)
    ]
    assert found == sorted(found, key=lambda t: t[0])
    assert all(not wanted or wanted.items() & labels.items() for _, wanted in found)


SPECS = st.builds(
    AuthorizationPolicySpec,
    selector=st.none() | LABELS.map(lambda labels: WorkloadSelector(match_labels=labels)),
    target_refs=st.sampled_from(
        [
            (),
            (PolicyTargetRef(group="gateway.networking.k8s.io", kind="Gateway", name="a"),),
        ]
    ),
)


@given(
    st.lists(st.tuples(st.sampled_from(["shop", "istio-system", "other"]), SPECS), max_size=8),
    LABELS,
    st.sampled_from(["sidecar", "waypoint", "ztunnel"]),
)
def test_the_first_policy_in_force(
    given_: list[tuple[str, AuthorizationPolicySpec]], labels: dict[str, str], kind: str
) -> None:
    policies = [
        AuthorizationPolicy(metadata=Meta(name=f"p{7 - number}", namespace=space), spec=spec)
        for number, (space, spec) in enumerate(given_)
    ]
    judge = Judge(namespace="shop", labels=labels, kind=kind)
    expected = in_force(policies, judge, Settings())
    first = Candidates(policies).first(judge, Settings())
    assert first == (expected[0] if expected else None)
