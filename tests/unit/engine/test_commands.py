"""What does a printed command say where a value was not seen, or is not what it should be?"""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshdoctor.engine.collect import FactSet
from meshdoctor.engine.commands import completed_by_hand, fill_command
from meshdoctor.engine.tree import fill
from meshdoctor.model.evidence import Reason, Unavailable
from meshdoctor.model.facts import Ref

QUOTED = "kubectl patch x -p '{rule.patch}' -o yaml"


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ('[{"op":"remove","path":"/spec/tls"}]', '[{"op":"remove","path":"/spec/tls"}]'),
        ("$(reboot) `reboot`", "$(reboot) `reboot`"),
        ("x' ; reboot '", "<PATCH>"),
        ("two\nlines", "<PATCH>"),
        ("", "<PATCH>"),
    ],
)
def test_what_fills_single_quotes_may_be_anything_that_cannot_leave_them(
    text: str, printed: str
) -> None:
    facts = FactSet(bound={"rule.patch": text})
    assert fill_command(QUOTED, facts)[0] == f"kubectl patch x -p '{printed}' -o yaml"


def test_between_two_quoted_words_a_value_is_not_quoted() -> None:
    facts = FactSet(bound={"rule.patch": "$(reboot)"})
    assert fill_command("x 'a'{rule.patch}'b'", facts)[0] == "x 'a'<PATCH>'b'"


PATCH = "kubectl -n {rule.namespace} delete pod {rule.name}"


@pytest.mark.parametrize(
    ("bound", "command", "holes"),
    [
        ({"rule.namespace": "shop", "rule.name": "web-1"}, "kubectl -n shop delete pod web-1", ()),
        (
            {"rule.namespace": "shop", "rule.name": ""},
            "kubectl -n shop delete pod <NAME>",
            ("<NAME>",),
        ),
        ({"rule.namespace": "shop"}, "kubectl -n shop delete pod <NAME>", ("<NAME>",)),
        (
            {"rule.namespace": "shop", "rule.name": "x;reboot"},
            "kubectl -n shop delete pod <NAME>",
            ("<NAME>",),
        ),
        ({}, "kubectl -n <NAMESPACE> delete pod <NAME>", ("<NAMESPACE>", "<NAME>")),
    ],
)
def test_a_value_that_cannot_stand_in_a_command_is_left_to_a_person(
    bound: dict[str, str], command: str, holes: tuple[str, ...]
) -> None:
    why = Unavailable(what="pods", reason=Reason.FORBIDDEN)
    facts = FactSet(bound=dict(bound), unavailable={"rule.name": why})

    assert fill_command(PATCH, facts) == (command, holes)


def test_a_json_pointer_a_host_and_a_selector_stand_as_they_are() -> None:
    facts = FactSet(
        bound={"a.path": "/spec/tls~1x/0", "a.host": "*.shop.example:443", "a.label": "app=web,v=1"}
    )

    assert fill_command("{a.path} {a.host} {a.label}", facts) == (
        "/spec/tls~1x/0 *.shop.example:443 app=web,v=1",
        (),
    )


@given(st.text())
def test_no_value_brings_shell_syntax_into_a_command(value: str) -> None:
    text, _ = fill_command("kubectl get {a.name} -o yaml", FactSet(bound={"a.name": value}))

    assert re.fullmatch(r"kubectl get (<NAME>|[A-Za-z0-9._:/@=,+%*~^-]+) -o yaml", text)


def test_by_hand_says_what_is_to_be_filled_in() -> None:
    assert completed_by_hand("", ()) == ""
    assert completed_by_hand("", ("<NAME>",)) == "Not seen, fill in: <NAME>."
    assert (
        completed_by_hand("Ask its owner.", ("<A>", "<B>"))
        == "Ask its owner. Not seen, fill in: <A>, <B>."
    )


def test_an_object_of_the_whole_cluster_reads_as_kubectl_takes_it() -> None:
    facts = FactSet(bound={"hook.ref": Ref("ValidatingWebhookConfiguration//guard")})
    assert fill_command("kubectl get {hook.ref}", facts)[0].endswith("Configuration/guard")
    facts = FactSet(bound={"hook.ref": Ref("Service/shop/guard")})
    assert fill("{hook.ref}.", facts) == "Service/shop/guard."


@pytest.mark.parametrize(
    ("template", "reads"),
    [
        ("It says: {log.text}{log.more}.", "It says: timeout."),
        ("It says: {log.more}.", "It says: (not seen)."),
        ("on inbound|{log.more}||", "on inbound|(not seen)||"),
        ("because{log.more}, {log.text}", "because, timeout"),
    ],
)
def test_what_only_adds_to_a_word_is_left_out_when_it_is_not_seen(
    template: str, reads: str
) -> None:
    assert fill(template, FactSet(bound={"log.text": "timeout"})) == reads
