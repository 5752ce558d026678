"""Which mutating webhook that is not Istio's may undo or upset what the injector did?

The API server calls webhooks by configuration name; with reinvocationPolicy Never the injector
does not look again after a later one changed the pod.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from msgspec import Struct

from meshdoctor.mesh.webhooks import Injector, is_injector, selected
from meshdoctor.model.kubernetes import Webhook, WebhookConfiguration


def after_injection(
    configs: Iterable[WebhookConfiguration],
    injector: Injector,
    namespace: Mapping[str, str],
    pod: Mapping[str, str],
) -> WebhookConfiguration | None:
    """The first other configuration that changes this pod after the injector; None: none does.

    None too when the injector is called again afterwards (reinvocationPolicy IfNeeded).
    """
    if injector.webhook.reinvocation_policy == "IfNeeded":
        return None
    for config in sorted(configs, key=lambda c: c.name):
        if config.name > injector.config.name and _own(config, namespace, pod):
            return config
    return None


Labels = tuple[Mapping[str, str], Mapping[str, str]]
"""Of a pod's namespace, and its own."""


class Unharmed(Struct, frozen=True, kw_only=True):
    """A pod that came through admission as it was meant to, and when it did."""

    labels: Labels
    created: datetime | None


def sees_injected(
    configs: Iterable[WebhookConfiguration],
    injector: Injector,
    pod: Labels,
    unharmed: Iterable[Unharmed] = (),
) -> WebhookConfiguration | None:
    """The first other configuration that is given the pod once it is injected: called later, or
    called again for what the injector changed (reinvocationPolicy IfNeeded); None: none is.
    One that was given pods which came through unharmed is not meant; pods that are older than it
    were never given to it.
    """
    spared = tuple(unharmed)
    for config in sorted(configs, key=lambda c: c.name):
        mine = _own(config, *pod)
        again = any(w.reinvocation_policy == "IfNeeded" for w in mine)
        later = bool(mine) and config.name > injector.config.name
        if (later or again) and not any(_was_given(config, other) for other in spared):
            return config
    return None


def _was_given(config: WebhookConfiguration, pod: Unharmed) -> bool:
    made = config.metadata.creation_timestamp
    older = made is not None and pod.created is not None and pod.created < made
    return not older and bool(_own(config, *pod.labels))


def named(configs: Iterable[WebhookConfiguration], webhook: str) -> WebhookConfiguration | None:
    """The configuration that holds a webhook of this name; None: none does."""
    found = (c for c in configs if any(w.name == webhook for w in c.webhooks))
    return min(found, key=lambda c: c.name, default=None)


def _own(
    config: WebhookConfiguration, namespace: Mapping[str, str], pod: Mapping[str, str]
) -> list[Webhook]:
    """Webhooks of a configuration that change such a pod and are no injectors."""
    return [w for w in config.webhooks if not is_injector(w) and selected(w, namespace, pod)]
