"""Does bad input end in one clear line and the right exit status, and never in a traceback?"""

import json
import socket
import tarfile
from pathlib import Path

import pytest

from meshdoctor.cli.main import main
from tests.unit.sources.apiserver import Api, kubeconfig, serving
from tests.unit.sources.test_recorded import POD, POLICY, archive, member, write
from tests.unit.sources.test_redact import planted

ESCAPE = "\x1b[2J\x1b]0;owned\x07\x1b[31mred"
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {selector: {app: cart}, ports: [{name: http, port: 80}]}
"""


def run(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit status, standard output, standard error."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    out, err = capfd.readouterr()
    assert "Traceback" not in out + err
    code = caught.value.code
    assert isinstance(code, int)
    return code, out, err


def refused(capfd: pytest.CaptureFixture[str], says: str, *arguments: str, code: int = 4) -> None:
    got, out, err = run(capfd, *arguments)
    assert (got, out) == (code, "")
    first, *rest = err.splitlines()
    assert first.startswith("Error: ")
    assert says in first
    assert len(rest) <= 1


def test_no_cluster(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    refused(capfd, "no kubeconfig", "diagnose")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    config = str(kubeconfig(tmp_path / "config", url))
    refused(capfd, "cannot be reached", "diagnose", "--kubeconfig", config)
    refused(capfd, "cannot be reached", "preflight", "--kubeconfig", config)
    refused(capfd, "context 'x' is not in", "diagnose", "--kubeconfig", config, "--context", "x")
    (tmp_path / "config").write_text("a:\n\t- b")
    refused(capfd, "is not usable", "diagnose", "--kubeconfig", config)


def test_expired_credentials(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with serving(Api()) as api:
        config = str(kubeconfig(tmp_path / "config", api.url, {"token": "old"}))
        refused(capfd, "does not accept the credentials", "diagnose", "--kubeconfig", config)


def test_names_that_do_not_exist(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    root = write(tmp_path, {"bundle.yaml": "", "objects.yaml": f"{POD}---{SERVICE}"})
    for arguments in (
        ("--from", "nowhere/cart", "--to", "shop/cart:80"),
        ("--from", "shop/nothing", "--to", "shop/cart:80"),
        ("--from", "shop/cart-1", "--to", "shop/nothing:80"),
        ("-n", "nowhere"),
    ):
        code, out, err = run(capfd, "diagnose", "-b", str(root), *arguments)
        assert code == 2, (arguments, out, err)
        assert err.startswith("Error: ")


def bad_archives(root: Path) -> dict[str, Path]:
    good = (member("bundle.yaml"), member("objects.yaml", POD))
    huge = tarfile.TarInfo("objects.yaml")
    huge.size = 1 << 30
    with tarfile.open(root / "huge.tgz", "w:gz") as tar:
        tar.fileobj.write(huge.tobuf())
    whole = archive(root / "whole.tgz", *good, member("logs/a_b_c.log", "x" * 9999)).read_bytes()
    (root / "cut.tgz").write_bytes(whole[: len(whole) // 2])
    link = member("l", "", tarfile.SYMTYPE)
    return {
        "unpacks to 1024 MB": root / "huge.tgz",
        "cut short or damaged": root / "cut.tgz",
        "'../x' leads out": archive(root / "up.tgz", *good, member("../x")),
        "'/etc/x' leads out": archive(root / "abs.tgz", *good, member("/etc/x")),
        "is a link": archive(root / "link.tgz", *good, link),
    }


def test_bad_archives(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for says, path in bad_archives(tmp_path).items():
        refused(capfd, says, "diagnose", "--bundle", str(path))


BOMB = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{f'*a{n - 1},' * 9}]\n" for n in range(1, 12))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a:\n\t- b\n", "objects.yaml:2"),
        (BOMB, "aliases multiply"),
        ("\x00\x01\x02\x03", "not a text file"),
        ('{"kind": "List", "apiVersion": "v1", "items": [{"kind": "Po', "objects.yaml"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: b}\n", "no spec"),
    ],
)
def test_bad_objects(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, text: str, says: str
) -> None:
    refused(capfd, says, "diagnose", "-b", str(write(tmp_path / "b", {"objects.yaml": text})))
    root = write(tmp_path / "c", {"bundle.yaml": "", "objects.yaml": text})
    refused(capfd, says, "diagnose", "--bundle", str(root))
    root = write(tmp_path / "d", {"bundle.yaml": "", "objects.yaml": f"{POD}---{POLICY}"})
    (root / "objects").mkdir()
    (root / "objects" / "bad.yaml").write_text(text)
    code, out, err = run(capfd, "diagnose", "--bundle", str(root))
    assert code in (0, 1, 3), err
    assert "bad.yaml" in out


def test_a_folder_that_is_no_bundle(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    refused(capfd, "is no bundle", "diagnose", "--bundle", str(tmp_path))
    refused(capfd, "does not exist", "diagnose", "--bundle", str(tmp_path / "x"))
    (tmp_path / "readme.txt").write_text("hello")
    refused(capfd, "holds no", "diagnose", "--bundle", str(tmp_path / "readme.txt"))


def test_unknown_fields_are_skipped(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    root = write(tmp_path, {"bundle.yaml": "", "objects.yaml": f"{POD}---{POLICY}"})
    code, out, _ = run(capfd, "diagnose", "--bundle", str(root))
    assert code in (0, 1, 3)
    assert "set aside" not in out


FORMATS = ("text", "plain", "json", "yaml", "markdown")


@pytest.mark.parametrize("form", FORMATS)
def test_terminal_escapes_never_reach_the_report(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, form: str
) -> None:
    pod = json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": "cart-1",
                "namespace": "shop",
                "labels": {"app": "cart", "x": ESCAPE},
                "annotations": {"sidecar.istio.io/inject": ESCAPE, ESCAPE: ESCAPE},
            },
            "spec": {"containers": [{"name": "app"}, {"name": "istio-proxy"}]},
            "status": {"conditions": [{"type": "Ready", "status": "False", "message": ESCAPE}]},
        }
    )
    line = f'[2026-03-01T05:00:00Z] "GET /{ESCAPE} HTTP/1.1" 503 UC {ESCAPE} - "-" 0 95 1\n'
    files = {
        "bundle.yaml": "from: shop/cart\nto: shop/cart:80\n",
        "objects.yaml": f"{pod}\n---{SERVICE}---\nkind: Pod\napiVersion: v1\nmetadata:\n"
        f'  name: "{ESCAPE}"\n'.replace("\x1b", "\\e").replace("\x07", "\\a"),
        "logs/shop_cart-1_istio-proxy.log": line * 5 + ESCAPE,
        "istioctl/proxy-status.txt": f"{ESCAPE} NAME\n{ESCAPE}",
    }
    code, out, err = run(capfd, "diagnose", "-b", str(write(tmp_path, files)), "-o", form, "-v")
    assert code in (0, 1, 3), err
    assert "\x1b" not in out + err
    assert "\x07" not in out + err
    assert "\\u001b" not in out
    assert "\\e" not in out


SECRET = "Zq7Hunter2Hunter2Hunter2"


@pytest.mark.parametrize("form", FORMATS)
def test_planted_secrets_are_in_no_report(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, form: str
) -> None:
    files = planted(SECRET)
    line = (
        f'[2026-03-01T04:00:00Z] "GET /x?access_token={SECRET} HTTP/1.1" 503 UC - - "-" 0 95 1 - '
    )
    line += f'- "-" "curl" "id" "u:{SECRET}@x" "10.0.0.1:80" outbound|80||x.shop - - - - -\n'
    files["logs/shop_x_istio-proxy.log"] = line * 3
    root = write(tmp_path / "in", files)
    code, out, err = run(capfd, "diagnose", "-b", str(root), "-o", form, "-v", "--explain")
    assert code in (0, 1, 3), err
    assert SECRET not in out + err
    run(capfd, "collect", "-b", str(root), str(tmp_path / "out"))
    for path in (tmp_path / "out").rglob("*"):
        assert not path.is_file() or SECRET not in path.read_text(), path


def test_a_recording_is_never_written_over(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    root = str(write(tmp_path, {"bundle.yaml": "", "objects.yaml": POD}))
    refused(capfd, "exists already", "diagnose", "-b", root, "--record", root, code=2)
