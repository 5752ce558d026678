"""python -m tests.lab differential: random cases against the real mesh and the offline verdicts."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from typing import Any

from tests.lab import layout
from tests.lab.api import Api
from tests.lab.differential import authz_run, inject_run, mtls_run, whole_run
from tests.lab.differential.case import JUDGES, SPACES
from tests.lab.differential.ground import Ground
from tests.lab.differential.inject_cases import SIZE
from tests.lab.differential.inject_ground import InjectGround
from tests.lab.differential.tally import FOLDER, Tally


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(prog="tests.lab differential", description=__doc__)
    parser.add_argument("--authz", type=int, default=500, metavar="N", help="authorization cases")
    parser.add_argument("--mtls", type=int, default=200, metavar="N", help="mutual TLS cases")
    parser.add_argument("--inject", type=int, default=240, metavar="N", help="injection cases")
    parser.add_argument("--whole", type=int, default=120, metavar="N", help="whole diagnoses")
    parser.add_argument("--seed", type=int, default=1, help="the seed of all draws")
    parser.add_argument("--case", metavar="SEED:INDEX", help="replay one case, of this --kind")
    parser.add_argument("--kind", choices=sorted(SIZES), default="authz")
    parser.add_argument("--keep", action="store_true", help="leave the workloads in the mesh")
    return parser.parse_args(argv)


def replay(tally: Tally[Any], index: int) -> int:
    """Show one case, that was asked in the company of its round; 1 where the answers differ."""
    for one in tally.outcomes:
        if one.case.index == index:
            print(f"{'agrees' if one.agrees else 'DIFFERS'}\n{one}\n")
    return int(any(one.case.index == index for one in tally.disagreements))


def compared(tallies: Sequence[Tally[Any]], seed: int) -> int:
    """Print what was found; 1 where any two answers differ."""
    for tally in tallies:
        for one in tally.disagreements:
            print(one, flush=True)
    for tally in tallies:
        print(f"seed {seed} {tally.summary()}")
    return int(any(tally.disagreements for tally in tallies))


def injected(api: Api, seed: int, indexes: Sequence[int]) -> Tally[Any]:
    """The injection cases: they need no workloads."""
    ground = InjectGround(api)
    try:
        ground.prepare()
        return inject_run.run(ground, seed, indexes)
    finally:
        ground.restore()


def called(api: Api, chosen: argparse.Namespace, kinds: dict[str, Sequence[int]]) -> list[Any]:
    """The authorization and mutual TLS cases, among workloads of their own."""
    ground = Ground(api)
    try:
        ground.prepare()
        return [RUNS[kind](ground, chosen.seed, indexes) for kind, indexes in kinds.items()]
    finally:
        if chosen.keep:
            ground.rest()
        else:
            ground.restore()


RUNS: dict[str, Any] = {"authz": authz_run.run, "mtls": mtls_run.run, "whole": whole_run.run}
SIZES = {"authz": len(JUDGES), "mtls": len(SPACES), "inject": SIZE, "whole": len(SPACES)}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the cases asked for; 1 where the two disagree."""
    chosen = parse(argv)
    os.environ["KUBECONFIG"] = str(layout.ADMIN_CONFIG)
    os.environ["PATH"] = f"{layout.BIN}:{os.environ['PATH']}"
    wanted: dict[str, Sequence[int]]
    wanted = {kind: range(getattr(chosen, kind)) for kind in SIZES if getattr(chosen, kind)}
    index = -1
    if chosen.case:
        chosen.seed, index = (int(part) for part in chosen.case.split(":"))
        kind = chosen.kind
        first = index // SIZES[kind] * SIZES[kind]
        wanted = {kind: range(first, first + SIZES[kind])}
    else:
        shutil.rmtree(FOLDER / "disagreements", ignore_errors=True)
    api, tallies = Api(), []
    if "inject" in wanted:
        tallies.append(injected(api, chosen.seed, wanted.pop("inject")))
    if wanted:
        tallies += called(api, chosen, wanted)
    return replay(tallies[0], index) if chosen.case else compared(tallies, chosen.seed)


if __name__ == "__main__":
    sys.exit(main())
