"""Does Istio's validation refuse changes, or is it out of reach?"""

from datetime import timedelta
from typing import Annotated

from msgspec import Struct

from meshdoctor.mesh.apply_errors import APPLIERS, Failure, apply_errors, failed_calls
from meshdoctor.mesh.text import clean
from meshdoctor.model.evidence import Unavailable
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.kubernetes import (
    Event,
    Pod,
    Service,
    Webhook,
    WebhookConfiguration,
)
from meshdoctor.model.subjects import MeshSubject, SubjectKind
from meshdoctor.probes import container_logs, reading
from meshdoctor.probes import propagation_reading as shared
from meshdoctor.probes.view import View, attempt, known, probe

VWC = "ValidatingWebhookConfiguration"
LATELY = timedelta(minutes=30)
_ENDED = "x509: certificate has expired"


class Validation(Struct, frozen=True, kw_only=True):
    """Events of whoever applies manifests, their logs and istiod's where they can be read, and the
    webhook."""

    refused: Annotated[Fact[int], "refusals in events and in the logs that could be read", OBSERVED]
    refusal: Annotated[Fact[str], "the last refusal's text", OBSERVED]
    refused_for: Annotated[Fact[Ref], "the object whose event says it; empty: only istiod's log"]
    call_failed: Annotated[
        Fact[int], "events, or lines of those logs: the webhook could not be called", OBSERVED
    ]
    call_text: Annotated[Fact[str], "the last such event or line", OBSERVED]
    call_said: Annotated[Fact[str], "the same at the end of a sentence; empty: nobody says so"]
    expired: Annotated[Fact[bool], "it says that the certificate is out of date", OBSERVED]
    config: Annotated[Fact[Ref], "the webhook configuration that fails closed; empty: none"]
    config_name: Annotated[Fact[str], "its name"]
    service: Annotated[Fact[Ref], "the Service that it calls"]
    service_name: Annotated[Fact[str], "its name"]
    service_namespace: Annotated[Fact[str], "its namespace"]
    endpoints: Annotated[Fact[int], "ready endpoints of that Service; -1: it is not called"]
    open: Annotated[
        Fact[Ref], "the one that fails open, where none of Istio's fails closed; empty: none"
    ]
    open_ref: Annotated[Fact[str], "the same for kubectl"]
    open_endpoints: Annotated[
        Fact[int], "ready endpoints of the Service that it calls; -1: there is none such"
    ]
    open_why: Annotated[Fact[str], "why nobody answers it"]


@probe(
    "validation",
    subject=SubjectKind.MESH,
    reads=("EndpointSlice", "Event", "Pod", "Service", VWC, "log"),
)
def validation(view: View, _: MeshSubject) -> Validation:
    """Does Istio's validation refuse changes, or is it out of reach?"""
    found = apply_errors(view.objects("Event", Event))
    logged = () if found.failed else _logged(view)
    failed_text = logged[-1].text if logged else found.failed_text
    log = attempt(lambda: shared.istiod_log(view).log.kind("invalid"))
    lines = () if isinstance(log, Unavailable) else log
    text = found.denied_text or (clean(lines[-1].get("reason")) if lines else "")
    closed = attempt(lambda: _closed(view, failed_text))
    ready = attempt(lambda: _ready(view, known(closed)))
    config = attempt(lambda: c[0] if (c := known(closed)) else None)
    service = attempt(lambda: c[1].client_config.service if (c := known(closed)) else None)
    lax = attempt(lambda: None if known(closed) else _lax(view))
    behind = attempt(lambda: _ready(view, known(lax)))
    return Validation(
        refused=found.denied + len(lines),
        refusal=text,
        refused_for=Ref(clean(found.denied_on, 200)),
        call_failed=found.failed or len(logged),
        call_text=failed_text,
        call_said=_call_said(found.failed_text, logged),
        expired=_ENDED in failed_text,
        config=attempt(lambda: Ref(c.ref if (c := known(config)) else "")),
        config_name=attempt(lambda: c.name if (c := known(config)) else ""),
        service=attempt(
            lambda: Ref(f"Service/{s.namespace}/{s.name}" if (s := known(service)) else "")
        ),
        service_name=attempt(lambda: s.name if (s := known(service)) else ""),
        service_namespace=attempt(lambda: s.namespace if (s := known(service)) else ""),
        endpoints=ready,
        open=attempt(lambda: Ref(c[0].ref if (c := known(lax)) else "")),
        open_ref=attempt(lambda: f"{VWC.lower()} {c[0].name}" if (c := known(lax)) else ""),
        open_endpoints=behind,
        open_why=attempt(lambda: _why(view, known(lax), known(behind))),
    )


def _why(view: View, lax: "Closed | None", behind: int) -> str:
    service = lax[1].client_config.service if lax is not None else None
    if service is None:
        return ""
    name = f"Service/{service.namespace}/{service.name}"
    if not shared.service_exists(view, service.namespace, service.name):
        return f"{name} does not exist"
    if behind == 0:
        return f"{name} has no ready endpoint"
    return f"the API server gets no answer from {name} that it believes"


def _call_said(event: str, logged: tuple[Failure, ...]) -> str:
    if event:
        return f"; events say: {event}"
    return f"; a log says: {logged[-1].text}" if logged else ""


def _logged(view: View) -> tuple[Failure, ...]:
    """Failed calls of the last half hour in logs of what applies objects, which try again and
    again; a log that was not read tells of none."""
    pods = attempt(lambda: view.objects("Pod", Pod))
    out: list[Failure] = []
    for pod in pods if isinstance(pods, tuple) else ():
        appliers = [c for c in pod.spec.containers if any(name in c.image for name in APPLIERS)]
        for text in container_logs.readable(view, pod, appliers):
            out += failed_calls(text)
    return tuple(f for f in out if f.at is None or view.now - f.at <= LATELY)


Closed = tuple[WebhookConfiguration, Webhook]


def _closed(view: View, said: str) -> Closed | None:
    """Istio's validation webhook whose failure refuses every change; None: there is none. Of
    several (an upgrade leaves an old one behind) the one that nobody answers, else the one whose
    Service the failed call names."""
    found = _webhooks(view, "Fail")
    if len(found) < 2:
        return found[0] if found else None
    return min(found, key=lambda one: (_ready(view, one) > 0, _host(one[1]) not in said))


def _lax(view: View) -> Closed | None:
    """Istio's validation webhook that lets pass what it is not asked about: one that nobody
    answers only where none is answered."""
    found = _webhooks(view, "Ignore")
    return max(found, key=lambda one: _ready(view, one), default=None)


def _webhooks(view: View, policy: str) -> list[Closed]:
    return [
        (config, webhook)
        for config in view.objects(VWC, WebhookConfiguration)
        for webhook in config.webhooks
        if "validation" in webhook.name
        and webhook.name.endswith("istio.io")
        and webhook.failure_policy == policy
        and webhook.client_config.service is not None
    ]


def _host(webhook: Webhook) -> str:
    """How the API server calls the webhook's Service in its messages."""
    service = webhook.client_config.service
    return f"//{service.name}.{service.namespace}.svc:" if service is not None else "//"


def _ready(view: View, closed: Closed | None) -> int:
    """Endpoints as the API server counts them. No slice at all: not recorded, ask the pods."""
    service = closed[1].client_config.service if closed is not None else None
    if service is None:
        return -1
    found = view.object("Service", Service, service.namespace, service.name)
    return reading.ready_behind(view, found) if found is not None else 0
