"""Which webhook of somebody else is meant?

Not a probe: it judges nothing.
"""

from meshdoctor.mesh.other_webhooks import Unharmed, named, sees_injected
from meshdoctor.mesh.webhooks import namespace_labels
from meshdoctor.mesh.workloads import is_native_sidecar
from meshdoctor.model.facts import Ref
from meshdoctor.model.kubernetes import Namespace, Pod, WebhookConfiguration
from meshdoctor.probes.injection_reads import Next
from meshdoctor.probes.view import View


def upsets(view: View, coming: Next) -> Ref:
    """The webhook that may have made of an injected pod what the API server refuses; empty: none
    is known. Pods that run with a native sidecar acquit the webhooks that were given them."""
    called = coming.decision.called
    if not called:
        return Ref("")
    spaces = {n.name: n.labels for n in view.objects("Namespace", Namespace)}
    unharmed = [
        Unharmed(
            labels=(namespace_labels(p.namespace, spaces[p.namespace]), p.labels),
            created=p.metadata.creation_timestamp,
        )
        for p in view.objects("Pod", Pod)
        if p.namespace in spaces and is_native_sidecar(p)
    ]
    configs = view.objects("MutatingWebhookConfiguration", WebhookConfiguration)
    own = namespace_labels(coming.pod.namespace, coming.pod.namespace_labels), coming.pod.labels
    found = sees_injected(configs, called[-1], own, unharmed)
    return Ref(found.ref if found is not None else "")


def holder(view: View, webhook: str) -> WebhookConfiguration | None:
    """The configuration that holds a webhook of this name."""
    for kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"):
        found = named(view.objects(kind, WebhookConfiguration), webhook)
        if found is not None:
            return found
    return None


def service_of(config: WebhookConfiguration | None, webhook: str) -> Ref:
    """The Service that it calls; empty: none, or a URL."""
    mine = (w for w in config.webhooks if w.name == webhook) if config is not None else iter(())
    one = next(mine, None)
    service = one.client_config.service if one is not None else None
    return Ref(f"Service/{service.namespace}/{service.name}" if service is not None else "")
