"""A cap table before and after an assumed round, which converts all instruments.

An instrument has no shares before a price is known at which it converts. The scenario therefore prices a whole round,
with all of its conventions, on a branch of the issuer's history (`branch.py`).
"""

from datetime import datetime

import msgspec

from events.financing import Conversion, RoundTerms
from marketplace.captable.branch import begin_branch
from marketplace.captable.history import History
from marketplace.captable.report import CapTableReport, build_report, render_report


class CapTableScenario(msgspec.Struct, frozen=True, kw_only=True):
    """A cap table before and after an assumed round.

    Attributes:
        terms: The assumed round with all of its conventions.
        before: The cap table without the round; principal has no shares.
        price_exact: Price of a new share, exact.
        conversions: How each instrument would convert: chosen way, exact and whole shares, and the alternatives.
        after: The cap table with the round, new money and pool included; without checks, since it has no events.
    """

    terms: RoundTerms
    before: CapTableReport
    price_exact: str
    conversions: tuple[Conversion, ...]
    after: CapTableReport


def play_scenario(history: History, terms: RoundTerms, at: datetime, known: int | None = None) -> CapTableScenario:
    """Return the cap table before and after a round, at `at`, from events up to the sequence `known`.

    Raises:
        Refusal: ``issuer_unknown``; those of the issuer's own financings.
    """
    before = build_report(history, at, known)
    branch, pricing = begin_branch(history, at, known).close_round(terms)
    sequence = before.last_sequence
    after = render_report(branch.issuer, branch.instruments, at, known=known, last_sequence=sequence)
    return CapTableScenario(
        terms=terms, before=before, price_exact=pricing.price_exact, conversions=pricing.conversions, after=after
    )
