"""What does a timer's run leave for alerts? Prometheus text, for a textfile collector."""

from collections.abc import Iterable
from datetime import datetime

from meshdoctor.model.report import Finding, Report
from meshdoctor.report import wording


def text(report: Report) -> str:
    """Gauges of one run; the labels of a finding are its code, name, severity and subject."""
    scope = {"scope": report.scope}
    lines = [
        *_metric("finding", "A confirmed cause, 1 each.", map(_finding, report.main)),
        *_metric("undecided", "A cause that lacks evidence, 1 each.", _open(report)),
        *_metric("ruled_out", "Causes ruled out.", [(scope, len(report.ruled_out))]),
        *_metric("unseen", "Reads that failed.", [(scope, len(report.unseen))]),
        *_metric("exit_status", "Exit status of the run.", [(scope, report.exit)]),
        *_metric("run_seconds", "Duration.", [(scope, wording.seconds(report) or 0)]),
    ]
    at = _epoch(report.observed_at)
    if at is not None:
        lines += _metric(
            "observed_timestamp_seconds", "Of when the evidence speaks.", [(scope, at)]
        )
    return "\n".join(lines) + "\n"


Labels = dict[str, str]


def _metric(name: str, doc: str, rows: Iterable[tuple[Labels, float]]) -> list[str]:
    full = f"meshdoctor_{name}"
    samples: dict[str, float] = {}
    for labels, value in rows:
        shown = ",".join(f'{k}="{_escaped(v)}"' for k, v in sorted(labels.items()))
        samples.setdefault(f"{full}{{{shown}}}", value)
    return [
        f"# HELP {full} {doc}",
        f"# TYPE {full} gauge",
        *(
            f"{sample} {value:g}" if value < 1e6 else f"{sample} {value:.0f}"
            for sample, value in samples.items()
        ),
    ]


def _finding(finding: Finding) -> tuple[Labels, float]:
    return {
        "code": finding.code,
        "name": finding.name,
        "severity": finding.severity,
        "strength": finding.strength,
        "subject": finding.subject,
    }, 1


def _open(report: Report) -> list[tuple[Labels, float]]:
    return [
        ({"code": f.code, "name": f.name, "subject": f.subject}, 1) for f in report.of("undecided")
    ]


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _epoch(moment: str) -> float | None:
    try:
        return datetime.fromisoformat(moment).timestamp()
    except ValueError:
        return None
