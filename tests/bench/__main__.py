"""What do time and memory cost on a large mesh? `make bench`, or `python -m tests.bench`.

Each measurement is a process of its own. `decode` opens the bundle, which decodes every object, and
does nothing else; `diagnose` judges the whole mesh, in one process and one thread.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.bench import mesh

GOAL_MB, GOAL_RATIO = 600, 2.5
_MEASURE = """
import gc, json, resource, sys, time
from pathlib import Path
from tests.bench.work import WORK
gc.disable()  # as the command line does
started = time.process_time()
said = WORK[sys.argv[1]](Path(sys.argv[2]))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"seconds": time.process_time() - started, "mb": peak, "said": said}))
"""


@dataclass(frozen=True, slots=True)
class Cost:
    seconds: float
    mb: float
    said: str


def measure(what: str, folder: Path, times: int) -> Cost:
    """The best of several runs, each in a fresh process."""
    found = []
    for _ in range(times):
        run = subprocess.run(
            [sys.executable, "-c", _MEASURE, what, str(folder)],
            capture_output=True,
            text=True,
            check=True,
        )
        found.append(Cost(**json.loads(run.stdout.splitlines()[-1])))
    return min(found, key=lambda c: c.seconds)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pods", type=int, default=mesh.PODS)
    parser.add_argument("--services", type=int, default=mesh.SERVICES)
    parser.add_argument("--times", type=int, default=2)
    parser.add_argument("--bundle", type=Path, help="keep the bundle here, or use the one there")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.bundle or Path(temporary) / "bundle"
        if not (folder / "bundle.yaml").is_file():
            mesh.write(folder, chosen.pods, chosen.services)
        size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) / 1e6
        print(f"{chosen.pods} pods, {chosen.services} services: {size:.0f} MB of JSON")
        costs = {what: measure(what, folder, chosen.times) for what in ("decode", "diagnose")}
    for what, cost in costs.items():
        print(f"{what:<10}{cost.seconds:6.2f} s  {cost.mb:5.0f} MB  {cost.said}")
    ratio = costs["diagnose"].seconds / costs["decode"].seconds
    mb = costs["diagnose"].mb
    print(f"ratio     {ratio:6.2f} x (goal {GOAL_RATIO}), {mb:.0f} MB (goal {GOAL_MB})")
    return int(ratio > GOAL_RATIO or mb > GOAL_MB)


if __name__ == "__main__":
    sys.exit(main())
