"""Does what we ship work by itself: a wheel, unpacked elsewhere, with its playbooks and demos?

Dependencies come from this environment, so that nothing is downloaded.
"""

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment that holds the wheel and, beside it, the dependencies."""
    home = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", home, ROOT, cwd=home)
    (wheel,) = home.glob("meshdoctor-*.whl")
    venv.create(home / "env", with_pip=False)
    made = home / "env" / "bin" / "python"
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(run(made, "-c", where, cwd=home).strip())
    run(sys.executable, "-m", "zipfile", "-e", wheel, site, cwd=home)
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return made


def run(*command: str | Path, cwd: Path) -> str:
    words = [str(word) for word in command]
    env = {"PATH": "/usr/bin:/bin", "HOME": str(cwd), "LANG": "C.UTF-8"}
    done = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
def test_the_installed_package_is_the_wheel(python: Path, tmp_path: Path) -> None:
    where = run(python, "-c", "import meshdoctor; print(meshdoctor.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(python.parents[1])


@pytest.mark.slow
def test_playbooks_come_with_it(python: Path, tmp_path: Path) -> None:
    shipped = run(python, "-m", "meshdoctor", "playbook", "list", cwd=tmp_path)
    here = run(sys.executable, "-m", "meshdoctor", "playbook", "list", cwd=ROOT)
    assert shipped == here


@pytest.mark.slow
def test_the_demo_runs_from_it(python: Path, tmp_path: Path) -> None:
    out = run(python, "-m", "meshdoctor", "demo", cwd=tmp_path)
    assert out.count("=== meshdoctor demo") == 5
    assert "MD1001 outage" in out
