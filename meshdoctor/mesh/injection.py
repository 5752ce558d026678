"""Would a pod made from this template get a sidecar, and which clause says so?

Stage A (webhook selectors) is `webhooks.py`; here are stage B, istiod's injectRequired, and the
joining of both. Mirrors pkg/kube/inject/inject.go injectRequired and webhook.go IgnoredNamespaces
(read in 1.18, 1.26, 1.27 and 1.32-dev; the values understood changed in 1.27).
"""

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

from meshdoctor.mesh.injector_config import InjectorConfig
from meshdoctor.mesh.selectors import label_selected
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.webhooks import (
    INJECT,
    INJECTION,
    REVISION,
    Injector,
    matching,
    namespace_labels,
    revisions,
    serves_legacy_label,
)
from meshdoctor.model.kubernetes import LabelSelector

IGNORED_NAMESPACES = frozenset(
    {"kube-system", "kube-public", "kube-node-lease", "local-path-storage"}
)
STRICT_VALUES_SINCE = (1, 27)


class Clause(StrEnum):
    """What decided. The first group is the API server's, the second istiod's."""

    NO_WEBHOOK = "no-webhook"
    POD_LABEL_FALSE = "pod-label-false"
    NAMESPACE_DISABLED = "namespace-disabled"
    LEGACY_LABEL_UNSERVED = "legacy-label-unserved"
    REVISION_UNKNOWN = "revision-unknown"
    NO_LABEL = "no-label"
    SELECTOR = "selector"
    HOST_NETWORK = "host-network"
    IGNORED_NAMESPACE = "ignored-namespace"
    VALUE_FALSE = "value-false"
    VALUE_TRUE = "value-true"
    VALUE_NOT_UNDERSTOOD = "value-not-understood"
    NEVER_SELECTOR = "never-selector"
    ALWAYS_SELECTOR = "always-selector"
    POLICY_ENABLED = "policy-enabled"
    POLICY_DISABLED = "policy-disabled"
    POLICY_ILLEGAL = "policy-illegal"


class NewPod(Struct, frozen=True, kw_only=True):
    """What decides about a pod that does not exist yet: its template in its namespace."""

    namespace: str
    namespace_labels: Mapping[str, str]
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    host_network: bool = False

    @property
    def asks(self) -> str | None:
        """The pod's own word on injection: label first, else annotation, else None."""
        return self.labels.get(INJECT, self.annotations.get(INJECT))


class Decision(Struct, frozen=True, kw_only=True):
    """`injected` None: istiod was asked and its configuration could not be seen."""

    injected: bool | None
    clause: Clause
    because: str
    called: tuple[Injector, ...] = ()

    @property
    def asked(self) -> bool:
        """Whether the API server would call istiod at all."""
        return bool(self.called)

    @property
    def revision(self) -> str:
        """The revision that would inject; "" when none is asked. The last call wins."""
        return self.called[-1].revision if self.called else ""


def decide(
    pod: NewPod,
    found: tuple[Injector, ...],
    config: InjectorConfig | None,
    release: tuple[int, ...] | None = None,
) -> Decision:
    """The whole decision. `config` is the injector configuration of the revision asked (None:
    not seen), `release` istiod's version such as (1, 26) (None: not known, newest assumed)."""
    called = matching(found, namespace_labels(pod.namespace, pod.namespace_labels), pod.labels)
    return answered(pod, called, config, release) if called else passed_over(pod, found)


def answered(
    pod: NewPod,
    called: tuple[Injector, ...],
    config: InjectorConfig | None,
    release: tuple[int, ...] | None = None,
) -> Decision:
    """The decision about a pod for which these webhooks are called."""
    required, clause, because = inject_required(pod, config, release)
    return Decision(injected=required, clause=clause, because=because, called=called)


def passed_over(pod: NewPod, found: tuple[Injector, ...]) -> Decision:
    """The decision about a pod for which none of the webhooks is called.

    Of the pod's labels only `sidecar.istio.io/inject` and `istio.io/rev` matter to it.
    """
    clause, because = _not_asked(pod, found)
    return Decision(injected=False, clause=clause, because=because)


def label_means(value: str) -> bool | None:
    """What the writer of a namespace's istio-injection label most likely meant, though only
    `enabled` opts in and all else keeps out; None: nothing can be told."""
    word = value.strip().lower()
    if not word:
        return None
    return word not in ("disabled", "disable", "false", "no", "n", "off", "none", "never", "0")


def _not_asked(pod: NewPod, found: tuple[Injector, ...]) -> tuple[Clause, str]:
    """Why no webhook matches, told from the labels in the order in which they win."""
    ns = f"namespace {pod.namespace}"
    injection = pod.namespace_labels.get(INJECTION)
    revision = pod.namespace_labels.get(REVISION, pod.labels.get(REVISION))
    where = ns if REVISION in pod.namespace_labels else "the pod"
    if not any(not one.deactivated for one in found):
        return Clause.NO_WEBHOOK, "no active injection webhook exists"
    if pod.labels.get(INJECT) == "false":
        return Clause.POD_LABEL_FALSE, f"the pod's label {INJECT} is false"
    if injection is not None and injection != "enabled":
        value = clean(injection, 63)
        return Clause.NAMESPACE_DISABLED, f"{ns} has {INJECTION}={value}: no webhook asks"
    if injection == "enabled" and not serves_legacy_label(found):
        return (
            Clause.LEGACY_LABEL_UNSERVED,
            f"{ns} has {INJECTION}=enabled, which only a default revision answers to",
        )
    if injection is None and revision is not None and revision not in revisions(found):
        known = ", ".join(revisions(found)) or "none"
        value = clean(revision, 63)
        return (
            Clause.REVISION_UNKNOWN,
            f"{where} asks for {REVISION}={value}; revisions and tags are: {known}",
        )
    if injection is None and revision is None and pod.labels.get(INJECT) != "true":
        return Clause.NO_LABEL, f"neither {ns} nor the pod is labelled for injection"
    return Clause.SELECTOR, "the selectors of every injection webhook leave this pod out"


def inject_required(
    pod: NewPod, config: InjectorConfig | None, release: tuple[int, ...] | None = None
) -> tuple[bool | None, Clause, str]:
    """istiod's own answer for a pod it was asked about: yes or no (None: config not seen)."""
    if pod.host_network:
        return False, Clause.HOST_NETWORK, "the pod uses the host's network"
    if pod.namespace in IGNORED_NAMESPACES:
        return False, Clause.IGNORED_NAMESPACE, f"istiod never injects into {pod.namespace}"
    said = value_of(pod.asks, release)
    if config is None:
        return None, Clause.POLICY_ENABLED, "istiod is asked; its injector ConfigMap was not seen"
    if config.policy not in ("enabled", "disabled"):
        policy = clean(config.policy, 63)
        return False, Clause.POLICY_ILLEGAL, f"{config.ref} has the illegal policy {policy!r}"
    if said is not None:
        where = "label" if INJECT in pod.labels else "annotation"
        text = f"the pod's {where} {INJECT} is {clean(pod.asks or '', 63)!r}"
        if said:
            return True, Clause.VALUE_TRUE, text
        plain = pod.asks is not None and pod.asks.lower() in ("false", "n", "no", "off")
        return False, Clause.VALUE_FALSE if plain else Clause.VALUE_NOT_UNDERSTOOD, text
    return _by_default(pod, config)


def _by_default(pod: NewPod, config: InjectorConfig) -> tuple[bool, Clause, str]:
    """Selectors, then policy: only for a pod that says nothing istiod understands."""
    for selector in config.never:
        if _not_empty(selector) and label_selected(selector, pod.labels):
            return False, Clause.NEVER_SELECTOR, f"a neverInjectSelector of {config.ref} matches"
    for selector in config.always:
        if _not_empty(selector) and label_selected(selector, pod.labels):
            return True, Clause.ALWAYS_SELECTOR, f"an alwaysInjectSelector of {config.ref} matches"
    if config.policy == "enabled":
        return True, Clause.POLICY_ENABLED, "a webhook asks for it and the policy is enabled"
    return False, Clause.POLICY_DISABLED, f"{config.ref} has policy: disabled"


def value_of(value: str | None, release: tuple[int, ...] | None = None) -> bool | None:
    """What istiod understands: True, False, or None for "use the default".

    Since 1.27 only true and false count; until 1.26 yes/on/y count as true and any other text
    as false.
    """
    if not value:
        return None
    if release is not None and release < STRICT_VALUES_SINCE:
        return value.lower() in ("y", "yes", "true", "on")
    return {"true": True, "false": False}.get(value)


def depends_on_release(value: str | None) -> bool:
    """Whether releases understand a value differently."""
    return bool(value) and value not in ("true", "false")


def unclear(value: str, release: tuple[int, ...] | None = None) -> bool:
    """Whether a value is neither true nor false to this release, so that another rule decides."""
    words = ("true", "false")
    if release is not None and release < STRICT_VALUES_SINCE:
        return bool(value) and value.lower() not in (*words, "y", "yes", "on", "n", "no", "off")
    return bool(value) and value not in words


def _not_empty(selector: LabelSelector) -> bool:
    return bool(selector.match_labels or selector.match_expressions)
