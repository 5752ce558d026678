"""Is what is drawn right, safe and readable in every format?

`MESHDOCTOR_UPDATE_GOLDEN=1 pytest tests/unit/report` writes the golden files again.
"""

import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as Xml

import jsonschema
import msgspec
import pytest
import yaml
from markdown_it import MarkdownIt

from meshdoctor.model.report import Report
from meshdoctor.report import schema
from meshdoctor.report.render import NAMES, render
from tests.unit.report import reports

GOLDEN = Path(__file__).parent / "golden"
VIEWS = {
    "80": {"width": 80},
    "120": {"width": 120},
    "verbose": {"width": 80, "verbose": True, "trail": True},
}
_ESCAPES = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def check(name: str, text: str) -> None:
    path = GOLDEN / name
    if os.environ.get("MESHDOCTOR_UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize("view", sorted(VIEWS))
@pytest.mark.parametrize("name", sorted(reports.ALL))
def test_the_terminal_shows(name: str, view: str) -> None:
    text = render(reports.ALL[name], "text", **VIEWS[view])  # type: ignore[arg-type]
    check(f"{name}.{view}.txt", text)


@pytest.mark.parametrize("format", ["html", "junit", "markdown", "plain", "prometheus", "sarif"])
@pytest.mark.parametrize("name", sorted(reports.ALL))
def test_other_text_formats_show(name: str, format: str) -> None:
    check(f"{name}.{format}.txt", render(reports.ALL[name], format))


@pytest.mark.parametrize("width", [60, 80, 120, 200])
@pytest.mark.parametrize("name", sorted(reports.ALL))
def test_no_prose_is_wider_than_the_terminal(name: str, width: int) -> None:
    for line in render(reports.ALL[name], "text", width=width, verbose=True).splitlines():
        command = re.search(r"kubectl|istioctl|curl|meshdoctor|https:|'\[|--", line)
        assert len(line) <= width or command, line


def test_a_single_finding_fits_the_first_screen() -> None:
    assert len(render(reports.ONE_CAUSE, "text").splitlines()) <= 32


@pytest.mark.parametrize("format", NAMES)
def test_hostile_text_reaches_no_terminal(format: str) -> None:
    text = render(reports.HOSTILE, format, verbose=True, trail=True)
    assert not _ESCAPES.search(text)


def test_rich_markup_in_evidence_is_shown_not_obeyed() -> None:
    assert "[red]`rm -rf`" in render(reports.HOSTILE, "text", width=200)


def test_markdown_in_evidence_is_shown_not_obeyed() -> None:
    text = render(reports.HOSTILE, "markdown")
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    inline = [child for token in tokens for child in token.children or ()]
    links = {child.attrs["href"] for child in inline if child.type == "link_open"}
    assert links == {reports.DR_OFF.docs}
    assert not [child for child in inline if child.type in ("html_inline", "em_open")]
    shown = "".join(child.content for child in inline)
    assert shown.count("[x](http://evil)") >= 10
    assert not re.search(r"https?://(?!istio.io)", re.sub(r"`[^`]*`", "", _unfenced(text)))


def _unfenced(text: str) -> str:
    return re.sub(r"^(`{3,}).*?^\1$", "", text, flags=re.S | re.M)


def test_colour_only_where_asked_and_it_says_nothing_new() -> None:
    coloured = render(reports.BLIND, "text", color=True)
    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == render(reports.BLIND, "text")


@pytest.mark.parametrize("name", sorted(reports.ALL))
def test_json_is_what_the_schema_promises(name: str) -> None:
    text = render(reports.ALL[name], "json")
    jsonschema.validate(json.loads(text), schema.schema())
    assert yaml.safe_load(render(reports.ALL[name], "yaml")) == json.loads(text)


def test_json_reads_back_as_the_same_report() -> None:
    text = render(reports.ONE_CAUSE, "json")
    assert msgspec.json.decode(text, type=Report) == reports.ONE_CAUSE


def test_the_schema_refuses_another_version() -> None:
    report = json.loads(render(reports.ONE_CAUSE, "json")) | {"schema": "meshdoctor.report/v2"}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(report, schema.schema())


def test_the_schema_lets_later_versions_add_fields() -> None:
    report = json.loads(render(reports.ONE_CAUSE, "json")) | {"added": 1}
    jsonschema.validate(report, schema.schema())


def test_formats_are_sorted_and_an_unknown_one_is_an_error() -> None:
    assert list(NAMES) == sorted(NAMES)
    with pytest.raises(KeyError):
        render(reports.HEALTHY, "docx")


def test_the_committed_schema_is_current() -> None:
    path = Path(__file__).parents[3] / "docs" / "report.schema.json"
    assert path.read_text() == schema.text(), "run: python -m meshdoctor.cli.docs"


@pytest.mark.parametrize("name", sorted(reports.ALL))
def test_html_holds_no_markup_of_the_evidence_and_loads_nothing(name: str) -> None:
    seen: list[tuple[str, dict[str, str | None]]] = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            seen.append((tag, dict(attrs)))

    Tags().feed(render(reports.ALL[name], "html"))
    assert "b" not in {tag for tag, _ in seen}
    assert not [attrs for _, attrs in seen if "src" in attrs or "onclick" in attrs]
    assert {attrs["href"] for tag, attrs in seen if tag == "a"} <= {reports.DR_OFF.docs}


@pytest.mark.parametrize("name", sorted(reports.ALL))
def test_junit_counts_what_it_lists(name: str) -> None:
    suite = Xml.fromstring(render(reports.ALL[name], "junit")).find("testsuite")
    assert suite is not None
    assert int(suite.get("tests", "")) == len(suite.findall("testcase"))
    assert int(suite.get("failures", "")) == len(suite.findall("testcase/failure"))
    assert int(suite.get("skipped", "")) == len(suite.findall("testcase/skipped"))


@pytest.mark.parametrize("name", sorted(reports.ALL))
def test_sarif_results_name_a_rule_of_the_run(name: str) -> None:
    (run,) = json.loads(render(reports.ALL[name], "sarif"))["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert all(rules[r["ruleIndex"]] == r["ruleId"] for r in run["results"])
    assert all(r["partialFingerprints"]["meshdoctor/v1"] for r in run["results"])


@pytest.mark.parametrize("name", sorted(reports.ALL))
def test_prometheus_samples_are_unique_and_well_formed(name: str) -> None:
    lines = render(reports.ALL[name], "prometheus").splitlines()
    samples = [line for line in lines if not line.startswith("#")]
    shape = re.compile(r'meshdoctor_[a-z_]+\{([a-z]+="([^"\\\n]|\\.)*",?)+\} [0-9.e+-]+')
    assert all(shape.fullmatch(sample) for sample in samples)
    assert len(set(samples)) == len(samples)
