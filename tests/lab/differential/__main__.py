"""python -m tests.lab differential: random cases against the real mesh and the offline verdicts."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence

from tests.lab import layout
from tests.lab.api import Api
from tests.lab.differential import authz_run, mtls_run
from tests.lab.differential.case import JUDGES, SPACES
from tests.lab.differential.ground import Ground
from tests.lab.differential.tally import FOLDER


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(prog="tests.lab differential", description=__doc__)
    parser.add_argument("--authz", type=int, default=500, metavar="N", help="authorization cases")
    parser.add_argument("--mtls", type=int, default=200, metavar="N", help="mutual TLS cases")
    parser.add_argument("--seed", type=int, default=1, help="the seed of all draws")
    parser.add_argument(
        "--case",
        metavar="SEED:INDEX",
        help="replay one authorization case; with --mtls 1 a mutual TLS one",
    )
    parser.add_argument("--keep", action="store_true", help="leave the workloads in the mesh")
    return parser.parse_args(argv)


def replay(ground: Ground, name: str, mtls: bool) -> int:
    """One case, in the company of its round; 1 where the answers differ."""
    seed, index = (int(part) for part in name.split(":"))
    size = len(SPACES) if mtls else len(JUDGES)
    first = index // size * size
    indexes = range(first, first + size)
    tally: authz_run.Requests | mtls_run.Calls
    tally = mtls_run.run(ground, seed, indexes) if mtls else authz_run.run(ground, seed, indexes)
    for one in tally.outcomes:
        if one.case.index == index:
            print(f"{'agrees' if one.agrees else 'DIFFERS'}\n{one}\n")
    return int(any(one.case.index == index for one in tally.disagreements))


def compare(ground: Ground, chosen: argparse.Namespace) -> int:
    """All cases asked for; 1 where any two answers differ."""
    shutil.rmtree(FOLDER / "disagreements", ignore_errors=True)
    tallies: list[authz_run.Requests | mtls_run.Calls] = []
    if chosen.authz:
        tallies.append(authz_run.run(ground, chosen.seed, range(chosen.authz)))
    if chosen.mtls:
        tallies.append(mtls_run.run(ground, chosen.seed, range(chosen.mtls)))
    for tally in tallies:
        for one in tally.disagreements:
            print(one, flush=True)
    for tally in tallies:
        print(f"seed {chosen.seed} {tally.summary()}")
    return int(any(tally.disagreements for tally in tallies))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the cases asked for; 1 where the two disagree."""
    chosen = parse(argv)
    os.environ["KUBECONFIG"] = str(layout.ADMIN_CONFIG)
    os.environ["PATH"] = f"{layout.BIN}:{os.environ['PATH']}"
    ground = Ground(Api())
    try:
        ground.prepare()
        if chosen.case:
            return replay(ground, chosen.case, mtls=chosen.mtls == 1)
        return compare(ground, chosen)
    finally:
        if chosen.keep:
            ground.rest()
        else:
            ground.restore()


if __name__ == "__main__":
    sys.exit(main())
