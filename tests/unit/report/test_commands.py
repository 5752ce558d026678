"""Does a folded command still run as the one it was?"""

import shlex
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshdoctor.report.commands import fold, verbatim

PATCH = """kubectl -n shop patch dr pay --type=json -p '[{"op":"remove","path":"/spec/tls"}]'"""


def test_a_short_command_stays_whole() -> None:
    assert fold("kubectl get pods", 60) == ["kubectl get pods"]


def test_a_long_one_breaks_outside_quotes_and_keeps_flag_and_value_together() -> None:
    assert fold(PATCH, 50) == [
        "kubectl -n shop patch dr pay --type=json \\",
        """  -p '[{"op":"remove","path":"/spec/tls"}]'""",
    ]


def test_a_word_longer_than_the_line_stays_whole() -> None:
    assert "'" + "x" * 90 + "'" in fold("echo a b c d '" + "x" * 90 + "'", 40)[-1]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("kubectl apply -f - <<EOF\nkind: X\nEOF", True),
        ("kubectl patch -p '{\n}'", True),
        ("first\nsecond", False),
        ("one line", False),
    ],
)
def test_which_commands_must_start_in_the_first_column(command: str, expected: bool) -> None:
    assert verbatim(command) is expected


_WORD = st.text(alphabet="ab'\"{} \\-=$", min_size=1, max_size=12).map(shlex.quote)


@given(st.lists(_WORD, min_size=1, max_size=12), st.integers(10, 60))
def test_a_shell_reads_the_folded_command_as_the_same_words(parts: list[str], width: int) -> None:
    command = " ".join(parts)
    assert shlex.split("\n".join(fold(command, width)).replace("\\\n", "")) == shlex.split(command)


def test_sh_itself_agrees() -> None:
    folded = "\n".join(fold(PATCH.replace("kubectl", "printf '%s\\n'"), 40))
    run = subprocess.run(["sh", "-c", folded], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-2:] == ["-p", '[{"op":"remove","path":"/spec/tls"}]']
