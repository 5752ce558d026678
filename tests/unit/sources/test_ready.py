"""Types are ready before threads share them."""

import subprocess
import sys

SCRIPT = """
import sys, threading
from meshdoctor.model.decode import item
from meshdoctor.model.kinds import BY_NAME
sys.setswitchinterval(1e-7)
kinds = list(BY_NAME.values())
gate = threading.Barrier(len(kinds))
raw = b'{"metadata": {"name": "a", "managedFields": [{"manager": "m"}]}, "spec": {}}'
def one(kind):
    gate.wait()
    item(raw, kind, "x")
threads = [threading.Thread(target=one, args=(kind,)) for kind in kinds]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""


def test_every_kind_at_once_for_the_first_time() -> None:
    """Half of such processes died before types were worked out one at a time."""
    for _ in range(4):
        done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr[-300:]
