"""Do the generated pages say what playbooks and probes say, and does --check notice a change?"""

from pathlib import Path
from typing import Annotated

import pytest
import yaml
from msgspec import Struct

from meshdoctor.cli.docs import documents, stale, write
from meshdoctor.engine.playbook import Playbook, load
from meshdoctor.model.facts import OBSERVED, Fact, Ref
from meshdoctor.model.subjects import EdgeSubject, SubjectKind
from meshdoctor.probes.view import Probe, View, probe


class Tls(Struct, frozen=True, kw_only=True):
    """What both sides speak."""

    mode: Annotated[Fact[str], "STRICT | PERMISSIVE, in force on the port"]
    rule: Annotated[Fact[Ref], "the rule that decided"]
    refused: Annotated[Fact[int], "connections refused", OBSERVED]


@probe("tls", subject=SubjectKind.EDGE, reads=("PeerAuthentication", "Pod", "log"), costly=True)
def tls(view: View, edge: EdgeSubject) -> Tls:
    """What do both sides of an edge speak?"""
    raise NotImplementedError


PLAYBOOK = """
playbook: sample
title: A sample
subject: edge
steps:
  tls: {probe: tls}
tree:
- ask: Was the connection refused?
  when: "tls.refused > 0"
  cause: MD1001
causes:
- cause: MD1001
  name: plain-text-client
  title: Client speaks *plaintext*
  severity: outage
  when: "tls.mode == 'STRICT'"
  observed: "tls.refused > 3"
  at_fault: [tls.rule]
  explains: [MD1002]
  because: "{tls.rule} accepts <mutual TLS> only."
  fix: kubectl delete {tls.rule}
  by_hand: "Ask first."
  verify: {run: istioctl proxy-status, expect: SYNCED}
  docs: https://istio.io/
"""
TESTS = """
healthy: {tls: {mode: PERMISSIVE, rule: "", refused: 0}}
cases:
- {case: refused, facts: {tls: {mode: STRICT, refused: 4}}, expect: [MD1001 observed]}
- {case: strict but served, facts: {tls: {mode: STRICT}}, expect: []}
"""


@pytest.fixture
def books(tmp_path: Path) -> list[Playbook]:
    (tmp_path / "playbook.yaml").write_text(PLAYBOOK)
    (tmp_path / "tests.yaml").write_text(TESTS)
    probes: dict[str, Probe] = {"tls": tls}
    return [load(tmp_path / "playbook.yaml", probes)]


def test_a_cause_page_says_how_it_is_recognised_fixed_and_verified(books: list[Playbook]) -> None:
    page = documents(books, [tls])["causes/MD1001.md"]
    for text in (
        "# MD1001 plain-text-client",
        "Client speaks \\*plaintext\\*",
        "`{tls.rule}` accepts &#60;mutual TLS&#62; only.",
        "1. Was the connection refused?\n\n   `tls.refused > 0`",
        "tls.mode == 'STRICT'",
        "kubectl delete {tls.rule}",
        "By hand: Ask first.",
        "istioctl proxy-status",
        "Expected: SYNCED",
        "- MD1002",
        "## Near misses (this is not it)\n\n- strict but served",
        "<https://istio.io/>",
        "STRICT \\| PERMISSIVE",
    ):
        assert text in page


def test_the_index_links_every_cause(books: list[Playbook]) -> None:
    made = documents(books, [tls])
    assert "[MD1001](MD1001.md)" in made["causes/index.md"]
    assert "## Mutual TLS, TLS and certificates (1)" in made["causes/index.md"]


def test_facts_say_their_type_and_which_show_a_fault_happening(books: list[Playbook]) -> None:
    page = documents(books, [tls])["facts.md"]
    assert "| `refused` | int, observed | connections refused |" in page
    assert "| `rule` | reference | the rule that decided |" in page
    assert "reads `PeerAuthentication`, `Pod`, `log`. Runs only where" in page


def test_permissions_are_those_that_probes_declare(books: list[Playbook]) -> None:
    role = yaml.safe_load(documents(books, [tls])["rbac.yaml"])
    assert role["rules"] == [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]},
        {
            "apiGroups": ["security.istio.io"],
            "resources": ["peerauthentications"],
            "verbs": ["get", "list"],
        },
        {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
    ]


def test_a_changed_or_orphaned_page_is_noticed_and_written_again(
    books: list[Playbook], tmp_path: Path
) -> None:
    docs = tmp_path / "docs"
    made = documents(books, [tls])
    assert stale(docs, made) == sorted(made)
    write(docs, made)
    assert stale(docs, made) == []
    (docs / "causes" / "MD9999.md").write_text("gone")
    (docs / "facts.md").write_text("edited")
    assert stale(docs, made) == ["causes/MD9999.md", "facts.md"]
    write(docs, made)
    assert stale(docs, made) == []
