"""Which JSON may a consumer rely on? The JSON Schema of `meshdoctor.report/v1`."""

import json
from inspect import cleandoc
from typing import Any

import msgspec

from meshdoctor.model.cause import Exit, Severity, Strength, Verdict
from meshdoctor.model.report import SCHEMA, Report

GROUPS = ("main", "folded", "also_noticed", "undecided")


def schema() -> dict[str, Any]:
    """The schema; fields that are not in it are allowed, because later versions add some."""
    made = msgspec.json.schema(Report)
    defs = made["$defs"]
    for one in defs.values():
        if "description" in one:  # releases of msgspec differ in how they indent it
            one["description"] = cleandoc(one["description"])
    defs["Report"]["properties"]["schema"] = {"const": SCHEMA}
    defs["Report"]["properties"]["exit"] = {"enum": [int(e) for e in Exit]}
    finding = defs["Finding"]["properties"]
    finding["group"] = {"enum": list(GROUPS)}
    for field, values in (("verdict", Verdict), ("strength", Strength), ("severity", Severity)):
        finding[field] = {"enum": [str(v) for v in values]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": SCHEMA,
        **made,
    }


def text() -> str:
    """The schema as it is committed at docs/report.schema.json."""
    return json.dumps(schema(), indent=2) + "\n"
