"""Is a plain login the one that the `kubernetes` package would make, and all else left to it?"""

import base64
import json
import ssl
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from kubernetes import client, config

from meshdoctor.ports import SourceError
from meshdoctor.sources import plain_login
from meshdoctor.sources.live import open_live
from tests.unit.sources.apiserver import Api, _Handler, serving

NAME = "api.example"


def pair(password: bytes = b"") -> tuple[bytes, bytes]:
    """A certificate that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    now = datetime.now(UTC)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )
    locked = serialization.BestAvailableEncryption(password) if password else None
    return (
        cert.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            locked or serialization.NoEncryption(),
        ),
    )


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[tuple[Api, bytes, bytes]]:
    """An API server that wants a client certificate: the one that it has itself."""
    certificate, key = pair()
    (tmp_path / "both.pem").write_bytes(certificate + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "both.pem")
    context.load_verify_locations(cadata=certificate.decode())
    context.verify_mode = ssl.CERT_REQUIRED
    api = Api()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"api": api}))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    api.url = f"https://127.0.0.1:{server.server_port}"
    yield api, certificate, key
    server.shutdown()
    server.server_close()
    thread.join()


def write(path: Path, cluster: dict[str, Any], user: dict[str, Any], **more: Any) -> str:
    text = {
        "current-context": "lab",
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "lab", "context": {"cluster": "c", "user": "u", **more}}],
    }
    path.write_text(json.dumps(text))
    return str(path)


def test_client_certificates_from_data_and_files(
    secure: tuple[Api, bytes, bytes], tmp_path: Path
) -> None:
    api, certificate, key = secure
    api.token = "good"
    encoded = base64.b64encode(certificate).decode()
    (tmp_path / "key.pem").write_bytes(key)
    (tmp_path / "cert.pem").write_bytes(certificate)
    cluster = {"server": api.url, "tls-server-name": NAME, "certificate-authority-data": encoded}
    users = (
        {
            "client-certificate-data": encoded,
            "client-key-data": base64.b64encode(key).decode(),
            "token": "good",
        },
        {"client-certificate": "cert.pem", "client-key": "key.pem", "token": "good"},
    )
    for user in users:
        path = write(tmp_path / "config", cluster, user)
        assert plain_login.read("", [path]) is not None
        assert open_live(kubeconfig=path).describe() == "context lab"
    path = write(tmp_path / "config", {**cluster, "tls-server-name": "other"}, users[0])
    assert plain_login.read("", [path]) is not None
    with pytest.raises(SourceError, match="certificate"):
        open_live(kubeconfig=path)
    path = write(tmp_path / "config", cluster, {"token": "good"})
    assert plain_login.read("", [path]) is not None
    with pytest.raises(SourceError, match="cannot be reached"):
        open_live(kubeconfig=path)


@pytest.mark.parametrize(
    ("cluster", "user"),
    [
        ({"server": "http://a:1/"}, {"token": "t"}),
        ({"server": "https://a/x"}, {"token": "t"}),
        ({"server": "https://a", "tls-server-name": "b"}, {"token": "t"}),
        ({"server": "https://a", "insecure-skip-tls-verify": True}, {"token": "t"}),
    ],
)
def test_what_is_read_is_what_the_package_reads(
    tmp_path: Path, cluster: dict[str, Any], user: dict[str, Any]
) -> None:
    path = write(tmp_path / "config", cluster, user, namespace="shop")
    found = plain_login.read("lab", [path])
    assert found is not None and (found.name, found.namespace) == ("lab", "shop")
    theirs: Any = client.Configuration()
    load: Any = config.load_kube_config
    load(path, client_configuration=theirs)
    assert found.login.host == theirs.host
    assert found.login.tls_server_name == theirs.tls_server_name
    ours = found.login.auth_settings()["BearerToken"]
    assert {k: theirs.auth_settings()["BearerToken"][k] for k in ours} == ours
    if found.login.context is not None:
        assert (found.login.context.verify_mode == ssl.CERT_REQUIRED) == theirs.verify_ssl


LOCKED = dict(zip(("client-certificate-data", "client-key-data"), pair(b"secret"), strict=True))


@pytest.mark.parametrize(
    ("cluster", "user"),
    [
        ({}, {"exec": {"command": "x", "apiVersion": "v1"}}),
        ({}, {"auth-provider": {"name": "oidc"}}),
        ({}, {"token": "t", "as": "somebody"}),
        ({}, {"token": "t", "tokenFile": "t"}),
        ({}, {"username": "a", "password": "b"}),
        ({}, {"token": 3}),
        ({}, {}),
        ({}, {"client-certificate": "none.pem", "client-key": "none.pem"}),
        ({}, {k: base64.b64encode(v).decode() for k, v in LOCKED.items()}),
        ({"proxy-url": "http://p:1"}, {"token": "t"}),
        ({"certificate-authority-data": "bm9uZQ=="}, {"token": "t"}),
        ({"insecure-skip-tls-verify": "yes"}, {"token": "t"}),
        ({"server": "unix:///run/x"}, {"token": "t"}),
    ],
)
def test_everything_else_is_left_to_the_package(
    tmp_path: Path, cluster: dict[str, Any], user: dict[str, Any]
) -> None:
    path = write(tmp_path / "config", {"server": "https://a", **cluster}, user)
    assert plain_login.read("", [path]) is None


def test_a_proxy_several_files_or_another_context(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a", {"server": "https://a"}, {"token": "t"})
    other = write(tmp_path / "b", {"server": "https://b"}, {"token": "t"})
    assert plain_login.read("", [path, str(tmp_path / "none")]) is not None
    assert plain_login.read("", [path, other]) is None
    assert plain_login.read("prod", [path]) is None
    monkeypatch.setenv("HTTPS_PROXY", "http://p:1")
    assert plain_login.read("", [path]) is None


def test_a_plain_login_does_not_import_the_package(tmp_path: Path) -> None:
    code = (
        "import sys; from meshdoctor.sources.live import open_live\n"
        f"live = open_live(kubeconfig={str(tmp_path / 'config')!r})\n"
        "live.api.version()\n"
        "print('kubernetes' in sys.modules)"
    )
    with serving(Api()) as api:
        write(tmp_path / "config", {"server": api.url}, {"token": "good"})
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("False", "")
