"""Plays lives of a market until so many steps are done; prints seed and commit where an invariant breaks.

    python -m tests.simulation --seed 1 --steps 1000000

Each life has some hundred steps and a seed of its own, counted up from the first; a failure is played again by
``--seed <that seed> --steps <steps of a life>``.
"""

import argparse
import subprocess
import sys
import time

from tests.simulation.world import simulate

LIFE_STEPS = 150


def main() -> int:
    """Play, and return 1 where an invariant broke."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=10 * LIFE_STEPS)
    arguments = parser.parse_args()
    done, seed, began = 0, arguments.seed, time.monotonic()
    while done < arguments.steps:
        steps = min(LIFE_STEPS, arguments.steps - done)
        try:
            life = simulate(seed, steps)
        except BaseException:
            sys.stderr.write(f"failed: seed {seed}, {steps} steps, commit {find_commit()}\n")
            raise
        done += steps
        trouble = ", ".join(f"{count} {name}" for name, count in sorted(life.counts.items()))
        events, rate = life.position, done / (time.monotonic() - began)
        sys.stdout.write(f"seed {seed}: {steps} steps, {events} events, {trouble}; {done} steps, {rate:.0f} a second\n")
        seed += 1
    return 0


def find_commit() -> str:
    """Return the commit that is played, for whoever plays it again."""
    described = ["git", "describe", "--always", "--dirty"]
    return subprocess.run(described, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
