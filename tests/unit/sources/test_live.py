"""Does the live source read a real HTTP server right, and fail with words that help?"""

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meshdoctor.ports import (
    DeadlineError,
    ForbiddenError,
    MissingError,
    NotServedError,
    SourceError,
    TooLargeError,
    UnparsableError,
    UnreachableError,
)
from meshdoctor.sources import http
from meshdoctor.sources.access import Access, Need, needs_of
from meshdoctor.sources.live import Live, open_live, opening_live
from tests.unit.sources.apiserver import Api, Reply, kubeconfig, serving, status

PODS = "/api/v1/pods"
SHOP = "/api/v1/namespaces/shop/pods"
OPTIONS: dict[str, Any] = {
    "context": "",
    "istio_namespace": "istio-system",
    "istioctl": "no-such-tool",
    "since_seconds": 60,
    "deadline_seconds": 20,
}


def pod(name: str, namespace: str = "shop") -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": namespace, "annotations": {"x": "y" * 200}},
        "spec": {"containers": [{"name": "app"}]},
    }


@pytest.fixture
def api() -> Iterator[Api]:
    with serving(Api()) as running:
        yield running


def live(api: Api, tmp_path: Path, deadline: float = 20) -> Live:
    config = kubeconfig(tmp_path / "config", api.url)
    return open_live(kubeconfig=str(config), deadline_seconds=deadline, istioctl="no-such-tool")


def test_lists_come_in_pages(api: Api, tmp_path: Path) -> None:
    api.objects[PODS] = [pod(f"p-{n}") for n in range(1203)]
    answer = live(api, tmp_path).list("Pod", None)
    assert len(answer.objects) == 1203
    assert answer.objects[1202].ref == "Pod/shop/p-1202"
    queries = [query for _, path, query in api.seen if path == PODS]
    assert queries == [
        {"limit": "500"},
        {"limit": "500", "continue": "500"},
        {"limit": "500", "continue": "1000"},
    ]


def _large(api: Api) -> list[str]:
    """3,000 pods in three namespaces, one of which takes several pages."""
    sizes = {"a": 700, "b-c": 2299, "b": 1}
    names = [f"{space}/p-{n}" for space in sorted(sizes) for n in range(sizes[space])]
    api.objects[PODS] = [pod(n.partition("/")[2], n.partition("/")[0]) for n in names]
    api.objects["/api/v1/namespaces"] = [{"metadata": {"name": name}} for name in sizes]
    for space in sizes:
        path = f"/api/v1/namespaces/{space}/pods"
        api.objects[path] = [p for p in api.objects[PODS] if p["metadata"]["namespace"] == space]
    return names


def test_a_long_list_comes_by_namespace(api: Api, tmp_path: Path) -> None:
    names = _large(api)
    answer = live(api, tmp_path).list("Pod", None)
    assert [f"{o.namespace}/{o.name}" for o in answer.objects] == names
    assert [q for _, path, q in api.seen if path == PODS] == [{"limit": "500"}]
    assert len([path for path in api.paths() if path.endswith("/b-c/pods")]) == 5


def test_a_long_list_comes_in_pages_where_namespaces_may_not_be_listed(
    api: Api, tmp_path: Path
) -> None:
    names = _large(api)
    api.answers["/api/v1/namespaces"] = [status(403, "namespaces is forbidden")]
    answer = live(api, tmp_path).list("Pod", None)
    assert [f"{o.namespace}/{o.name}" for o in answer.objects] == names
    assert len([path for path in api.paths() if path == PODS]) == 6


def test_a_part_that_cannot_be_read_fails_the_list(api: Api, tmp_path: Path) -> None:
    _large(api)
    api.answers["/api/v1/namespaces/b/pods"] = [status(403, "pods is forbidden")]
    with pytest.raises(ForbiddenError, match="list pods"):
        live(api, tmp_path).list("Pod", None)


def test_a_part_whose_token_expired_starts_the_list_again(api: Api, tmp_path: Path) -> None:
    names = _large(api)
    api.expire_after = 1
    answer = live(api, tmp_path).list("Pod", None)
    assert sorted(f"{o.namespace}/{o.name}" for o in answer.objects) == sorted(names)


class Forwarded:
    """Port-forwards to istiods that answer syncz, or do not."""

    def __init__(self, rows: dict[str, list[str]], filters: bool) -> None:
        self.rows, self.filters, self.asked = rows, filters, list[str]()

    def get(self, namespace: str, name: str, port: int, path: str) -> bytes:
        self.asked.append(path)
        if name not in self.rows:
            raise UnreachableError(f"{name}.{namespace}:{port}", "no answer")
        _, _, space = path.partition("?namespace=")
        kept = [r for r in self.rows[name] if not self.filters or r.endswith(f".{space}")]
        return json.dumps([{"proxy": row} for row in (kept if space else self.rows[name])]).encode()


@pytest.mark.parametrize("filters", [True, False])
def test_istiod_is_asked_for_the_proxies_of_the_namespaces_in_question(
    api: Api, tmp_path: Path, filters: bool
) -> None:
    istiods = [pod(name, "istio-system") for name in ("istiod-1", "istiod-2")]
    for one in istiods:
        one["metadata"]["labels"] = {"app": "istiod"}
        one["status"] = {"phase": "Running"}
    api.objects["/api/v1/namespaces/istio-system/pods"] = istiods
    source = live(api, tmp_path)
    forward = Forwarded({"istiod-1": ["web-1.shop", "cart-1.bank", "x-1.other"]}, filters)
    source._forward = forward  # type: ignore[assignment]
    said = json.loads(source.proxy_status(namespaces=("bank", "shop")).text)
    found = [row["proxy"] for row in said["istiod-1"]]
    assert sorted(found) == sorted(
        ["cart-1.bank", "web-1.shop"] if filters else ["cart-1.bank", "web-1.shop", "x-1.other"]
    )
    assert said["istiod-2"].startswith("unreachable: ")
    assert {"/debug/syncz?namespace=bank", "/debug/syncz?namespace=shop"} == set(forward.asked)
    whole = json.loads(source.proxy_status().text)
    assert len(whole["istiod-1"]) == 3


def test_an_expired_token_starts_the_list_again(api: Api, tmp_path: Path) -> None:
    api.objects[PODS] = [pod(f"p-{n}") for n in range(1203)]
    api.expire_after = 1
    answer = live(api, tmp_path).list("Pod", None)
    assert len({o.name for o in answer.objects}) == 1203
    assert [q for _, path, q in api.seen if path == PODS][-1] == {}


@pytest.mark.parametrize(
    "first",
    [
        status(429, "slow down", Retry_After="0"),
        status(503, "etcd leader changed"),
        status(500, "internal"),
        Reply(body={"items": [pod("x" * 50)] * 50}, cut=100),
        Reply(body={"items": []}, cut=0),
    ],
)
def test_passing_failures_are_tried_again(api: Api, tmp_path: Path, first: Reply) -> None:
    source = live(api, tmp_path)
    api.answers[SHOP] = [first, Reply(body={"items": [pod("a")]})]
    assert [o.name for o in source.list("Pod", "shop").objects] == ["a"]


def test_retry_after_is_honoured(api: Api, tmp_path: Path) -> None:
    source = live(api, tmp_path)
    api.answers[SHOP] = [status(429, "slow", Retry_After="1"), Reply(body={"items": []})]
    start = time.monotonic()
    source.list("Pod", "shop")
    assert time.monotonic() - start >= 1


def test_retry_after_beyond_the_deadline_ends_at_once(api: Api, tmp_path: Path) -> None:
    source = live(api, tmp_path, deadline=5)
    api.answers[SHOP] = [status(429, "slow", Retry_After="120")]
    start = time.monotonic()
    with pytest.raises(DeadlineError, match="no time to try again"):
        source.list("Pod", "shop")
    assert time.monotonic() - start < 2


def test_what_stays_broken_is_unreachable(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "TRIES", 2)
    source = live(api, tmp_path)
    api.answers[SHOP] = [status(503, "down")]
    with pytest.raises(UnreachableError, match="503 down"):
        source.list("Pod", "shop")
    api.answers[SHOP] = [Reply(body={"items": []}, cut=0)]
    with pytest.raises(UnreachableError):
        source.list("Pod", "shop")


def test_a_packed_answer_that_is_broken_or_unpacks_to_too_much(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "TRIES", 2)
    source = live(api, tmp_path)
    api.answers[SHOP] = [Reply(text="no gzip", headers={"Content-Encoding": "gzip"})]
    with pytest.raises(UnreachableError, match="packed answer is broken"):
        source.list("Pod", "shop")
    api.answers["/big"] = [Reply(body={"items": ["a" * (2 << 20)]})]
    with pytest.raises(TooLargeError, match="larger than 1 MB"):
        source.transport.get("/big", limit=1 << 20)


def test_refusals_name_the_permission(api: Api, tmp_path: Path) -> None:
    source = live(api, tmp_path)
    api.answers[SHOP] = [status(403, 'pods is forbidden: User "x" cannot list')]
    with pytest.raises(ForbiddenError) as caught:
        source.list("Pod", "shop")
    assert caught.value.unavailable.detail == "list pods in namespace shop is forbidden"
    assert caught.value.unavailable.remedy == "kubectl auth can-i list pods -n shop"
    api.answers[f"{SHOP}/a/log"] = [status(403, "no")]
    with pytest.raises(ForbiddenError) as caught:
        source.log("shop", "a", "app")
    assert caught.value.unavailable.remedy == "kubectl auth can-i get pods/log -n shop"


@pytest.mark.parametrize("aggregated", [True, False])
def test_kinds_are_asked_for_in_a_served_version(
    api: Api, tmp_path: Path, aggregated: bool
) -> None:
    api.aggregated = aggregated
    api.groups = {
        "security.istio.io": {"v1beta1": ["peerauthentications"]},
        "networking.istio.io": {"v1": ["gateways"], "v1alpha3": ["envoyfilters"]},
    }
    api.objects["/apis/security.istio.io/v1beta1/namespaces/shop/peerauthentications"] = []
    source = live(api, tmp_path)
    assert source.list("PeerAuthentication", "shop").objects == ()
    for kind in ("AuthorizationPolicy", "HTTPRoute", "Sidecar"):
        with pytest.raises(NotServedError, match="serves no"):
            source.list(kind, "shop")


def test_one_object_and_none(api: Api, tmp_path: Path) -> None:
    api.objects[SHOP] = [pod("a")]
    source = live(api, tmp_path)
    found = source.get("Pod", "shop", "a")
    assert found is not None
    assert found.kind == "Pod"
    assert source.get("Pod", "shop", "b") is None
    with pytest.raises(NotServedError):
        source.get("Pod", "shop", "b/../x")
    assert api.paths()[-1] == f"{SHOP}/b%2F..%2Fx"


def test_an_answer_that_is_no_list(api: Api, tmp_path: Path) -> None:
    source = live(api, tmp_path)
    for body in ('{"items": [', "<html>login</html>", "[]", '{"items": 3}'):
        api.answers[SHOP] = [Reply(text=body)]
        with pytest.raises(UnparsableError):
            source.list("Pod", "shop")


def test_one_malformed_object_is_set_aside(api: Api, tmp_path: Path) -> None:
    source = live(api, tmp_path)
    bad = {"metadata": {"name": "b", "namespace": "shop"}, "spec": {"containers": 5}}
    api.answers[SHOP] = [Reply(body={"items": [pod("a"), bad]})]
    answer = source.list("Pod", "shop")
    assert [o.name for o in answer.objects] == ["a"]
    assert [a.ref for a in answer.set_aside] == ["Pod/shop/b"]


def test_an_answer_too_large(api: Api, tmp_path: Path) -> None:
    source = live(api, tmp_path)
    with pytest.raises(TooLargeError):
        source.transport.get("/version", limit=3)


def test_logs_are_bounded(api: Api, tmp_path: Path) -> None:
    source = live(api, tmp_path)
    api.answers[f"{SHOP}/a/log"] = [Reply(text="one\ntwo\n")]
    text = source.log("shop", "a", "app")
    assert (text.text, text.cut) == ("one\ntwo\n", False)
    assert text.command == "kubectl -n shop logs a -c app"
    source.log("shop", "a", "app", previous=True)
    first, second = (query for _, path, query in api.seen if path == f"{SHOP}/a/log")
    assert first["sinceSeconds"] == "900"
    assert {"tailLines", "limitBytes"} <= first.keys()
    assert "sinceSeconds" not in second
    api.answers[f"{SHOP}/a/log"] = [status(400, "container app is waiting to start")]
    with pytest.raises(MissingError, match="waiting to start"):
        source.log("shop", "a", "app")


def test_a_log_that_reaches_the_limit_is_asked_for_with_fewer_lines(
    api: Api, tmp_path: Path
) -> None:
    from meshdoctor.sources.kubernetes import KubernetesApi, LogWindow

    source = live(api, tmp_path)
    small = KubernetesApi(source.transport, LogWindow(lines=800, bytes=100))
    api.answers[f"{SHOP}/a/log"] = [Reply(text="x" * 100), Reply(text="tail\n")]
    assert small.log("shop", "a", "app").text == "tail\n"
    assert [q["tailLines"] for _, p, q in api.seen if p.endswith("/log")] == ["800", "100"]


def test_no_kubeconfig(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no kubeconfig") as caught:
        open_live(kubeconfig=str(tmp_path / "none"))
    assert caught.value.exit_code == 4
    assert caught.value.hint


@pytest.mark.parametrize(
    "text", ["", "a:\n\t- b", "[]", "just text", "kind: Config", "\x00\x01", '{"contexts": 3}']
)
def test_a_kubeconfig_that_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "config").write_text(text)
    with pytest.raises(SourceError, match="is not usable") as caught:
        open_live(kubeconfig=str(tmp_path / "config"))
    assert "\n" not in str(caught.value)


def test_unknown_context(tmp_path: Path) -> None:
    config = kubeconfig(tmp_path / "config", "http://127.0.0.1:1")
    with pytest.raises(SourceError, match="context 'prod' is not in") as caught:
        open_live(kubeconfig=str(config), context="prod")
    assert "lab" in caught.value.hint


def test_expired_credentials(api: Api, tmp_path: Path) -> None:
    config = kubeconfig(tmp_path / "config", api.url, {"token": "old"})
    with pytest.raises(SourceError, match="does not accept the credentials"):
        open_live(kubeconfig=str(config))


def test_an_unreachable_api_server(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(SourceError, match="cannot be reached: .*refused") as caught:
        open_live(kubeconfig=str(kubeconfig(tmp_path / "config", url)))
    assert "VPN" in caught.value.hint


def test_a_server_that_never_answers(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(SourceError, match="cannot be reached"):
            open_live(kubeconfig=str(kubeconfig(tmp_path / "c", url)), deadline_seconds=1)


@pytest.mark.parametrize("drip", [0.05, 30.0])
def test_a_list_that_stands_still_leaves_time_for_others(
    api: Api, tmp_path: Path, drip: float
) -> None:
    api.objects[PODS] = [pod("a")]
    api.answers[SHOP] = [Reply(body={"items": [pod("a")]}, drip=drip)]
    source = live(api, tmp_path, deadline=3)
    start = time.monotonic()
    with pytest.raises((DeadlineError, UnreachableError)):
        source.list("Pod", "shop")
    assert len(source.list("Pod", None).objects) == 1
    assert time.monotonic() - start < 3


def exec_user(*command: str) -> dict[str, Any]:
    version = "client.authentication.k8s.io/v1"
    return {"exec": {"apiVersion": version, "command": command[0], "args": list(command[1:])}}


def test_exec_plugins(api: Api, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    token = json.dumps(
        {
            "apiVersion": "client.authentication.k8s.io/v1",
            "kind": "ExecCredential",
            "status": {"token": "good"},
        }
    )
    config = kubeconfig(tmp_path / "a", api.url, exec_user("echo", token))
    assert open_live(kubeconfig=str(config)).describe() == "context lab"
    for bad in (("sh", "-c", "echo SSO session expired >&2; exit 3"), ("no-such-plugin",)):
        config = kubeconfig(tmp_path / "b", api.url, exec_user(*bad))
        with pytest.raises(SourceError, match="no credentials for context 'lab'"):
            open_live(kubeconfig=str(config))
    assert capfd.readouterr().err == ""


def test_an_exec_plugin_that_waits_for_ever(api: Api, tmp_path: Path) -> None:
    config = kubeconfig(tmp_path / "a", api.url, exec_user("sleep", "3"))
    with pytest.raises(SourceError, match="logging in took longer"):
        open_live(kubeconfig=str(config), deadline_seconds=0.3)


def test_permissions(api: Api, tmp_path: Path) -> None:
    root = "/apis/authorization.k8s.io/v1"
    rules = {
        "incomplete": False,
        "resourceRules": [
            {"verbs": ["list"], "apiGroups": [""], "resources": ["pods"]},
            {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*/log"]},
            {
                "verbs": ["list"],
                "apiGroups": [""],
                "resources": ["secrets"],
                "resourceNames": ["one"],
            },
        ],
    }
    api.answers[f"{root}/selfsubjectrulesreviews"] = [Reply(201, {"status": rules})]
    api.answers[f"{root}/selfsubjectaccessreviews"] = [Reply(201, {"status": {"allowed": True}})]
    source = live(api, tmp_path)
    needs = needs_of(["Pod", "Secret", "log", "metrics", "Node"], ["shop"])
    found = {n.resource: met for n, met in Access(source.transport).check(needs)}
    assert found == {
        "pods": True,
        "secrets": False,
        "pods/log": True,
        "pods/portforward": False,
        "nodes": True,
    }
    need = Need(verb="list", group="apps", resource="deployments")
    assert need.command == "kubectl auth can-i list deployments.apps -A"
    assert {m for m, p, _ in api.seen if m != "GET"} == {"POST"}
    assert all("selfsubject" in p for m, p, _ in api.seen if m == "POST")


def test_opening_does_not_wait_for_the_network(api: Api, tmp_path: Path) -> None:
    api.groups = {"security.istio.io": {"v1": ["peerauthentications"]}}
    api.objects["/apis/security.istio.io/v1/namespaces/shop/peerauthentications"] = []
    api.answers["/version"] = [Reply(body={"gitVersion": "v1.36.3"}, drip=0.02)]
    config = str(kubeconfig(tmp_path / "config", api.url))
    begun = time.monotonic()
    opened = opening_live(kubeconfig=config, **OPTIONS)
    assert time.monotonic() - begun < 0.3
    source = opened()
    assert time.monotonic() - begun > 0.3
    assert source.list("PeerAuthentication", "shop").objects == ()
    assert api.paths().count("/apis") == 1


def test_what_goes_wrong_while_opening_is_said_when_the_source_is_wanted(
    api: Api, tmp_path: Path
) -> None:
    config = str(kubeconfig(tmp_path / "config", api.url, {"token": "old"}))
    opened = opening_live(kubeconfig=config, **OPTIONS)
    with pytest.raises(SourceError, match="does not accept the credentials"):
        opened()
