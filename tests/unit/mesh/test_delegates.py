"""Rules whose delegate gives them nothing."""

import pytest

from meshdoctor.mesh.delegates import conflict, dropped
from meshdoctor.model.istio import VirtualService
from tests.unit.mesh.objects import one

HEAD = "kind: VirtualService\napiVersion: networking.istio.io/v1\nmetadata: {{name: {name}, namespace: {space}}}\n"  # noqa: E501
ROOT = (
    HEAD.format(name="root", space="edge")
    + """spec:
  hosts: [x.com]
  http: [{route: []}, {match: [{uri: {prefix: /up}}], delegate: {name: own, namespace: team}}]
"""
)


def part(spec: str) -> VirtualService:
    return one(VirtualService, HEAD.format(name="own", space="team") + f"spec: {spec}")


@pytest.mark.parametrize(
    ("spec", "default", "why"),
    [
        ("{http: [{match: [{uri: {prefix: /up/a}}]}]}", (), ""),
        ("{http: [{route: []}]}", (), ""),
        ("{http: [{match: [{uri: {prefix: /up}}]}, {match: [{uri: {exact: /}}]}]}", (), "rule 2"),
        ("{hosts: [y.com], http: [{route: []}]}", (), "no delegate"),
        ("{exportTo: ['.'], http: [{route: []}]}", (), "not exported to edge"),
        ("{exportTo: [edge], http: [{route: []}]}", (), ""),
        ("{http: [{route: []}]}", (".",), "not exported to edge"),
        ("{exportTo: ['*'], http: [{route: []}]}", (".",), ""),
        ("{http: [{delegate: {name: third}}]}", (), "another delegate"),
    ],
)
def test_dropped(spec: str, default: tuple[str, ...], why: str) -> None:
    root, found = one(VirtualService, ROOT), part(spec)
    lost = dropped(root, lambda *key: found if key == ("team", "own") else None, default)
    if not why:
        assert lost is None
        return
    assert lost is not None and lost.delegate is found
    assert (lost.rule, lost.name) == (2, "team/own")
    assert why in lost.why


@pytest.mark.parametrize(
    ("spec", "release", "lost"),
    [
        ("{http: [{route: []}]}", (1, 16), True),
        ("{http: [{route: []}]}", (1, 17), False),
        ("{http: [{route: []}]}", None, False),
        ("{exportTo: ['.'], http: [{route: []}]}", (1, 16), False),
    ],
)
def test_old_releases_do_not_read_the_default(
    spec: str, release: tuple[int, int] | None, lost: bool
) -> None:
    root = one(VirtualService, ROOT.replace("namespace: edge", "namespace: team"))
    found = dropped(root, lambda *_: part(spec), (".",), release)
    assert (found is not None and "exported to nobody" in found.why) is lost


def test_a_delegate_that_is_absent() -> None:
    lost = dropped(one(VirtualService, ROOT), lambda *_: None)
    assert lost is not None and (lost.delegate, lost.why) == (None, "does not exist")
    here = one(VirtualService, ROOT.replace(", namespace: team", ""))
    lost = dropped(here, lambda *_: None)
    assert lost is not None and lost.name == "edge/own", "the root's own namespace"
    assert dropped(part("{http: [{delegate: {name: x}}]}"), lambda *_: None) is None, "no root"


@pytest.mark.parametrize(
    ("root", "leaf", "expected"),
    [
        ("{uri: {prefix: /a}}", "{uri: {prefix: /a/b}}", False),
        ("{uri: {prefix: /a/b}}", "{uri: {prefix: /a}}", True),
        ("{uri: {exact: /a}}", "{uri: {prefix: /a}}", True),
        ("{uri: {exact: /a}}", "{uri: {exact: /a}}", False),
        ("{uri: {regex: /a.*}}", "{uri: {prefix: /b}}", False),  # nothing is known of it
        ("{uri: {prefix: /a}}", "{method: {exact: GET}}", False),
        ("{method: {exact: POST}}", "{method: {exact: GET}}", True),
        ("{headers: {v: {exact: a}}}", "{headers: {v: {exact: b}}}", True),
        ("{headers: {v: {exact: a}}}", "{headers: {w: {exact: b}}}", False),
        ("{queryParams: {v: {exact: a}}}", "{queryParams: {v: {exact: b}}}", True),
        ("{port: 80}", "{port: 443}", True),
        ("{port: 80}", "{}", False),
        ("{uri: {}}", "{uri: {prefix: /a}}", False),
    ],
)
def test_conflict(root: str, leaf: str, expected: bool) -> None:
    rules = part(f"{{http: [{{match: [{root}, {leaf}]}}]}}").spec.http[0].match
    assert conflict(rules[0], rules[1]) is expected


@pytest.mark.parametrize(
    ("named", "release", "why"),
    [
        ("", (1, 10), "without a namespace"),
        ("", (1, 11), ""),
        ("", None, ""),
        (", namespace: edge", (1, 10), ""),
    ],
)
def test_old_releases_want_the_namespace_of_a_delegate(
    named: str, release: tuple[int, int] | None, why: str
) -> None:
    root = one(VirtualService, ROOT.replace(", namespace: team", named))
    own = one(VirtualService, HEAD.format(name="own", space="edge") + "spec: {http: [{route: []}]}")
    found = dropped(root, lambda *_: own, release=release)
    assert (why in found.why and not found.misread) if found is not None else not why


@pytest.mark.parametrize(
    ("host", "release", "there", "lost"),
    [
        ("api", (1, 8), False, True),
        ("api", (1, 9), False, False),
        ("api", None, False, False),
        ("api", (1, 8), True, False),
        ("api.team.svc.cluster.local", (1, 8), False, False),
    ],
)
def test_old_releases_read_a_delegates_short_hosts_in_the_roots_namespace(
    host: str, release: tuple[int, int] | None, there: bool, lost: bool
) -> None:
    own = part(f"{{http: [{{route: [{{destination: {{host: {host}}}}}]}}]}}")
    root = one(VirtualService, ROOT)
    found = dropped(root, lambda *_: own, release=release, service=lambda *_: there)
    assert (found is not None) is lost
    if found is not None:
        assert found.misread and "api.edge" in found.why
    same = one(VirtualService, ROOT.replace("namespace: edge", "namespace: team"))
    assert dropped(same, lambda *_: own, release=release) is None
