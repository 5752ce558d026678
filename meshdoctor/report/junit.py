"""What does a pipeline's test view show? A case for each cause: failed, skipped, passed."""

import re
from xml.etree import ElementTree as Xml

from meshdoctor.model.report import Finding, Report
from meshdoctor.report import wording

_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def text(report: Report) -> str:
    """JUnit XML: confirmed causes fail, undecided ones are skipped, those ruled out pass."""
    main, undecided = report.main, report.of("undecided")
    suite = Xml.Element(
        "testsuite",
        name=_clean(f"meshdoctor {report.scope}"),
        tests=str(len(main) + len(undecided) + len(report.ruled_out)),
        failures=str(len(main)),
        skipped=str(len(undecided)),
        errors="0",
        timestamp=report.observed_at.removesuffix("Z"),
        time=f"{wording.seconds(report) or 0:.3f}",
    )
    for finding in main:
        failure = Xml.SubElement(_case(suite, finding), "failure", type=finding.severity)
        failure.set("message", _clean(finding.because or finding.title))
        rows = wording.detail(finding, report)
        failure.text = _clean("\n".join(f"{label}: {body}" for label, body in rows))
    for finding in undecided:
        needs = "; ".join(wording.lacking(m) for m in finding.missing)
        Xml.SubElement(_case(suite, finding), "skipped", message=_clean(f"needs {needs}"))
    for out in report.ruled_out:
        name = f"{out.code} {out.name}"
        Xml.SubElement(suite, "testcase", classname="meshdoctor.ruled_out", name=_clean(name))
    root = Xml.Element("testsuites")
    root.append(suite)
    Xml.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + Xml.tostring(root, "unicode") + "\n"


def _case(suite: Xml.Element, finding: Finding) -> Xml.Element:
    name = f"{finding.code} {finding.name} on {finding.subject}"
    kind = f"meshdoctor.{finding.subject_kind}"
    return Xml.SubElement(suite, "testcase", classname=kind, name=_clean(name))


def _clean(value: str) -> str:
    return _NOT_XML.sub("", value)
