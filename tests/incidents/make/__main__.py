"""Write the invented incidents again: `python -m tests.incidents.make`."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.incidents.make.demos import DEMOS
from tests.incidents.make.scenes import SCENES
from tests.incidents.make.world import World

TESTS = Path(__file__).parents[1]
SHIPPED = TESTS.parents[1] / "meshdoctor" / "demos"


def build(scenes: Sequence[Callable[[], World]], folder: Path) -> None:
    """Each scene's folder; the expected report in it stays."""
    for scene in scenes:
        world = scene()
        target = folder / world.name
        for part in ("logs", "istioctl", "metrics"):
            shutil.rmtree(target / part, ignore_errors=True)
        world.write(target)


if __name__ == "__main__":
    build(DEMOS, SHIPPED)
    build(SCENES, TESTS)
