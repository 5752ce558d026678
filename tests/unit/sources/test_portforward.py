"""Do the cases of portforward_cases.py hold?

They run in a process of their own: the package leaves the sockets of failed connections to the
garbage collector, and their warnings would be laid at the door of whichever test runs then.
"""

import subprocess
import sys
from pathlib import Path


def test_port_forward() -> None:
    cases = Path(__file__).with_name("portforward_cases.py")
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "filterwarnings="]
    done = subprocess.run([*argv, str(cases)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-4000:]
