"""A cap table with its pending conversions: as it was, and as it would be after one round on stated terms.

Instruments have no shares until something is stated that they convert at, so the scenario is a whole round with every
convention of one, played on a branch of the issuer's events as of an instant and as known at a sequence.
"""

from datetime import datetime

import msgspec

from events.financing import Conversion, RoundTerms
from marketplace.captable.branch import begin_branch
from marketplace.captable.history import History
from marketplace.captable.report import CapTableReport, build_report, render_report


class CapTableScenario(msgspec.Struct, frozen=True, kw_only=True):
    """Two cap tables and what lies between them.

    Attributes:
        terms: The round that was assumed, every convention of it stated.
        before: The cap table without it; principal is no share.
        price_exact: Price of a new share, exact.
        conversions: What each run of an instrument would become: branch, exact and whole shares, and its alternatives.
        after: The cap table with it, new money and pool included; its checks are empty, as nothing of it was recorded.
    """

    terms: RoundTerms
    before: CapTableReport
    price_exact: str
    conversions: tuple[Conversion, ...]
    after: CapTableReport


def play_scenario(history: History, terms: RoundTerms, at: datetime, known: int | None = None) -> CapTableScenario:
    """Return the cap table as of an instant, as the log knew it at a sequence, before and after a round.

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
