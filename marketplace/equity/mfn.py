"""The worth of a most-favoured-nation election: the same round is priced once for each way of electing.

The holder may adopt a later instrument's terms once, cap and discount together (Y Combinator MFN form, section 3).
Which terms are better depends on the round, so the engine compares them and the holder elects.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

from marketplace.core.errors import Refusal
from marketplace.equity.model import Capitalization, Note, RoundTerms, Safe, SafeTerms
from marketplace.equity.rounds import price_round

CANDIDATES_MAX = 100


@dataclass(frozen=True, slots=True)
class ElectionValue:
    """What one election would give in one round."""

    candidate: str
    shares_exact: Fraction
    ownership: Fraction


def compare_elections(
    capitalization: Capitalization,
    safes: Sequence[Safe],
    terms: RoundTerms,
    *,
    instrument_id: str,
    candidates: Mapping[str, SafeTerms],
    notes: Sequence[Note] = (),
) -> tuple[ElectionValue, ...]:
    """Price a round for each candidate and for ``declined``, best for the holder first.

    Args:
        capitalization: The company immediately before the round.
        safes: All SAFEs, the one with the clause among them.
        terms: Terms of the round in which to compare.
        instrument_id: The SAFE with the clause; other MFN SAFEs keep their recorded elections.
        candidates: Terms of later instruments, by their ids; at most 100.
        notes: Convertible notes in the round.

    Raises:
        Refusal: ``instrument_not_found``, ``not_most_favoured``, ``too_many_candidates``; the refusals of
            `price_round`.
    """
    mine = [safe for safe in safes if safe.instrument_id == instrument_id]
    if not mine:
        raise Refusal("instrument_not_found", f"{instrument_id} is not among the SAFEs", instrument_id=instrument_id)
    if not all(safe.terms.most_favoured_nation for safe in mine):
        raise Refusal("not_most_favoured", f"{instrument_id} has no most-favoured clause", instrument_id=instrument_id)
    if len(candidates) > CANDIDATES_MAX:
        raise Refusal("too_many_candidates", f"{len(candidates)} candidates exceed the limit of {CANDIDATES_MAX}")
    choices: dict[str, SafeTerms | Literal["declined"]] = {"declined": "declined", **candidates}
    values: list[ElectionValue] = []
    for name, election in choices.items():
        elected = [
            replace(safe, mfn_election=election) if safe.instrument_id == instrument_id else safe for safe in safes
        ]
        result = price_round(capitalization, elected, terms, notes)
        shares = sum((c.shares_exact for c in result.conversions if c.instrument_id == instrument_id), Fraction(0))
        values.append(ElectionValue(name, shares, shares / result.fully_diluted_exact))
    return tuple(sorted(values, key=lambda value: -value.ownership))
