"""Folding makes equal parts one, and changes nothing that a pod says."""

import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from meshdoctor.model.decode import item, objects_of, page
from meshdoctor.model.kinds import BY_NAME
from meshdoctor.model.kubernetes import Pod
from meshdoctor.model.same import Same

KIND = BY_NAME["Pod"]


def _pod(name: str, app: str, value: str = "1") -> dict[str, Any]:
    env = [{"name": "A", "value": value}, {"name": "B", "value": "2"}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": {"app": app},
            "annotations": {"sidecar.istio.io/status": "{}"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": app, "controller": True}],
        },
        "spec": {
            "containers": [
                {
                    "name": app,
                    "image": "i",
                    "env": env,
                    "volumeMounts": [{"name": f"kube-api-access-{name}", "mountPath": "/t"}],
                },
                {"name": "istio-proxy", "resources": {"limits": {"cpu": "2"}}},
            ],
            "volumes": [{"name": "istio-envoy"}, {"name": f"kube-api-access-{name}"}],
        },
    }


def _page(*pods: dict[str, Any]) -> list[Pod]:
    body = json.dumps({"items": list(pods)}).encode()
    objects, aside = objects_of(page(body), KIND, "here", Same())
    assert not aside
    return [pod for pod in objects if isinstance(pod, Pod)]


def test_pods_of_one_workload_hold_one_set_of_containers() -> None:
    one, two = _page(_pod("a", "web"), _pod("b", "web"))
    assert one.name != two.name
    for left, right in zip(one.spec.containers, two.spec.containers, strict=True):
        assert left is right
    assert one.metadata.labels is two.metadata.labels
    assert one.metadata.annotations is two.metadata.annotations
    assert one.metadata.owner_references is two.metadata.owner_references
    assert one.spec.volumes[0] is two.spec.volumes[0]
    assert [v.name for v in two.spec.volumes] == ["istio-envoy", "kube-api-access-b"]


def test_a_container_that_differs_in_one_value_stays_its_own() -> None:
    one, two = _page(_pod("a", "web", "1"), _pod("b", "web", "9"))
    assert one.spec.containers[0] is not two.spec.containers[0]
    assert [c.env[0].value for c in (one.spec.containers[0], two.spec.containers[0])] == ["1", "9"]
    assert one.spec.containers[0].env[1] is two.spec.containers[0].env[1]


def test_what_is_empty_is_not_taken_for_something_else() -> None:
    bare = _pod("a", "web")
    bare["metadata"].pop("labels")
    bare["spec"]["volumes"] = []
    (pod,) = _page(bare)
    assert pod.metadata.labels == {}
    assert pod.spec.volumes == ()


_names = st.sampled_from(["a", "b", "c"])
_pods = st.lists(st.builds(_pod, _names, _names, st.sampled_from(["1", "2"])), max_size=6)


@given(_pods)
def test_folded_pods_say_what_they_said(pods: list[dict[str, Any]]) -> None:
    plain = [item(msgspec.json.encode(one), KIND, "here") for one in pods]
    assert _page(*pods) == plain
