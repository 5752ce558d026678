"""Which API server do we talk to, and as whom?

kubeconfig, contexts, exec credential plugins and in-cluster credentials are the `kubernetes`
package's work, but for a login that is only read (`plain_login.py`). Here its failures become one
line that says what to do.
"""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meshdoctor.ports import SourceError
from meshdoctor.sources import plain_login
from meshdoctor.sources.aside import Aside

LOGIN_SECONDS = 45.0
_IN_CLUSTER = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


@dataclass(frozen=True, slots=True)
class Login:
    """`configuration` is the package's own, or `plain_login.Plain`; `context` names it in the
    report's header."""

    configuration: Any
    context: str
    namespace: str


def login(context: str = "", kubeconfig: str = "", seconds: float = LOGIN_SECONDS) -> Login:
    """Credentials for a context, the current one by default. Raises SourceError."""
    return prepared(context, kubeconfig)(seconds)


def prepared(context: str = "", kubeconfig: str = "") -> Callable[[float], Login]:
    """The login, to be made within so many seconds; all that it imports is imported here.

    Both raise SourceError.
    """
    files = [f for f in (kubeconfig or os.environ.get("KUBECONFIG", "")).split(os.pathsep) if f]
    files = files or [str(Path("~/.kube/config").expanduser())]
    if not any(Path(file).expanduser().is_file() for file in files):
        if not kubeconfig and not context and _in_cluster():
            _package()
            return lambda seconds: _from_service_account()
        raise SourceError(
            f"no kubeconfig at {', '.join(files)}",
            "Log in to the cluster (EKS: aws eks update-kubeconfig --name CLUSTER), set KUBECONFIG,"
            " or give --bundle PATH.",
        )
    if (plain := plain_login.read(context, files)) is not None:
        found = Login(plain.login, plain.name, plain.namespace)
        return lambda seconds: found
    _package()
    joined = os.pathsep.join(files)
    return lambda seconds: _within(seconds, lambda: _from_kubeconfig(context, joined))


def _package() -> tuple[Any, Any]:
    """`kubernetes.client` and `.config`: costly to import, and only a live run needs them."""
    from kubernetes import client, config

    return client, config


def _in_cluster() -> bool:
    return "KUBERNETES_SERVICE_HOST" in os.environ and _IN_CLUSTER.is_file()


def _from_service_account() -> Login:
    client, config = _package()
    configuration = client.Configuration()
    try:
        config.load_incluster_config(client_configuration=configuration)
    except config.ConfigException as error:
        raise SourceError(f"in-cluster credentials are not usable: {error}") from None
    return Login(configuration, "in-cluster", _IN_CLUSTER.with_name("namespace").read_text())


def _from_kubeconfig(context: str, files: str) -> Login:
    client, config = _package()
    try:
        contexts, active = config.list_kube_config_contexts(config_file=files)
    except Exception as error:  # any of: config, YAML, type, key, decoding errors
        raise SourceError(
            f"kubeconfig {files} is not usable: {_line(error)}", "Try: kubectl config view"
        ) from None
    names = sorted(str(one["name"]) for one in contexts or ())
    if context and context not in names:
        raise SourceError(
            f"context {context!r} is not in {files}",
            f"Known contexts: {', '.join(names[:12]) or 'none'}.",
        )
    chosen = context or str((active or {}).get("name", ""))
    configuration = client.Configuration()
    with _quiet() as said:
        try:
            config.load_kube_config(
                config_file=files, context=chosen or None, client_configuration=configuration
            )
        except Exception as error:  # as above
            raise SourceError(
                f"context {chosen!r} is not usable: {_line(error)}",
                f"Try: kubectl --context {chosen} get namespaces",
            ) from None
    if said and not configuration.api_key and not configuration.cert_file:
        raise SourceError(
            f"no credentials for context {chosen!r}: {said[-1]}",
            "Log in again (EKS: aws sso login), then try: kubectl get namespaces",
        )
    return Login(configuration, chosen, _namespace(contexts or (), chosen))


def _namespace(contexts: Any, chosen: str) -> str:
    for one in contexts:
        if one["name"] == chosen:
            return str((one.get("context") or {}).get("namespace") or "default")
    return "default"


def _line(error: BaseException) -> str:
    lines = str(error).split("\n")
    return (lines[0] or type(error).__name__)[:200]


@contextmanager
def _quiet() -> Iterator[list[str]]:
    """The package logs a failed exec plugin and carries on without credentials: catch that."""
    said: list[str] = []

    class Catch(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(" ".join(record.getMessage().split())[:200])

    root, catch = logging.getLogger(), Catch()
    before = root.handlers[:]
    root.handlers[:] = [catch]
    try:
        yield said
    finally:
        root.handlers[:] = before


def _within(seconds: float, work: Callable[[], Login]) -> Login:
    """`work()` in a thread: an exec plugin that waits for ever must not keep us."""
    attempt = Aside(work, "login")
    if not attempt.ended(seconds):
        raise SourceError(
            f"logging in took longer than {seconds:g} s",
            "The credential plugin of the kubeconfig seems to wait: try kubectl get namespaces",
        )
    return attempt.result()
