"""Which logins need nothing but a look into the kubeconfig?

Those with a token or a client certificate, and no proxy. Importing the `kubernetes` package takes
longer than most of what a diagnosis does, so such a login is read here; it has the attributes of
the package's own Configuration. Everything else (plugins, several files, whatever is unknown or
wrong) is the package's work, and so are its words for what is wrong.
"""

import base64
import os
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_CLUSTER = frozenset(
    {
        *("server", "tls-server-name", "insecure-skip-tls-verify", "extensions"),
        *("certificate-authority", "certificate-authority-data"),
    }
)
_USER = frozenset(
    {
        *("token", "client-certificate", "client-certificate-data"),
        *("client-key", "client-key-data"),
    }
)
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """One login; `context` has the trust and the client certificate, None without TLS."""

    host: str
    token: str
    tls_server_name: str | None
    context: ssl.SSLContext | None
    proxy: None = None
    username: None = None

    def auth_settings(self) -> dict[str, dict[str, str]]:
        """The header that says who we are, as the package's Configuration says it."""
        if not self.token:
            return {}
        return {"BearerToken": {"in": "header", "key": "authorization", "value": self.bearer}}

    @property
    def bearer(self) -> str:
        """The value of that header."""
        return f"Bearer {self.token}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainContext:
    """A context of a kubeconfig and its login."""

    name: str
    namespace: str
    login: Plain


def read(context: str, files: list[str]) -> PlainContext | None:
    """A context of the kubeconfig, the current one by default; None when the package is needed."""
    found = [path for path in (Path(one).expanduser() for one in files) if path.is_file()]
    if len(found) != 1 or _proxied():
        return None
    try:
        config = yaml.load(found[0].read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
        return _context(config, context or config["current-context"], found[0].parent)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, yaml.YAMLError):
        return None


def _proxied() -> bool:
    """Whether a proxy may be between; other systems have more places to set one."""
    if os.name != "posix" or os.uname().sysname != "Linux":
        from urllib.request import getproxies

        return any(name != "no" for name in getproxies())
    return any(os.environ.get(name) or os.environ.get(name.upper()) for name in _PROXIES)


def _context(config: Mapping[str, Any], name: str, folder: Path) -> PlainContext | None:
    chosen = _named(config, "contexts", name)["context"]
    cluster = _named(config, "clusters", chosen["cluster"])["cluster"]
    user = _named(config, "users", chosen["user"])["user"]
    if not cluster.keys() <= _CLUSTER or not user.keys() <= _USER or not user:
        return None
    token, server = user.get("token", ""), cluster["server"].rstrip("/")
    secure = server.startswith("https://")
    if not isinstance(token, str) or not (secure or server.startswith("http://")):
        return None
    return PlainContext(
        name=name,
        namespace=str(chosen.get("namespace") or "default"),
        login=Plain(
            host=server,
            token=token,
            tls_server_name=cluster.get("tls-server-name"),
            context=_trust(cluster, user, folder) if secure else None,
        ),
    )


def _named(config: Mapping[str, Any], kind: str, name: str) -> Any:
    """The one entry of that name; raises LookupError when there are none or several."""
    (found,) = [one for one in config[kind] if one["name"] == name]
    return found


def _trust(cluster: Mapping[str, Any], user: Mapping[str, Any], folder: Path) -> ssl.SSLContext:
    """Raises OSError, ValueError or LookupError when a certificate is not usable."""
    authority = _pem(cluster, "certificate-authority", folder)
    made = ssl.create_default_context(cadata=authority.decode("ascii") or None)
    skip = cluster.get("insecure-skip-tls-verify", False)
    if not isinstance(skip, bool):
        raise ValueError("insecure-skip-tls-verify")
    if skip:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    certificate = _pem(user, "client-certificate", folder)
    if certificate:
        with tempfile.NamedTemporaryFile(suffix=".pem") as file:  # ssl reads it from files only
            file.write(certificate + b"\n" + _pem(user, "client-key", folder))
            file.flush()
            made.load_cert_chain(file.name, password="")  # nobody is asked for one
    return made


def _pem(entry: Mapping[str, Any], key: str, folder: Path) -> bytes:
    """What the entry or the file that it names holds; data is preferred, as the package does."""
    if f"{key}-data" in entry:
        return base64.b64decode(entry[f"{key}-data"])
    return (folder / Path(entry[key])).read_bytes() if key in entry else b""
