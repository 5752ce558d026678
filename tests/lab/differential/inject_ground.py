"""Which webhooks and which injector does a round of injection cases see, and what is recorded?"""

from __future__ import annotations

import json
from typing import Any

import yaml

from tests.lab import istio
from tests.lab.api import Api, ApiError, Object, key_of
from tests.lab.differential import inside
from tests.lab.differential.case import ROOT
from tests.lab.differential.inject_cases import SIZE, TAG, InjectCase, Surroundings

WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
INJECTOR = f"/api/v1/namespaces/{ROOT}/configmaps/istio-sidecar-injector"
BASE = "istio-sidecar-injector"
MARKER = "dif-marker"
RECORDED = (
    "/api/v1/namespaces",
    "/api/v1/limitranges",
    "/api/v1/resourcequotas",
    WEBHOOKS,
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
    "/apis/networking.k8s.io/v1/networkpolicies",
    *(
        f"/api/v1/namespaces/{ROOT}/{plural}"
        for plural in ("configmaps", "services", "pods", "serviceaccounts")
    ),
    f"/apis/discovery.k8s.io/v1/namespaces/{ROOT}/endpointslices",
    f"/apis/apps/v1/namespaces/{ROOT}/deployments",
)
PLURAL = {"LimitRange": "limitranges", "ResourceQuota": "resourcequotas"}


def _tag(name: str) -> Object:
    text = istio.istioctl("tag", "generate", name, "--revision", "default")
    made = [item for item in yaml.safe_load_all(text) if item]
    return next(item for item in made if item["kind"] == "MutatingWebhookConfiguration")


class InjectGround:
    """The lab's API server, with namespaces in which pods are asked for but never made."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self._istiod = istio.istiod_pods()[0]
        self._base = self.api.get(f"{WEBHOOKS}/{BASE}")
        self._config = self.api.get(INJECTOR)["data"]["config"]
        self._made: list[str] = []

    def prepare(self) -> None:
        """Make the namespaces, and wait for the accounts that pods in them need."""
        for number in range(1, SIZE):
            self._space(f"dif-inject-{number}")
        self._space("dif-inject-0")

    def _space(self, name: str) -> None:
        body: Object = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        if self.api.find(f"/api/v1/namespaces/{name}") is None:
            self.api.call("POST", "/api/v1/namespaces", body)
        path = f"/api/v1/namespaces/{name}/serviceaccounts/default"
        istio.until(f"account of {name}", 30, lambda: self.api.find(path) is not None)

    def restore(self) -> None:
        """Take away all that the run made."""
        self._webhooks("installed")
        self.api.merge(INJECTOR, {"data": {"config": self._config}})
        for number in range(SIZE):
            self.api.call("DELETE", f"/api/v1/namespaces/dif-inject-{number}")

    def surround(self, wanted: Surroundings, number: int) -> None:
        """Webhooks and ConfigMap of a round, in force when this returns."""
        self._webhooks(wanted.webhooks)
        config = yaml.safe_load(self._config)
        marker = f"{MARKER}-{number}"
        config |= {
            "policy": wanted.policy,
            "neverInjectSelector": list(wanted.never),
            "alwaysInjectSelector": list(wanted.always),
            "templates": {**config["templates"], marker: "{}"},
        }
        self.api.merge(INJECTOR, {"data": {"config": yaml.safe_dump(config)}})
        istio.until("istiod's injector", 90, lambda: marker in self._templates())

    def _templates(self) -> Any:
        text = inside.get(self._istiod, 15014, "/debug/inject")
        try:
            return json.loads(text)
        except ValueError:
            return ()

    def _webhooks(self, kind: str) -> None:
        """One of the ways in which webhooks are installed."""
        for item in self.api.items(WEBHOOKS):
            if item["metadata"]["name"].startswith("istio-revision-tag-"):
                self.api.call("DELETE", f"{WEBHOOKS}/{item['metadata']['name']}")
        match kind:
            case "by-default":
                option = "values.sidecarInjectorWebhook.enableNamespacesByDefault=true"
                self._put(
                    next(
                        item
                        for item in istio.manifest(option)
                        if item["kind"] == "MutatingWebhookConfiguration"
                        and item["metadata"]["name"] == BASE
                    )["webhooks"]
                )
            case "tag-is-default":
                self._put(self._base["webhooks"])
                istio.istioctl("tag", "set", "default", "--revision", "default", "--overwrite")
            case _:
                self._put(self._base["webhooks"])
                if kind == "tagged":
                    self.api.call("POST", WEBHOOKS, _tag(TAG))
        istio.until("certificates of the webhooks", 60, self._trusted)

    def _put(self, webhooks: list[Object]) -> None:
        there = self.api.get(f"{WEBHOOKS}/{BASE}")
        self.api.call("PUT", f"{WEBHOOKS}/{BASE}", {**there, "webhooks": webhooks})

    def _trusted(self) -> bool:
        return all(
            webhook["clientConfig"].get("caBundle")
            for item in self.api.items(WEBHOOKS)
            for webhook in item["webhooks"]
        )

    def lay_out(self, cases: list[InjectCase]) -> None:
        """Labels and bounds of the namespaces of a round."""
        while self._made:
            self.api.call("DELETE", self._made.pop())
        for case in cases:
            path = f"/api/v1/namespaces/{case.namespace}"
            if case.namespace.startswith("dif-"):
                there = self.api.get(path)["metadata"].get("labels") or {}
                gone = dict.fromkeys(k for k in there if k != "kubernetes.io/metadata.name")
                self.api.merge(path, {"metadata": {"labels": {**gone, **case.labels}}})
            for item in case.objects:
                plural = f"{path}/{PLURAL[item['kind']]}"
                self.api.call("POST", plural, item)
                self._made.append(f"{plural}/{item['metadata']['name']}")

    def asked(self, pod: Object) -> tuple[str, str]:
        """What the API server would make of a pod: injected, not-injected or refused; its words."""
        path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods?dryRun=All"
        try:
            made = self.api.call("POST", path, pod)
        except ApiError as error:
            return "refused", str(error)
        spec = made["spec"]
        names = {c["name"] for c in (*spec["containers"], *spec.get("initContainers", ()))}
        return ("injected" if "istio-proxy" in names else "not-injected"), ""

    def recorded(self) -> list[Object]:
        """What a bundle of this moment holds."""
        found: list[Object] = []
        for path in RECORDED:
            listed = self.api.get(path)
            kind = listed["kind"].removesuffix("List")
            found += [
                {**item, "apiVersion": listed["apiVersion"], "kind": kind}
                for item in listed["items"]
            ]
        return [item for item in found if not key_of(item)[1].startswith("kube-root-ca")]
