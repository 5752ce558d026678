"""What does a code-scanning view show? SARIF 2.1.0, objects as logical locations."""

import json
from typing import Any

from meshdoctor.model.report import Finding, Report

_LEVELS = {"outage": "error", "partial": "error", "degraded": "warning", "hygiene": "note"}
_SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)


def text(report: Report) -> str:
    """Confirmed causes and advice as results; undecided ones as notes of kind `open`."""
    shown = [f for f in report.findings if f.group != "folded"]
    rules = {f.code: _rule(f) for f in sorted(shown, key=lambda f: f.code)}
    order = {code: i for i, code in enumerate(rules)}
    run = {
        "tool": {
            "driver": {
                "name": "meshdoctor",
                "semanticVersion": report.tool_version,
                "rules": list(rules.values()),
            }
        },
        "invocations": [
            {"executionSuccessful": not report.partial, "exitCode": report.exit},
        ],
        "results": [_result(f, order[f.code]) for f in shown],
    }
    log = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(log, indent=2, ensure_ascii=False) + "\n"


def _rule(finding: Finding) -> dict[str, Any]:
    rule: dict[str, Any] = {
        "id": finding.code,
        "name": finding.name,
        "shortDescription": {"text": finding.title or finding.name},
        "defaultConfiguration": {"level": _LEVELS.get(finding.severity, "warning")},
    }
    return {**rule, "helpUri": finding.docs} if finding.docs else rule


def _result(finding: Finding, index: int) -> dict[str, Any]:
    open_ = finding.verdict == "undecided"
    needs = "; ".join(m.what for m in finding.missing)
    message = f"Undecided: needs {needs}" if open_ else finding.because or finding.title
    fix = f" Fix: {finding.fix}" if finding.fix and not open_ else ""
    places = finding.objects or [finding.subject]
    return {
        "ruleId": finding.code,
        "ruleIndex": index,
        "kind": "open" if open_ else "fail",
        "level": "none" if open_ else _LEVELS.get(finding.severity, "warning"),
        "message": {"text": message + fix},
        "locations": [
            {"logicalLocations": [{"fullyQualifiedName": p, "kind": "resource"} for p in places]}
        ],
        "partialFingerprints": {"meshdoctor/v1": finding.fingerprint},
        "properties": {"subject": finding.subject, "strength": finding.strength},
    }
