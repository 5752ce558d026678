"""Does an installed meshdoctor bring its playbooks and demos? A wheel in a clean venv, an editable
install, and a help that loads almost nothing."""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "tests/incidents/deny-policy-matched"
ENV = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}


def run(*argv: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        [str(a) for a in argv], cwd=cwd, env=ENV, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def clean_venv(folder: Path) -> Path:
    venv.create(folder, with_pip=True)
    return folder / "bin"


def pip(bin_: Path, *argv: str | Path, cwd: Path) -> None:
    run(
        bin_ / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check", *argv, cwd=cwd
    )


def proves_itself(bin_: Path, cwd: Path) -> None:
    listing = run(bin_ / "meshdoctor", "playbook", "list", cwd=cwd)
    assert "MD1001  outage   client-tls-off-server-strict" in listing
    assert "Usage: meshdoctor" in run(bin_ / "kubectl-meshdoctor", "--help", cwd=cwd)
    report = json.loads(
        run(bin_ / "meshdoctor", "demo", "destination-rule-off", "-o", "json", cwd=cwd).partition(
            "\n\n"
        )[2]
    )
    assert report["findings"][0]["code"] == "MD1001"


@pytest.mark.slow
def test_a_wheel_in_a_clean_venv(tmp_path: Path) -> None:
    run(sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path / "dist", ROOT, cwd=tmp_path)
    (wheel,) = (tmp_path / "dist").glob("meshdoctor-*.whl")
    bin_ = clean_venv(tmp_path / "venv")
    pip(bin_, wheel, cwd=tmp_path)
    proves_itself(bin_, tmp_path)


@pytest.mark.slow
def test_an_editable_install_reads_the_checkout(tmp_path: Path) -> None:
    bin_ = clean_venv(tmp_path / "venv")
    pip(bin_, "--editable", ROOT, cwd=tmp_path)
    proves_itself(bin_, tmp_path)
    where = run(
        bin_ / "python",
        "-c",
        "from meshdoctor.engine.playbook import playbooks_folder as f; print(f())",
        cwd=tmp_path,
    )
    assert Path(where.strip()) == ROOT / "playbooks"


def test_help_loads_neither_kubernetes_nor_the_engine() -> None:
    code = (
        "import sys; from meshdoctor.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print([m for m in ('kubernetes','rich','cel_expr_python','yaml') if m in sys.modules])"
    )
    out = run(sys.executable, "-c", code, cwd=ROOT)
    assert out.splitlines()[-1] == "[]"


def test_a_json_report_loads_no_other_format() -> None:
    code = (
        "import sys; from meshdoctor.cli.main import main\n"
        f"try: main(['diagnose', '-b', {str(EXAMPLE)!r}, '-o', 'json={os.devnull}'])\n"
        "except SystemExit: pass\n"
        "print([m for m in ('rich', 'tabulate', 'meshdoctor.report.html') if m in sys.modules])"
    )
    out = run(sys.executable, "-c", code, cwd=ROOT)
    assert out.splitlines()[-1] == "[]"
