"""Plays every property once with one mutant in place, and prints the numbers of those that failed.

    python -m tests.invariants.play 4        with the fault that invariant 4 must catch; 0 for none

A process of its own, since the mutant has to be there when its module is imported. Examples are fewer than in the
properties' own runs, and the same every time: what is asked here is whether a fault is seen.
"""

import functools
import gc
import importlib
import json
import sys

import hypothesis

from tests.invariants.corpus import INVARIANTS, Invariant
from tests.invariants.mutating import Mutating

EXAMPLES_OWN, EXAMPLES_OTHER = 150, 10
REAL = hypothesis.settings


def limit_examples(examples: int) -> None:
    """Let every property that is imported from now on try so many examples at most, the same every time."""
    REAL.register_profile(
        "mutants", deadline=None, derandomize=True, database=None, phases=(hypothesis.Phase.generate,),
        max_examples=examples, suppress_health_check=list(hypothesis.HealthCheck),
    )  # fmt: skip
    REAL.load_profile("mutants")

    @functools.wraps(REAL, updated=())
    def limited(*arguments, **options):
        options["max_examples"] = min(options.get("max_examples", examples), examples)
        return REAL(*arguments, **options)

    limited.default = REAL.default
    hypothesis.settings = limited


def holds(invariant: Invariant) -> bool:
    """Whether the property of an invariant holds."""
    try:
        getattr(importlib.import_module(invariant.module), invariant.function)(*invariant.arguments)
    except Exception as error:  # noqa: BLE001 - a fault may break a property in any way
        sys.stderr.write(f"{invariant.test}: {type(error).__name__}: {error}\n")
        return False
    return True


def main(number: int) -> None:
    """Play every property with the mutant of an invariant."""
    gc.disable()  # the process is short
    for invariant in INVARIANTS:
        if invariant.number == number:
            sys.meta_path.insert(0, Mutating(invariant.mutant))
            limit_examples(EXAMPLES_OWN)
            importlib.import_module(invariant.module)
    limit_examples(EXAMPLES_OTHER)
    failed = [invariant.number for invariant in INVARIANTS if not holds(invariant)]
    sys.stdout.write(json.dumps(failed) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
