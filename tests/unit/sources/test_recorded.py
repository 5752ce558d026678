"""Does a recording answer as a cluster would, and say what it does not hold?"""

import io
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from meshdoctor.model.evidence import Reason
from meshdoctor.ports import (
    ForbiddenError,
    NotRecordedError,
    SourceError,
    UnparsableError,
)
from meshdoctor.sources.archive import MEMBER_LIMIT
from meshdoctor.sources.recorded import open_recorded

POD = """
apiVersion: v1
kind: Pod
metadata: {name: cart-1, namespace: shop, creationTimestamp: "2026-03-01T04:05:06Z"}
spec: {containers: [{name: app}]}
"""
POLICY = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec: {mtls: {mode: STRICT}, brandNew: {field: 1}}
"""


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_objects_of_a_bundle_are_all_there_is(tmp_path: Path) -> None:
    source = open_recorded(
        write(tmp_path, {"bundle.yaml": "", "objects.yaml": f"{POD}---{POLICY}"})
    )
    assert [o.ref for o in source.list("Pod", "shop").objects] == ["Pod/shop/cart-1"]
    assert source.list("Pod", None).command == "kubectl get pods -A -o yaml"
    assert source.list("Pod", "other").objects == ()
    assert source.get("DestinationRule", "shop", "x") is None
    assert source.get("PeerAuthentication", "shop", "default") is not None
    assert source.now() == datetime(2026, 3, 1, 4, 5, 6, tzinfo=UTC)
    assert "no observed_at" in source.describe()


def test_manifests_hold_what_was_asked_for_only(tmp_path: Path) -> None:
    source = open_recorded(write(tmp_path, {"a/b.yml": POD}))
    assert len(source.list("Pod", None).objects) == 1
    assert source.list("Pod", "other").objects == ()
    with pytest.raises(NotRecordedError) as caught:
        source.list("Service", "shop")
    assert "kubectl get services -n shop" in caught.value.unavailable.remedy


def test_settings_are_defaults(tmp_path: Path) -> None:
    text = """
observed_at: 2026-03-01T04:05:06Z
from: a/b
to: c/d:80
request: {method: get, path: /x, host: h, headers: {X-A: [1, 2]}}
"""
    source = open_recorded(write(tmp_path, {"bundle.yaml": text, "objects.yaml": POD}))
    said = source.defaults()
    assert said.observed_at == source.now() == datetime(2026, 3, 1, 4, 5, 6, tzinfo=UTC)
    assert (said.from_, said.to, said.method, said.path) == ("a/b", "c/d:80", "GET", "/x")
    assert said.headers == (("x-a", "1"), ("x-a", "2"))


def test_text_evidence_is_found_under_the_names_people_use(tmp_path: Path) -> None:
    files = {
        "bundle.yaml": "",
        "objects.yaml": POD,
        "logs/shop_cart-1_istio-proxy.log": "[2026-03-01T05:00:00.123Z] line\n",
        "logs/shop_cart-1_app.previous.log": "died\n",
        "istioctl/proxy-status.txt": "NAME\n",
        "istioctl/proxy-config-secret_cart.txt": "by workload",
        "istioctl/proxy-config_clusters_cart-1.shop.txt": "plural",
        "istioctl/proxy-config_listener_cart-1.shop.txt": "Error: no such pod",
        "istioctl/x_authz_check_cart-1.shop.txt": "",
        "metrics/shop_cart-1.prom": "up 1\n",
    }
    source = open_recorded(write(tmp_path, files))
    assert source.log("shop", "cart-1", "istio-proxy").text.endswith("line\n")
    assert source.log("shop", "cart-1", "app", previous=True).text == "died\n"
    assert source.now() == datetime(2026, 3, 1, 5, 0, 0, tzinfo=UTC)
    assert source.proxy_status().text == "NAME\n"
    assert source.proxy_config("secret", "shop", "cart-1").text == "by workload"
    assert source.proxy_config("cluster", "shop", "cart-1").text == "plural"
    assert source.metrics("shop", "cart-1").text == "up 1\n"
    with pytest.raises(NotRecordedError):
        source.log("shop", "cart-1", "app")
    with pytest.raises(NotRecordedError):
        source.proxy_config("secret", "other", "web-1")
    with pytest.raises(UnparsableError, match="no such pod"):
        source.proxy_config("listener", "shop", "cart-1")
    with pytest.raises(UnparsableError, match="empty"):
        source.authz_check("shop", "cart-1")


def test_failed_reads_fail_again(tmp_path: Path) -> None:
    errors = '[{"read": "list Secret *", "reason": "forbidden", "what": "secrets", "remedy": "r"}]'
    files = {"bundle.yaml": "", "objects.yaml": POD, "errors.json": errors}
    source = open_recorded(write(tmp_path, files))
    for namespace in (None, "shop"):
        with pytest.raises(ForbiddenError) as caught:
            source.list("Secret", namespace)
        assert caught.value.unavailable.remedy == "r"
    with pytest.raises(ForbiddenError):
        source.get("Secret", "shop", "x")
    assert [u.reason for u in source.failed_reads()] == [Reason.FORBIDDEN]


def test_what_was_not_read_is_not_absent(tmp_path: Path) -> None:
    reads = '["list Pod shop", "get Service shop cart"]'
    source = open_recorded(
        write(tmp_path, {"bundle.yaml": "", "objects.yaml": POD, "reads.json": reads})
    )
    assert len(source.list("Pod", "shop").objects) == 1
    assert source.get("Service", "shop", "cart") is None
    for namespace in (None, "web"):
        with pytest.raises(NotRecordedError):
            source.list("Pod", namespace)
    with pytest.raises(NotRecordedError):
        source.get("Service", "shop", "other")


def test_a_malformed_object_is_set_aside_with_its_place(tmp_path: Path) -> None:
    bad = "\nkind: Pod\napiVersion: v1\nmetadata: {name: x, namespace: shop}\n"
    text = f"{POD}---{bad}---\na:\t- b\n\tc\n"
    source = open_recorded(write(tmp_path, {"bundle.yaml": "", "objects.yaml": text}))
    answer = source.list("Pod", "shop")
    assert [o.name for o in answer.objects] == ["cart-1"]
    assert [(a.where, a.ref, a.problem) for a in answer.set_aside] == [
        ("objects.yaml:6", "Pod/shop/x", "no spec")
    ]
    assert source.list("Pod", "web").set_aside == ()
    with pytest.raises(UnparsableError):
        source.get("Pod", "shop", "x")
    assert [u.what for u in source.failed_reads()] == ["objects.yaml:11"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a:\n\t- b", "objects.yaml:2"),
        ('{"kind": "List", "items": [{"kind": "Pod", "apiV', "objects.yaml"),
        ("&a [*a, *a]", "aliases"),
        (
            "\n".join(
                f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" if n else "a0: &a0 [x]"
                for n in range(12)
            ),
            "aliases",
        ),
        ("\x00\x01\x02", "not a text file"),
        ("[" * 100_000, "objects.yaml:1"),
        ("just words", "no usable object"),
        ("!!python/object/apply:os.system [id]", "objects.yaml:1"),
        ("{" * 5_000 + "}" * 5_000, "objects.yaml"),
    ],
)
def test_nothing_usable_is_one_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(SourceError, match=says) as caught:
        open_recorded(write(tmp_path, {"bundle.yaml": "", "objects.yaml": text}))
    assert "\n" not in str(caught.value)


def test_json_lists_powershell_and_missing_namespaces(tmp_path: Path) -> None:
    pods = (
        '{"kind": "PodList", "apiVersion": "v1", "items": [{"metadata": {"name": "a", '
        '"namespace": null}, "spec": {"containers": null}}, {"metadata": {"name": "b"}}]}'
    )
    root = write(tmp_path, {"bundle.yaml": "", "objects/pods.json": pods})
    (root / "objects" / "policy.yaml").write_bytes(POLICY.encode("utf-16"))
    source = open_recorded(root)
    answer = source.list("Pod", "default")
    assert [o.ref for o in answer.objects] == ["Pod/default/a"]
    assert [a.problem for a in answer.set_aside] == ["no spec"]
    assert len(source.list("PeerAuthentication", "shop").objects) == 1


def archive(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for info, data in members:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def member(
    name: str, data: str = "", type_: bytes = tarfile.REGTYPE
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type = type_
    info.linkname = "/etc/passwd" if type_ in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
    return info, data.encode()


def test_an_archive_replays_as_its_folder(tmp_path: Path) -> None:
    path = archive(
        tmp_path / "b.tgz",
        member("run/bundle.yaml"),
        member("run/objects.yaml", POD),
        member("run/logs/shop_cart-1_app.log", "hello\n" * 20_000),
        member("run/._objects.yaml", "junk"),
    )
    source = open_recorded(path)
    assert source.get("Pod", "shop", "cart-1") is not None
    assert len(source.log("shop", "cart-1", "app").text) == 120_000


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (member("../evil.yaml", POD), "leads out"),
        (member("/etc/evil.yaml", POD), "leads out"),
        (member("a/../../evil", POD), "leads out"),
        (member("C:\\evil", POD), "leads out"),
        (member("link.yaml", "", tarfile.SYMTYPE), "is a link"),
        (member("link.yaml", "", tarfile.LNKTYPE), "is a link"),
        (member("dev", "", tarfile.CHRTYPE), "no regular file"),
        (member("pipe", "", tarfile.FIFOTYPE), "no regular file"),
    ],
)
def test_hostile_archives_are_refused(
    tmp_path: Path, bad: tuple[tarfile.TarInfo, bytes], says: str
) -> None:
    path = archive(tmp_path / "b.tgz", member("bundle.yaml"), member("objects.yaml", POD), bad)
    with pytest.raises(SourceError, match=says):
        open_recorded(path)


def test_a_member_that_unpacks_to_a_gigabyte_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "b.tgz"
    info = tarfile.TarInfo("objects.yaml")
    info.size = 1 << 30
    with tarfile.open(path, "w:gz") as tar:
        tar.fileobj.write(info.tobuf())
    assert info.size > MEMBER_LIMIT
    with pytest.raises(SourceError, match="unpacks to 1024 MB"):
        open_recorded(path)


@pytest.mark.parametrize("keep", [20, 200, 0.5, 0.95])
def test_a_truncated_archive_is_said_to_be_cut(tmp_path: Path, keep: float) -> None:
    noise = "".join(f"# {hash((n, 'x'))}\n" for n in range(3000))
    path = archive(tmp_path / "b.tgz", member("bundle.yaml"), member("objects.yaml", POD + noise))
    data = path.read_bytes()
    path.write_bytes(data[: int(keep if keep >= 1 else keep * len(data))])
    with pytest.raises(SourceError, match="cut short or damaged"):
        open_recorded(path)


def test_what_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="does not exist"):
        open_recorded(tmp_path / "nowhere")
    with pytest.raises(SourceError, match="is no bundle"):
        open_recorded(tmp_path)
    (tmp_path / "x.tgz").write_text("hello")
    with pytest.raises(SourceError, match="no tar archive"):
        open_recorded(tmp_path / "x.tgz")
    (tmp_path / "x.zip").write_bytes(b"PK\x03\x04" + b"0" * 600)
    with pytest.raises(SourceError, match="zip"):
        open_recorded(tmp_path / "x.zip")
    root = write(tmp_path / "d", {"bundle.yaml": "form: x", "objects.yaml": POD})
    with pytest.raises(SourceError, match="unknown key 'form'"):
        open_recorded(root)


def test_links_out_of_a_folder_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.yaml").write_text(POLICY)
    root = write(tmp_path / "d", {"bundle.yaml": "", "objects.yaml": POD})
    (root / "objects").mkdir()
    (root / "objects" / "x.yaml").symlink_to(tmp_path / "secret.yaml")
    assert open_recorded(root).list("PeerAuthentication", None).objects == ()
