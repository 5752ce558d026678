"""A VirtualService as proxies have it, with the rules of its delegates."""

from collections.abc import Sequence

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from meshdoctor.mesh.delegate_merge import merged
from meshdoctor.mesh.route_match import wants
from meshdoctor.model.istio import VirtualService
from tests.unit.mesh.objects import one

TO = "route: [{destination: {host: pay}}]"


def service(name: str, namespace: str, spec: str) -> VirtualService:
    text = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name, "namespace": namespace},
        "spec": yaml.safe_load(spec),
    }
    return one(VirtualService, yaml.safe_dump(text))


def served(root: str, *parts: str, default: Sequence[str] = ()) -> str:
    """What the merged rules ask of a request."""
    found = {("team", f"part{n}"): service(f"part{n}", "team", s) for n, s in enumerate(parts)}
    route = service("root", "shop", f"{{hosts: [pay], http: {root}}}")
    return wants(merged(route, lambda *key: found.get(key), default))


PART = "delegate: {name: part0, namespace: team}"


@pytest.mark.parametrize(
    ("root", "part", "rules"),
    [
        (f"[{{{TO}}}]", "{}", "rule 1: anything"),
        (f"[{{{PART}}}]", f"{{http: [{{{TO}}}]}}", "rule 1: anything"),
        (
            f"[{{match: [{{uri: {{prefix: /a}}}}], {PART}}}]",
            f"{{http: [{{{TO}}}]}}",
            "rule 1: uri prefix /a",
        ),
        (
            f"[{{{PART}}}]",
            f"{{http: [{{match: [{{uri: {{prefix: /a}}}}], {TO}}}]}}",
            "rule 1: uri prefix /a",
        ),
        (
            f"[{{match: [{{uri: {{prefix: /a}}, sourceNamespace: x}}], {PART}}}]",
            f"{{http: [{{match: [{{uri: {{prefix: /a/b}}, method: {{exact: GET}}}}], {TO}}}]}}",
            "rule 1: uri prefix /a/b, method exact GET, sourceNamespace x",
        ),
        (
            f"[{{match: [{{uri: {{prefix: /a}}}}], {PART}}}, {{{TO}}}]",
            f"{{http: [{{match: [{{uri: {{prefix: /b}}}}], {TO}}}]}}",
            "rule 1: anything",  # no part of what the root matches: left out
        ),
        (
            f"[{{match: [{{uri: {{prefix: /a}}}}, {{uri: {{prefix: /b}}}}], {PART}}}]",
            f"{{http: [{{match: [{{uri: {{prefix: /b/c}}}}], {TO}}}]}}",
            "rule 1: uri prefix /b/c",
        ),
        (
            f"[{{{PART}}}]",
            f"{{http: [{{match: [{{uri: {{exact: /a}}}}], {TO}}}, {{{TO}}}]}}",
            "rule 1: uri exact /a; rule 2: anything",
        ),
        (f"[{{{PART}}}]", f"{{hosts: [pay], http: [{{{TO}}}]}}", ""),  # no delegate
        (f"[{{{PART}}}]", f"{{exportTo: [team], http: [{{{TO}}}]}}", ""),
        (f"[{{{PART}}}]", f"{{http: [{{{PART}}}]}}", ""),  # delegates are not followed further
        ("[{delegate: {name: gone}}]", "{}", ""),
    ],
)
def test_what_proxies_get(root: str, part: str, rules: str) -> None:
    assert served(root, part) == rules


def test_what_a_delegate_does_not_say_its_root_says() -> None:
    root = service(
        "root",
        "shop",
        f"{{hosts: [pay], http: [{{{PART}, fault: {{abort: {{httpStatus: 503}}}},"
        " rewrite: {uri: /}}]}",
    )
    part = service("part0", "team", f"{{http: [{{{TO}, rewrite: {{uri: /own}}}}]}}")
    (rule,) = merged(root, lambda *_: part).spec.http
    assert rule.fault is not None and rule.rewrite is not None
    assert (rule.rewrite.uri, rule.delegate) == ("/own", None)


@given(st.lists(st.sampled_from([f"{{{TO}}}", f"{{match: [{{uri: {{prefix: /a}}}}], {TO}}}"])))
def test_without_delegates_nothing_changes(rules: list[str]) -> None:
    route = service("root", "shop", f"{{hosts: [pay], http: [{', '.join(rules)}]}}")
    assert merged(route, lambda *_: None) is route
