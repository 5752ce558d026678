"""Which mutating webhook that is not Istio's may undo or upset what the injector did?

The API server calls webhooks by configuration name; with reinvocationPolicy Never the injector
does not look again after a later one changed the pod.
"""

from collections.abc import Iterable, Mapping

from meshdoctor.mesh.webhooks import Injector, is_injector, selected
from meshdoctor.model.kubernetes import WebhookConfiguration


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
        if config.name > injector.config.name and any(
            not is_injector(w) and selected(w, namespace, pod) for w in config.webhooks
        ):
            return config
    return None
