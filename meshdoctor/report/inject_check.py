"""How does an injection check read, as text and as JSON?"""

import json
from collections.abc import Sequence
from dataclasses import asdict

from meshdoctor.model.inject_check import Checked, Outcome

SCHEMA = "meshdoctor.inject-check/v1"
WORDS = {
    Outcome.INJECTED: "would be injected",
    Outcome.NOT_INJECTED: "would not be injected",
    Outcome.REFUSED: "would be refused",
    Outcome.UNDECIDED: "undecided",
}


def as_text(found: Sequence[Checked]) -> str:
    """A block of lines per workload: outcome first, then why, then what refuses."""
    return "\n".join(_block(one) for one in found)


def _block(one: Checked) -> str:
    rows = [("because", one.because)]
    if one.webhook:
        rows.append(("webhook", f"{one.webhook} {one.entry}".strip()))
        rows.append(("revision", one.revision))
    rows += [("refused", text) for text in one.refusals]
    rows += [("not asked", text) for text in one.passed_over]
    rows += [("not seen", text) for text in one.not_seen]
    rows += [("not judged", text) for text in one.not_judged]
    if one.has_sidecar is not None:
        rows.append(("pods now", "have a sidecar" if one.has_sidecar else "lack a sidecar"))
    lines = [f"{one.workload}  {WORDS[one.outcome]}"]
    return "\n".join([*lines, *(f"   {label:<10} {text}" for label, text in rows)]) + "\n"


def as_json(found: Sequence[Checked]) -> str:
    """The same for programs; fields are only ever added."""
    document = {"schema": SCHEMA, "workloads": [asdict(one) for one in found]}
    return json.dumps(document, indent=2, sort_keys=True) + "\n"
