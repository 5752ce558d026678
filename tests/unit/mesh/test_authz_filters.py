"""Which EnvoyFilter has a proxy ask an authorizer, and whom."""

import pytest

from meshdoctor.mesh.authz_filters import asked, asking
from meshdoctor.model.istio import EnvoyFilter
from tests.unit.mesh.objects import one

OLD = """
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: ask, namespace: istio-system}
spec:
  configPatches:
  - applyTo: HTTP_FILTER
    match: {context: SIDECAR_INBOUND}
    patch:
      operation: INSERT_BEFORE
      value:
        name: envoy.ext_authz
        config: {grpc_service: {google_grpc: {target_uri: "127.0.0.1:9191"}}}
"""
NEW = """
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: ask, namespace: istio-system}
spec:
  configPatches:
  - applyTo: HTTP_FILTER
    patch:
      operation: INSERT_FIRST
      value:
        name: mine
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
          httpService: {serverUri: {uri: "http://opa.auth"}}
"""
SELECTS = OLD.replace("spec:", "spec:\n  workloadSelector: {labels: {app: web}}", 1)


@pytest.mark.parametrize(
    ("text", "namespace", "kind", "asks"),
    [
        (OLD, "shop", "sidecar", True),
        (NEW, "shop", "sidecar", True),
        (OLD, "shop", "gateway", False),
        (OLD.replace("SIDECAR_INBOUND", "GATEWAY"), "shop", "gateway", True),
        (OLD.replace("SIDECAR_INBOUND", "SIDECAR_OUTBOUND"), "shop", "sidecar", False),
        (OLD.replace("istio-system", "bank"), "shop", "sidecar", False),
        (OLD.replace("istio-system", "shop"), "shop", "sidecar", True),
        (SELECTS, "shop", "sidecar", False),
        (OLD.replace("ext_authz", "lua"), "shop", "sidecar", False),
        (OLD.replace("INSERT_BEFORE", "REMOVE"), "shop", "sidecar", False),
        (OLD.replace("HTTP_FILTER", "CLUSTER"), "shop", "sidecar", False),
    ],
)
def test_who_is_made_to_ask(text: str, namespace: str, kind: str, asks: bool) -> None:
    filters = [one(EnvoyFilter, text)]
    found = asking(filters, "istio-system", namespace, {"app": "pay"}, kind)
    assert (found is not None) is asks


def test_whom_it_asks() -> None:
    assert asked(one(EnvoyFilter, OLD)) == "127.0.0.1:9191"
    assert asked(one(EnvoyFilter, NEW)) == "http://opa.auth"
    assert asked(one(EnvoyFilter, OLD.replace("target_uri", "other"))) == ""
