"""What does a program read? `meshdoctor.report/v1` as JSON."""

import msgspec

from meshdoctor.model.report import Report


def text(report: Report) -> str:
    """Indented JSON; fields in the order of the schema, map keys sorted."""
    packed = msgspec.json.encode(report, order="deterministic")
    return msgspec.json.format(packed, indent=2).decode() + "\n"
