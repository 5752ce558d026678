"""What does the running cluster say? API server, istiod, proxies and istioctl as one Source.

What istiod and Envoy say by port-forward is preferred to istioctl's text: that hides states, and
each of its commands takes longer to start than to answer.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from urllib.parse import quote

import msgspec

from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.kubernetes import Object, Pod
from meshdoctor.ports import (
    Answer,
    Defaults,
    EvidenceError,
    MissingError,
    SourceError,
    Text,
    ToolMissingError,
    UnparsableError,
)
from meshdoctor.sources import envoy_dump, reads
from meshdoctor.sources.aside import Aside
from meshdoctor.sources.clock import Deadline, WallClock
from meshdoctor.sources.http import Refused, Transport
from meshdoctor.sources.istioctl import IstioctlRunner
from meshdoctor.sources.kubeconfig import LOGIN_SECONDS, Login, prepared
from meshdoctor.sources.kubernetes import KubernetesApi, LogWindow
from meshdoctor.sources.portforward import NotOpenedError, PortForward

ISTIOD_PORT, AGENT_PORT, ENVOY_PORT = 15014, 15020, 15000
_DEBUG = frozenset(
    {
        *("adsz", "ambientz", "authorizationz", "cachez", "clusterz", "configz", "connections"),
        *("endpointShardz", "endpointz", "inject", "instancesz", "krtz", "list", "mcsz", "mesh"),
        *("networkz", "push_status", "registryz", "resourcesz", "sidecarz", "syncz", "telemetryz"),
    }
)


class Live:
    """A Source over one cluster. Thread-safe."""

    def __init__(
        self,
        login: Login,
        transport: Transport,
        runner: IstioctlRunner,
        *,
        istio_namespace: str,
        window: LogWindow,
    ) -> None:
        self.api = KubernetesApi(transport, window)
        self.transport = transport
        self.istioctl = runner
        self.login = login
        self._istio_namespace = istio_namespace
        self._forward = PortForward(login.configuration, transport.deadline)
        self._clock = WallClock()

    def now(self) -> datetime:
        return self._clock.now()

    def describe(self) -> str:
        return f"context {self.login.context}"

    def defaults(self) -> Defaults:
        return Defaults()

    def failed_reads(self) -> Sequence[Unavailable]:
        return ()

    # --- Kubernetes

    def list(self, kind: str, namespace: str | None) -> Answer:
        return self.api.list(kind, namespace)

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        return self.api.get(kind, namespace, name)

    def log(self, namespace: str, pod: str, container: str, *, previous: bool = False) -> Text:
        return self.api.log(namespace, pod, container, previous=previous)

    # --- istiod

    def istiods(self) -> Sequence[Pod]:
        """Running istiod pods. Raises MissingError when there are none."""
        answer = self.api.list("Pod", self._istio_namespace)
        found = [pod for pod in answer.objects if isinstance(pod, Pod) and _is_istiod(pod)]
        if not found:
            raise MissingError(
                reads.status_command(),
                f"no running istiod pod in namespace {self._istio_namespace}",
                f"kubectl -n {self._istio_namespace} get pods -l app=istiod",
            )
        return found

    def proxy_status(self, *, namespaces: Sequence[str] = ()) -> Text:
        """/debug/syncz of every istiod, as one JSON object by pod name.

        An istiod that does not answer is named in the object; when none answers, istioctl is asked.
        """
        pods = self.istiods()
        with ThreadPoolExecutor(min(4, len(pods)), thread_name_prefix="syncz") as pool:
            answers = list(pool.map(lambda pod: self._syncz(pod, namespaces), pods))
        if all(isinstance(answer, EvidenceError) for answer in answers):
            try:
                return self.istioctl.run(("proxy-status", "-o", "json"))
            except EvidenceError:
                raise next(a for a in answers if isinstance(a, EvidenceError)) from None
        cut = any(isinstance(answer, EvidenceError) for answer in answers)
        said = ",".join(map(_said, pods, answers))
        return Text(text=f"{{{said}}}", command=reads.status_command(), cut=cut)

    def _syncz(self, pod: Pod, namespaces: Sequence[str]) -> str | EvidenceError:
        """A JSON list of the proxies that one istiod knows: of these namespaces where it can tell
        them apart (the parameter `namespace` of istiod's Syncz), else of all."""
        try:
            if not namespaces:
                return self._page(pod, "")
            queries = [f"?namespace={quote(name)}" for name in namespaces]
            with ThreadPoolExecutor(min(4, len(queries)), thread_name_prefix="syncz") as pool:
                return _joined(list(pool.map(lambda query: self._page(pod, query), queries)))
        except EvidenceError as error:
            return error

    def _page(self, pod: Pod, query: str) -> str:
        body = self._forward.get(pod.namespace, pod.name, ISTIOD_PORT, f"/debug/syncz{query}")
        try:
            msgspec.json.decode(body, type=list[msgspec.Raw])
        except msgspec.DecodeError as error:
            raise UnparsableError(reads.status_command(), f"{pod.name}: {error}"[:200]) from None
        return body.decode("utf-8", "replace")

    def debug(self, path: str, namespace: str, pod: str) -> Text:
        name, _, query = path.removeprefix("/debug/").partition("?")
        command = reads.debug_command(path, namespace, pod)
        if name not in _DEBUG or (query and not query.startswith("proxyID=")):
            raise UnparsableError(command, "not a page that only reads")
        tail = f"?{query}" if query else ""
        body = self._forward.get(namespace, pod, ISTIOD_PORT, f"/debug/{name}{tail}")
        return Text(text=body.decode("utf-8", "replace"), command=command)

    # --- proxies

    def read_pod(self, namespace: str, pod: str, port: int, path: str) -> bytes:
        """One page that a pod answers on a port of its own. Raises EvidenceError."""
        return self._forward.get(namespace, pod, port, path)

    def proxy_config(self, what: str, namespace: str, pod: str, *, host: str = "") -> Text:
        """Envoy's own page in istioctl's shape; istioctl where no port-forward can be opened, or
        the page cannot be read. Where the pod's end says no, istioctl would hear the same."""
        command = reads.config_command(what, namespace, pod)
        words = ("proxy-config", what, f"{pod}.{namespace}")
        if what not in envoy_dump.WHATS:
            if not self.istioctl.found:
                raise ToolMissingError(command, f"only istioctl shows {what}, and it was not found")
            return self.istioctl.run(words if what == "log" else (*words, "-o", "json"))
        try:
            body = self._forward.get(namespace, pod, ENVOY_PORT, envoy_dump.path_of(what, host))
            return Text(text=envoy_dump.as_istioctl(what, body), command=command)
        except EvidenceError as error:
            if isinstance(error, NotOpenedError | UnparsableError) and self.istioctl.found:
                with suppress(EvidenceError):
                    return self.istioctl.run((*words, "-o", "json"))
            why = error.unavailable
            raise type(error)(command, why.detail, why.remedy) from None

    def metrics(self, namespace: str, pod: str) -> Text:
        found = self.api.get("Pod", namespace, pod)
        istiod = isinstance(found, Pod) and _is_istiod(found)
        port = ISTIOD_PORT if istiod else AGENT_PORT
        path = "/metrics" if istiod else "/stats/prometheus"
        body = self._forward.get(namespace, pod, port, path)
        command = reads.metrics_command(namespace, pod, port)
        return Text(text=body.decode("utf-8", "replace"), command=command)

    def authz_check(self, namespace: str, pod: str) -> Text:
        return self.istioctl.run(("experimental", "authz", "check", f"{pod}.{namespace}"))

    def analyze(self) -> Text:
        return self.istioctl.run(("analyze", "-A", "-o", "json"), seconds=60)

    def version(self) -> Text:
        return self.istioctl.run(("version", "-o", "json"))


def _said(pod: Pod, answer: str | EvidenceError) -> str:
    key = msgspec.json.encode(pod.name).decode()
    if isinstance(answer, EvidenceError):
        return f"{key}:{msgspec.json.encode(f'unreachable: {answer}').decode()}"
    return f"{key}:{answer}"


def _joined(pages: Sequence[str]) -> str:
    """The records of several pages, each once: an istiod that does not know the parameter gives
    all of them every time."""
    found: dict[bytes, None] = {}
    for page in pages:
        for record in msgspec.json.decode(page, type=list[msgspec.Raw]):
            found[bytes(record)] = None
    return f"[{b','.join(found).decode('utf-8', 'replace')}]"


def _is_istiod(pod: Pod) -> bool:
    return pod.labels.get("app") == "istiod" and pod.status.phase == "Running"


def open_live(
    *,
    context: str = "",
    kubeconfig: str = "",
    istio_namespace: str = "istio-system",
    istioctl: str = "",
    since_seconds: int = 900,
    deadline_seconds: float = 60.0,
) -> Live:
    """A connected source. Raises SourceError when the API server or the login fails."""
    return opening_live(
        context=context,
        kubeconfig=kubeconfig,
        istio_namespace=istio_namespace,
        istioctl=istioctl,
        since_seconds=since_seconds,
        deadline_seconds=deadline_seconds,
    )()


def opening_live(
    *,
    context: str,
    kubeconfig: str,
    istio_namespace: str,
    istioctl: str,
    since_seconds: int,
    deadline_seconds: float,
) -> Callable[[], Live]:
    """Begins to log in and to connect; the source is had by calling what is returned.

    Whoever has something else to do meanwhile does not wait for the network: but imports are made
    here, before it begins. Both raise SourceError.
    """
    import urllib3  # noqa: F401

    deadline = Deadline(deadline_seconds)
    log_in = prepared(context, kubeconfig)
    runner = IstioctlRunner(
        deadline,
        binary=istioctl,
        context=context,
        kubeconfig=kubeconfig,
        istio_namespace=istio_namespace,
    )
    window = LogWindow(since_seconds=since_seconds)

    def opened() -> Live:
        who = log_in(deadline.share(LOGIN_SECONDS, "logging in"))
        transport = Transport(who.configuration, deadline)
        live = Live(who, transport, runner, istio_namespace=istio_namespace, window=window)
        connect(transport, who)
        live.api.look_ahead()
        return live

    return Aside(opened, "open").result


def connect(transport: Transport, who: Login) -> None:
    """One small request, so that a wrong address or login is said at once. Raises SourceError."""
    host = transport.configuration.host
    try:
        transport.get("/version", seconds=10, tries=2)
    except Refused as refused:
        if refused.status == 401:
            raise SourceError(
                f"{host} does not accept the credentials of context {who.context!r} (401)",
                "They may have expired: log in again (EKS: aws sso login), then try: "
                "kubectl get namespaces",
            ) from None
        if refused.status != 403:
            raise SourceError(
                f"{host} is no working API server: {refused}"[:300],
                f"Try: kubectl --context {who.context} version",
            ) from None
    except EvidenceError as error:
        detail = error.unavailable.detail
        raise SourceError(
            f"API server {host} cannot be reached: {detail}"[:300], _reach_hint(detail, who)
        ) from None


def _reach_hint(detail: str, who: Login) -> str:
    if "certificate" in detail.lower():
        return "The kubeconfig's certificate authority is not the server's: renew the kubeconfig."
    command = f"kubectl --context {who.context} get --raw /version"
    return f"Check network, VPN and proxy, then try: {command}"
