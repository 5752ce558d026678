"""What does istioctl say? Read commands only, from a closed list, under our own deadline.

istioctl's own time-outs are not enforced by every command, and exit codes do not tell health: a
run ends in text, or in the EvidenceError that its stderr describes.
"""

import os
import selectors
import shutil
import signal
import subprocess
import threading
from pathlib import Path

import msgspec

from meshdoctor.mesh.text import clean, strip_ansi
from meshdoctor.model.patterns import pattern
from meshdoctor.ports import (
    DeadlineError,
    EvidenceError,
    ForbiddenError,
    MissingError,
    Text,
    TooLargeError,
    ToolMissingError,
    UnparsableError,
    UnreachableError,
)
from meshdoctor.sources.clock import Deadline

SECONDS = 45.0
LIMIT = 64 << 20
_ERROR_LIMIT = 64 * 1024
_ALLOWED: tuple[tuple[str, ...], ...] = (
    ("version",),
    ("proxy-status",),
    ("proxy-config", "all"),
    ("proxy-config", "bootstrap"),
    ("proxy-config", "cluster"),
    ("proxy-config", "endpoint"),
    ("proxy-config", "listener"),
    ("proxy-config", "log"),
    ("proxy-config", "route"),
    ("proxy-config", "secret"),
    ("proxy-config", "ecds"),
    ("ztunnel-config", "all"),
    ("experimental", "authz", "check"),
    ("analyze",),
)
_WORD = pattern(r"^(?:[a-z0-9][a-z0-9.-]*|-o|json|-A|-v|1|--remote=false)$")
_KEPT = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TMPDIR", "KUBECONFIG"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
        *("http_proxy", "https_proxy", "no_proxy"),
        *("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"),
    }
)
_KEPT_PREFIXES = ("AWS_", "GOOGLE_", "CLOUDSDK_", "AZURE_", "AAD_")
_CONFIG = Path(__file__).with_name("istioctl.yaml")
_DOCS = "https://istio.io/latest/docs/ops/diagnostic-tools/istioctl/"
_INSTALL = f"Install istioctl of istiod's minor version: {_DOCS}"
_SIGNS: tuple[tuple[str, type[EvidenceError]], ...] = (
    ("forbidden", ForbiddenError),
    ("unauthorized", ForbiddenError),
    ("unknown command", ToolMissingError),
    ("unknown flag", ToolMissingError),
    ("unknown shorthand flag", ToolMissingError),
    ("deadline exceeded", DeadlineError),
    ("timed out", DeadlineError),
    ("i/o timeout", UnreachableError),
    ("connection refused", UnreachableError),
    ("no such host", UnreachableError),
    ("unable to connect", UnreachableError),
    ("not found", MissingError),
)


class IstioctlRunner:
    """One binary and the options that point it at the same cluster as the rest of the run."""

    def __init__(
        self,
        deadline: Deadline,
        *,
        binary: str = "",
        context: str = "",
        kubeconfig: str = "",
        istio_namespace: str = "",
        revision: str = "",
    ) -> None:
        self._deadline = deadline
        self._binary = shutil.which(binary or "istioctl")
        self._asked_for = binary or "istioctl"
        self._kubeconfig = kubeconfig
        self._options = [
            *(["--context", context] if context else []),
            *(["--kubeconfig", kubeconfig] if kubeconfig else []),
            *(["--istioNamespace", istio_namespace] if istio_namespace else []),
        ]
        self._revision = revision
        self._lock = threading.Lock()
        self._version: str | None = None

    @property
    def found(self) -> bool:
        return self._binary is not None

    @property
    def path(self) -> str:
        return self._binary or ""

    def version(self) -> str:
        """The client's own version, "" when it does not say."""
        with self._lock:
            if self._version is None:
                text = self.run(("version", "--remote=false", "-o", "json"), seconds=10).text
                try:
                    said = msgspec.json.decode(text, type=dict[str, dict[str, object]])
                    self._version = str(said.get("clientVersion", {}).get("version", ""))
                except msgspec.DecodeError:
                    self._version = ""
            return self._version

    def run(self, words: tuple[str, ...], *, seconds: float = SECONDS) -> Text:
        """The command's standard output. Raises EvidenceError."""
        command = "istioctl " + " ".join(words)
        if not any(words[: len(allowed)] == allowed for allowed in _ALLOWED):
            raise ValueError(f"not a read command: {command}")
        if bad := [word for word in words if not _WORD.match(word)]:
            raise ValueError(f"not a name: {bad[0]!r}")
        if self._binary is None:
            raise ToolMissingError(command, f"{self._asked_for} not found on PATH", _INSTALL)
        argv = [self._binary, *words, *self._options]
        if self._revision and words[0] in ("proxy-status", "analyze"):
            argv += ["--revision", self._revision]
        share = self._deadline.share(seconds, command)
        code, out, err = _run(argv, scrubbed(os.environ), command, Deadline(share))
        return Text(text=_judge(words, code, out, err, command), command=command)


def scrubbed(environment: "os._Environ[str] | dict[str, str]") -> dict[str, str]:
    """What istioctl and the credential plugins need; no ISTIOCTL_* override, no other secret."""
    kept = {
        name: value
        for name, value in environment.items()
        if name in _KEPT or name.startswith(_KEPT_PREFIXES)
    }
    return {**kept, "TERM": "dumb", "ISTIOCONFIG": str(_CONFIG)}


def _judge(words: tuple[str, ...], code: int, out: str, err: str, command: str) -> str:
    """The text that is evidence. `analyze` exits 79 when it found something."""
    if code == 0 and (out.strip() or words[0] == "analyze"):
        return out
    if words[0] == "analyze" and out.strip() and code in (1, 79):
        return out
    lines = [line for line in err.splitlines() if line.strip()]
    said = next((line for line in lines if line.startswith("Error")), lines[0] if lines else "")
    detail = clean(said) or f"exit status {code} and no output"
    lower = err.lower()
    for sign, error in _SIGNS:
        if sign in lower:
            raise error(command, detail, f"Try: {command}")
    if code == 0:
        raise UnparsableError(command, detail, f"Try: {command}")
    raise UnreachableError(command, detail, f"Try: {command}")


def _run(
    argv: list[str], environment: dict[str, str], command: str, deadline: Deadline
) -> tuple[int, str, str]:
    """Exit status, stdout, stderr. The whole process group is killed when it is over."""
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
    except OSError as error:
        raise ToolMissingError(command, f"cannot be started: {error.strerror}", _INSTALL) from None
    with process:
        try:
            out, err = _drain(process, command, deadline)
            code = process.wait(timeout=max(deadline.left(), 0.1))
        except subprocess.TimeoutExpired:
            raise _late(command, deadline) from None
        finally:
            _kill(process)
    return (
        code,
        strip_ansi(out.decode("utf-8", "replace")),
        strip_ansi(err.decode("utf-8", "replace")),
    )


def _drain(
    process: "subprocess.Popen[bytes]", command: str, deadline: Deadline
) -> tuple[bytes, bytes]:
    out, err = bytearray(), bytearray()
    with selectors.DefaultSelector() as waiting:
        for stream, kept in ((process.stdout, out), (process.stderr, err)):
            assert stream is not None
            waiting.register(stream, selectors.EVENT_READ, kept)
        while waiting.get_map():
            ready = waiting.select(deadline.left())
            if not ready:
                raise _late(command, deadline)
            for key, _ in ready:
                chunk = os.read(key.fd, 1 << 16)
                if not chunk:
                    waiting.unregister(key.fileobj)
                elif key.data is out or len(err) < _ERROR_LIMIT:
                    key.data.extend(chunk)
                if len(out) > LIMIT:
                    raise TooLargeError(command, f"more than {LIMIT >> 20} MB of output")
    return bytes(out), bytes(err)


def _late(command: str, deadline: Deadline) -> DeadlineError:
    return DeadlineError(
        command,
        f"no answer within {deadline.seconds:.0f} s; it was killed",
        "Give a longer --deadline, or see whether you may port-forward to istiod.",
    )


def _kill(process: "subprocess.Popen[bytes]") -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
