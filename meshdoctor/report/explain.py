"""Why this verdict? The trail of one finding: each question, its condition, the values read."""

from dataclasses import dataclass

from meshdoctor.model.report import Finding, TrailStep

_HOLDS = {True: "yes", False: "no", None: "unknown"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line; a command is never wrapped."""

    text: str
    indent: int = 0
    command: bool = False


def trail(finding: Finding) -> list[Line]:
    """The lines that explain a verdict, in the order in which the questions were asked."""
    verdict = finding.verdict.replace("_", " ")
    lines = [Line(text=f"Why {finding.code} is {verdict} on {finding.subject}")]
    for step in finding.trail:
        lines += _step(step)
    for missing in finding.missing:
        why = missing.reason.replace("_", " ")
        lines.append(Line(text=f"missing  {missing.what} ({why})", indent=3))
    return lines


def _step(step: TrailStep) -> list[Line]:
    lines = [Line(text=f"{_HOLDS[step.holds]:<8} {step.ask}", indent=3)]
    if step.condition:
        lines.append(Line(text=step.condition, indent=12))
    lines += [
        Line(text=f"{name} = {value(found)}", indent=12) for name, found in step.values.items()
    ]
    lines += [Line(text=f"$ {run}", indent=12, command=True) for run in step.commands]
    return lines


def value(found: str | int | bool | None) -> str:
    """A fact's value as a condition would write it; `unavailable` when it could not be read."""
    match found:
        case None:
            return "unavailable"
        case bool():
            return "true" if found else "false"
        case str():
            return f"'{found}'"
        case _:
            return str(found)
