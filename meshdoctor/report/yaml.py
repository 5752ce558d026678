"""What does a person paste into a file? The fields of the JSON report, as YAML."""

import msgspec
import yaml

from meshdoctor.model.report import Report


def text(report: Report) -> str:
    """Fields in the order of the schema; every text that YAML could misread is quoted."""
    return yaml.safe_dump(
        msgspec.to_builtins(report, order="deterministic"),
        sort_keys=False,
        allow_unicode=True,
        width=100,
    )
