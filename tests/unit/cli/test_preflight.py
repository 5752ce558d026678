"""What preflight prints without a cluster."""

from pathlib import Path

from click.testing import CliRunner

from meshdoctor.cli.preflight import preflight

ROLE = Path(__file__).parents[3] / "docs" / "rbac.yaml"


def test_the_role_that_it_prints_is_the_one_of_the_docs() -> None:
    printed = CliRunner().invoke(preflight, ["--rbac"])
    assert printed.exit_code == 0
    assert printed.output == ROLE.read_text()
