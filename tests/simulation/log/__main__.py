"""Plays runs of the log on the model of JetStream; prints seed and step where one is wrong.

python -m tests.simulation.log --seed 1 --seeds 10000         # on every core
python -m tests.simulation.log --seed 815 --step 400          # one run again, and what happened up to a step
python -m tests.simulation.log --planted                      # how soon each planted fault is found
"""

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter

from tests.simulation.log.planted import PLANTED
from tests.simulation.log.world import simulate

_CHUNK = 20
_PLANTED_RUNS_MAX = 3_000


def main():
    """Play, and return 1 where a run is wrong or a planted fault is not found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=1_000)
    parser.add_argument("--step", type=int)
    parser.add_argument("--planted", action="store_true")
    arguments = parser.parse_args()
    if arguments.planted:
        return find_planted(arguments.seed)
    if arguments.step is not None:
        return play_again(arguments.seed, arguments.step)
    return play(arguments.seed, arguments.seeds)


def play(first, runs):
    began, counts, steps, events, wrong = time.monotonic(), Counter(), 0, 0, 0
    with multiprocessing.Pool(os.cpu_count()) as pool:
        for outcome in pool.imap_unordered(simulate, range(first, first + runs), chunksize=_CHUNK):
            counts += outcome.counts
            steps += outcome.steps
            events += outcome.events
            if outcome.error is not None:
                wrong += 1
                sys.stderr.write(f"seed {outcome.seed} step {outcome.steps}: {outcome.error}\n")
    seconds = time.monotonic() - began
    told = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    sys.stdout.write(
        f"{runs} runs, {steps} steps, {events} events, {told}; {wrong} wrong; "
        f"{60 * runs / seconds:,.0f} runs and {60 * steps / seconds:,.0f} steps a minute\n"
    )
    return 1 if wrong else 0


def play_again(seed, step):
    outcome = simulate(seed, traced=True)
    for at, seconds, text in outcome.trace:
        if at <= step:
            sys.stdout.write(f"{at:>7} {seconds:>9.4f} s  {text}\n")
    sys.stdout.write(f"seed {seed} step {outcome.steps}: {outcome.error or 'nothing is wrong'}\n")
    return 1 if outcome.error else 0


def find_planted(first):
    missed = 0
    for name, planted in PLANTED.items():
        began = time.monotonic()
        outcome = find(planted, first, _PLANTED_RUNS_MAX)
        seconds = time.monotonic() - began
        missed += outcome is None
        told = "NOT FOUND" if outcome is None else f"seed {outcome.seed} step {outcome.steps}: {outcome.error[:150]}"
        sys.stdout.write(f"{name}: {seconds:.1f} s, {told}\n")
        sys.stdout.flush()
    return 1 if missed else 0


def find(planted, first, runs_max):
    """Return the first run that is wrong with a fault planted, None where none is."""
    with planted():
        for seed in range(first, first + runs_max):
            outcome = simulate(seed)
            if outcome.error is not None:
                return outcome
    return None


if __name__ == "__main__":
    sys.exit(main())
