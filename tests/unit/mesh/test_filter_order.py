# ruff: noqa: E501
"""Which EnvoyFilter waits for another one that istiod applies later, and which does not."""

import pytest

from meshdoctor.mesh.filter_order import too_early
from meshdoctor.model.istio import EnvoyFilter
from tests.unit.mesh.objects import many

MINE = """
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: mine, namespace: istio-system, creationTimestamp: "2026-01-01T00:00:00Z"}
spec:
  configPatches:
  - applyTo: HTTP_FILTER
    match: {context: GATEWAY, listener: {filterChain: {filter: {name: envoy.filters.network.http_connection_manager, subFilter: {name: istio.stats}}}}}
    patch: {operation: INSERT_BEFORE, value: {name: lua}}
"""
STATS = """
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: stats, namespace: istio-system, creationTimestamp: "2026-02-01T00:00:00Z"}
spec:
  configPatches:
  - applyTo: HTTP_FILTER
    match: {context: GATEWAY, proxy: {proxyVersion: '^1\\.12.*'}}
    patch: {operation: INSERT_BEFORE, value: {name: istio.stats}}
"""
ELDER = STATS.replace("name: stats,", "name: elder,").replace("2026-02", "2025-12")


@pytest.mark.parametrize(
    ("objects", "adds"),
    [
        (MINE + STATS, "stats"),
        (MINE, ""),
        (MINE + STATS.replace("2026-02", "2025-12"), ""),
        (MINE + STATS + ELDER, ""),
        (MINE + STATS + ELDER.replace("1\\.12", "1\\.11"), "stats"),
        (MINE.replace("spec:\n", "spec:\n  priority: 10\n") + STATS, ""),
        (MINE + STATS.replace("namespace: istio-system", "namespace: shop"), ""),
        (MINE + STATS.replace("context: GATEWAY", "context: SIDECAR_INBOUND"), ""),
        (MINE.replace("INSERT_BEFORE", "INSERT_FIRST") + STATS, ""),
        (MINE.replace("istio.stats", "envoy.filters.http.router") + STATS, ""),
    ],
    ids=[
        "younger",
        "nobody adds it",
        "older",
        "an older one adds it too",
        "the older one is of another release",
        "priority",
        "another namespace",
        "another context",
        "no relative place",
        "what istiod makes",
    ],
)
def test_who_comes_too_early(objects: str, adds: str) -> None:
    found = many(EnvoyFilter, objects)
    early = too_early(found[0], found, frozenset({"router"}), ["1.12.2"])
    assert (early.adds.name if early is not None else "") == adds
