"""Plays properties with one mutant in place each, and answers the numbers of those that failed.

    echo 4 | python -m tests.invariants.play        with the fault that invariant 4 must catch; 0 for none

One process imports everything and plays every property once without a fault. Each mutant then has a fork, so that
nothing of it is left. The fork plays the properties that ran the mutant's function before, since the others run as
they did: examples are the same every time. It leaves out whole lives, which may catch any fault, for another's mutant.
Examples are fewer than in the properties' own runs. What is asked here is whether a fault is seen.
"""

import gc
import importlib
import sys
from functools import _lru_cache_wrapper, cache
from types import CodeType
from typing import Any

import hypothesis

from tests.invariants.corpus import INVARIANTS, WHOLE_LIVES, Invariant
from tests.invariants.mutating import Mutation
from tests.support.forks import answer_each
from tests.support.running import recording
from tests.support.source_walk import OURS

EXAMPLES_OWN, EXAMPLES_OTHER = 150, 10
SETTINGS = "_hypothesis_internal_use_settings"


class Property:
    """The property of an invariant, and what of the source it ran when it was played last without a fault.

    A property without examples reads the source, so it may see any mutant.
    """

    def __init__(self, invariant: Invariant) -> None:
        self.invariant = invariant
        self.ran: set[CodeType] = set()
        self._test = getattr(importlib.import_module(invariant.module), invariant.function)
        self._settings = getattr(self._test, SETTINGS, None) or hypothesis.settings()

    def may_see(self, mutation: Mutation) -> bool:
        """Whether the property's run, or its failure, depends on the mutant."""
        return not hypothesis.is_hypothesis_test(self._test) or bool(self.ran & mutation.codes)

    def holds(self, examples: int) -> bool:
        """Whether the property holds for so many examples."""
        examples = min(examples, self._settings.max_examples)
        setattr(self._test, SETTINGS, hypothesis.settings(self._settings, max_examples=examples))
        try:
            self._test(*self.invariant.arguments)
        except Exception as error:  # noqa: BLE001 - a fault may break a property in any way
            sys.stderr.write(f"{self.invariant.test}: {type(error).__name__}: {error}\n")
            return False
        return True


@cache
def list_caches() -> list[Any]:
    """Return every cache of ours; the first call comes when everything is imported."""
    return [
        each
        for each in gc.get_objects()
        if isinstance(each, _lru_cache_wrapper) and each.__module__.partition(".")[0] in OURS
    ]


def forget() -> None:
    """Empty every cache, so that a property runs all that it rests on."""
    for cached in list_caches():
        cached.cache_clear()


def play_alone(each: Property) -> bool:
    """Play a property without a fault, and remember what it ran."""
    forget()
    with recording(each.ran):
        return each.holds(EXAMPLES_OTHER)


def play(properties: list[Property], number: int) -> list[int]:
    """Play the properties with the mutant of an invariant in place, and return which failed."""
    mutation = Mutation(next(each.invariant.mutant for each in properties if each.invariant.number == number))
    mutation.put()
    forget()
    failed = []
    for each in properties:
        at = each.invariant.number
        if at == number or (at != WHOLE_LIVES and each.may_see(mutation)):
            failed += [] if each.holds(EXAMPLES_OWN if at == number else EXAMPLES_OTHER) else [at]
    return failed


def main() -> None:
    """Answer the numbers of standard input until it ends."""
    gc.disable()  # the process is short
    hypothesis.settings.register_profile(
        "mutants", deadline=None, derandomize=True, database=None, phases=(hypothesis.Phase.generate,),
        max_examples=EXAMPLES_OWN, suppress_health_check=list(hypothesis.HealthCheck),
    )  # fmt: skip
    hypothesis.settings.load_profile("mutants")
    properties = [Property(invariant) for invariant in INVARIANTS]
    failed = [each.invariant.number for each in properties if not play_alone(each)]
    answer_each(lambda line: play(properties, int(line)) if int(line) else failed)


if __name__ == "__main__":
    main()
