"""Which injection webhooks are there, of which revision, and which would the API server call?

Stage A of the injection decision. Selectors are evaluated as they are, never guessed from names:
the shapes mirror manifests/charts/istio-control/istio-discovery/templates/mutatingwebhook.yaml
and revision-tags-mwc.yaml (1.18 to 1.32-dev), and charts that were edited or are older work too.
"""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from meshdoctor.mesh.selectors import label_selected, requirements_unmet
from meshdoctor.mesh.text import clean
from meshdoctor.model.kubernetes import (
    LabelRequirement,
    LabelSelector,
    Webhook,
    WebhookConfiguration,
    WebhookService,
)

REVISION = "istio.io/rev"
TAG = "istio.io/tag"
INJECTION = "istio-injection"
INJECT = "sidecar.istio.io/inject"
DEACTIVATED = "istio.io/deactivated"
METADATA_NAME = "kubernetes.io/metadata.name"
INJECTOR_SUFFIX = "sidecar-injector.istio.io"
OWN_KEYS = frozenset({INJECT, INJECTION, REVISION, DEACTIVATED, METADATA_NAME})
"""The labels that the selectors of Istio's charts look at."""


class Injector(Struct, frozen=True, kw_only=True):
    """One injection webhook. `revision` is istiod's (`default` when it has none), `tag` the
    revision tag that the entry serves ("" for the revision's own webhook)."""

    config: WebhookConfiguration
    webhook: Webhook
    revision: str
    tag: str

    @property
    def deactivated(self) -> bool:
        """Selectors that can never match: what istioctl leaves when a tag takes over."""
        return any(
            DEACTIVATED in s.match_labels or _impossible(s)
            for s in (self.webhook.namespace_selector, self.webhook.object_selector)
        )

    @property
    def key(self) -> tuple[str, str]:
        return (self.config.name, self.webhook.name)

    @property
    def name(self) -> str:
        """What a namespace label would say to choose it: the tag, else the revision."""
        return self.tag or self.revision

    @property
    def service(self) -> WebhookService | None:
        return self.webhook.client_config.service

    @property
    def service_ref(self) -> str:
        """`Service/ns/name`; empty when the webhook is called by URL."""
        service = self.service
        return f"Service/{service.namespace}/{service.name}" if service else ""


class Injectors(Struct, frozen=True, kw_only=True):
    """All injection webhooks together. `label_keys`: the pod labels on which it depends which of
    them are called, and why none is. `active`: how many can match anything. `choices`: the
    revisions and tags that a label may name, in words. `deactivated`: a configuration of the
    default revision that asks for nothing; None: there is none."""

    all: tuple[Injector, ...]
    label_keys: tuple[str, ...]
    active: int
    choices: str
    first_choice: str
    deactivated: WebhookConfiguration | None


def overview(configs: Iterable[WebhookConfiguration]) -> Injectors:
    """What holds of the injection webhooks whatever pod is asked about."""
    found = injectors(configs)
    names = revisions(found)
    looked_at = {r.key for one in found for r in _requirements(one.webhook.object_selector)}
    return Injectors(
        all=found,
        label_keys=tuple(sorted({*looked_at, INJECT, REVISION})),
        active=sum(not one.deactivated for one in found),
        choices=clean(", ".join(names)),
        first_choice=clean(names[0], 63) if names else "",
        deactivated=next(
            (one.config for one in found if one.deactivated and one.name == "default"), None
        ),
    )


def injectors(configs: Iterable[WebhookConfiguration]) -> tuple[Injector, ...]:
    """Every webhook entry that asks istiod to inject, active or not, sorted by configuration."""
    return tuple(
        Injector(
            config=config,
            webhook=webhook,
            revision=config.labels.get(REVISION) or _service_revision(webhook),
            tag=config.labels.get(TAG, ""),
        )
        for config in sorted(configs, key=lambda c: c.name)
        for webhook in config.webhooks
        if is_injector(webhook)
    )


def is_injector(webhook: Webhook) -> bool:
    """Named like istiod's, or served by an istiod at /inject."""
    if webhook.name.endswith(INJECTOR_SUFFIX):
        return True
    service = webhook.client_config.service
    if service is not None:
        return service.name.startswith("istiod") and service.path.startswith("/inject")
    return "/inject" in webhook.client_config.url and webhook.name.endswith("istio.io")


def creates_pods(webhook: Webhook) -> bool:
    """Whether its rules cover the creation of pods; absent rules cover nothing."""
    return any(
        _any(rule.operations, "CREATE")
        and _any(rule.api_groups, "")
        and (_any(rule.resources, "pods") or "pods/*" in rule.resources)
        and rule.scope in ("*", "Namespaced")
        for rule in webhook.rules
    )


def namespace_labels(name: str, labels: Mapping[str, str]) -> dict[str, str]:
    """The labels that selectors see: the API server always adds the namespace's name."""
    return {**labels, METADATA_NAME: name}


def selected(webhook: Webhook, namespace: Mapping[str, str], pod: Mapping[str, str]) -> bool:
    """Whether the API server calls this webhook for a new pod with these labels."""
    return (
        creates_pods(webhook)
        and label_selected(webhook.namespace_selector, namespace)
        and label_selected(webhook.object_selector, pod)
    )


def matching(
    found: Iterable[Injector], namespace: Mapping[str, str], pod: Mapping[str, str]
) -> tuple[Injector, ...]:
    """The injection webhooks that would be called, in the order the API server calls them.

    Order mirrors the API server: configurations by name, entries as listed.
    """
    return tuple(one for one in found if selected(one.webhook, namespace, pod))


def foreign_requirement(
    found: Iterable[Injector], namespace: Mapping[str, str], pod: Mapping[str, str]
) -> tuple[Injector | None, str]:
    """The webhook that would be called for this pod were it not for selectors that no release of
    Istio writes, with the first of these in words; (None, ""): there is none.

    Istio's own look at its labels alone; AKS adds control-plane DoesNotExist to all webhooks.
    """
    for one in found:
        hook = one.webhook
        if one.deactivated:
            continue
        parts = (
            ("namespaceSelector", requirements_unmet(hook.namespace_selector, namespace)),
            ("objectSelector", requirements_unmet(hook.object_selector, pod)),
        )
        failing = [(where, r) for where, some in parts for r in some]
        if failing and not any(r.key in OWN_KEYS for _, r in failing):
            where, first = failing[0]
            values = f" [{', '.join(first.values)}]" if first.values else ""
            return one, clean(f"{where} wants {first.key} {first.operator}{values}", 200)
    return None, ""


class Answers:
    """The revision that new pods get, asked for many of them: it depends on the namespace and on
    those labels alone that some objectSelector names."""

    def __init__(self, configs: Iterable[WebhookConfiguration]) -> None:
        self._injectors = injectors(configs)
        selectors = [one.webhook.object_selector for one in self._injectors]
        self._keys = tuple({r.key for s in selectors for r in _requirements(s)})
        self._known: dict[tuple[str, tuple[str | None, ...]], str] = {}

    def revision(self, namespace: str, labels: Mapping[str, str], pod: Mapping[str, str]) -> str:
        """The revision whose webhook is called for a pod with these labels in a namespace with
        those, safe to show; "" when none is, or several."""
        key = (namespace, tuple(map(pod.get, self._keys)))
        found = self._known.get(key)
        if found is None:
            called = matching(self._injectors, namespace_labels(namespace, labels), pod)
            names = {one.revision for one in called}
            found = self._known[key] = clean(names.pop(), 63) if len(names) == 1 else ""
        return found


def revisions(found: Iterable[Injector]) -> tuple[str, ...]:
    """Revisions and tags that a label may name, sorted; deactivated entries offer nothing."""
    names: set[str] = set()
    for one in found:
        if not one.deactivated:
            names |= {one.name, *_offered(one.webhook)}
    return tuple(sorted(names))


def serves_legacy_label(found: Iterable[Injector]) -> bool:
    """Whether any entry answers to `istio-injection: enabled` on the namespace."""
    return any(
        not one.deactivated
        and label_selected(one.webhook.namespace_selector, {INJECTION: "enabled"})
        for one in found
    )


def unmet(webhook: Webhook, namespace: Mapping[str, str], pod: Mapping[str, str]) -> str:
    """The first thing that keeps this webhook from being called, in words; "" when nothing."""
    if not creates_pods(webhook):
        return "its rules do not cover the creation of pods"
    for what, selector, labels in (
        ("namespaceSelector", webhook.namespace_selector, namespace),
        ("objectSelector", webhook.object_selector, pod),
    ):
        for one in _requirements(selector):
            if not label_selected(LabelSelector(match_expressions=(one,)), labels):
                has = f"{labels[one.key]!r}" if one.key in labels else "absent"
                return f"{what} wants {_spoken(one)}, it is {has}"
    return ""


def _requirements(selector: LabelSelector) -> tuple[LabelRequirement, ...]:
    exact = tuple(
        LabelRequirement(key=key, operator="In", values=(value,))
        for key, value in selector.match_labels.items()
    )
    return exact + selector.match_expressions


def _spoken(one: LabelRequirement) -> str:
    match one.operator:
        case "In" if len(one.values) == 1:
            return f"{one.key}={one.values[0]}"
        case "In" | "NotIn":
            return f"{one.key} {one.operator} ({', '.join(one.values)})"
        case "Exists":
            return f"{one.key} present"
        case "DoesNotExist":
            return f"{one.key} absent"
        case _:
            return f"{one.key} {one.operator}"


def _impossible(selector: LabelSelector) -> bool:
    """Two requirements that no labels can meet together: key both wanted and unwanted."""
    wanted = {r.key for r in _requirements(selector) if r.operator in ("In", "Exists")}
    absent = {r.key for r in selector.match_expressions if r.operator == "DoesNotExist"}
    return bool(wanted & absent)


def _offered(webhook: Webhook) -> set[str]:
    return {
        value
        for selector in (webhook.namespace_selector, webhook.object_selector)
        for one in _requirements(selector)
        if one.key == REVISION and one.operator == "In"
        for value in one.values
    }


def _service_revision(webhook: Webhook) -> str:
    service = webhook.client_config.service
    name = service.name if service is not None else ""
    return name.removeprefix("istiod-") if name.startswith("istiod-") else "default"


def _any(values: tuple[str, ...], wanted: str) -> bool:
    return "*" in values or wanted in values
