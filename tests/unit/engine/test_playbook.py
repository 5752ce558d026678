"""A broken playbook dies when it is loaded, with file and line."""

from pathlib import Path

import pytest

from meshdoctor.engine.playbook import PlaybookError, load, load_all, playbooks_folder
from tests.unit.engine.sample import PLAYBOOK, PROBES, loaded, write


def test_the_sample_loads(tmp_path: Path) -> None:
    book = loaded(tmp_path)
    assert [r.cause.code for r in book.rules] == ["MD9001", "MD9002"]
    assert len(book.rules[0].paths) == 1
    assert set(book.facts) == {"pod.labelled", "pod.restarts", "pod.pod", "log.errors"}


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("title: A sample", "title: A sample\nfoo: 1", "unknown key 'foo'"),
        ("subject: workload", "subject: planet", "subject 'planet' is none of"),
        ("probe: sample-pod}", "probe: sample-pot}", "no probe is named 'sample-pot'"),
        ("{probe: sample-pod}", "{probe: sample-pod, on: moon}", "has no 'moon'"),
        ("{probe: sample-pod}", "{probe: sample-pod, on: mesh}", "judges a workload, not a mesh"),
        ("when: pod.labelled", "when: pod.labeled", "undeclared reference to 'pod.labeled'"),
        ("when: pod.labelled", "when: pod.restarts", "does not yield true or false"),
        ("pod.restarts > 0\n  then", "pod.restarts > 'x'\n  then", "no matching overload"),
        ("severity: outage", "severity: awful", "severity 'awful' is none of"),
        ("name: label-breaks-pod", "name: Label_Breaks", "lower-case words"),
        ("- cause: MD9002\n  name", "- cause: MD9001\n  name", "MD9001 is stated twice"),
        ("  cause: MD9002\ncauses", "  cause: MD9003\ncauses", "leads to MD9003"),
        ("cause: MD9001\n  name", "cause: X1\n  name", "a code is MD and four digits"),
        ("at_fault: [pod.pod, ", "at_fault: [pod.restarts, ", "is no reference fact"),
        ("is labelled and", "{pod.nope} and", "no fact is named 'pod.nope'"),
        ("fix: kubectl logs", "fix: [1]", "fix must be text"),
        ("at_fault: [pod.pod]\n", "at_fault: pod.pod\n", "must be a list"),
        ("  docs: https://example.com/\n- ", "- ", "docs is missing"),
        ("  verify: {run: kubectl logs, expect: no errors}\n", "", "verify: run is missing"),
        ("  log: {probe", "  Log-1: {probe", "must be lower_case"),
        ("- ask: Does the log complain?", "- ask: Does the log?\n  then: []", "unknown"),
        ("playbook: sample", "playbook: Sample One", "lower-case words"),
        ("title: A sample", "title: A sample\ntitle: Another", "duplicate key"),
        ("steps:", "steps: [\n", "did not find|expected"),
        ("title: A sample", "title: 5", "title must be text"),
    ],
)
def test_errors_name_file_and_line(tmp_path: Path, old: str, new: str, problem: str) -> None:
    assert old in PLAYBOOK
    text = PLAYBOOK.replace(old, new, 1)
    if problem == "unknown":
        text = PLAYBOOK.replace(
            "- ask: Does the log complain?\n  cause: MD9002", "- ask: Does the log complain?"
        )
        problem = "either `then` or `cause`"
    with pytest.raises(PlaybookError, match=problem) as caught:
        loaded(tmp_path, text)
    assert str(caught.value).startswith("playbooks/sample/playbook.yaml:")


def test_a_file_that_is_no_mapping_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(PlaybookError, match="must be a mapping"):
        load(write(tmp_path, "- 1"), PROBES)
    path = write(tmp_path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PlaybookError, match="codec"):
        load(path, PROBES)
    with pytest.raises(PlaybookError, match="No such file"):
        load(tmp_path / "none.yaml", PROBES)


def test_no_playbook_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PlaybookError, match="no playbook.yaml found"):
        load_all(tmp_path)


def test_the_checkout_is_preferred() -> None:
    assert (playbooks_folder().parent / "pyproject.toml").is_file()


def test_every_shipped_playbook_loads() -> None:
    if not any(playbooks_folder().rglob("playbook.yaml")):
        pytest.skip("no playbook yet")
    books = load_all(checked=True)
    codes = [r.cause.code for b in books for r in b.rules]
    assert len(codes) == len(set(codes))
