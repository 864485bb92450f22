"""A cap table before and after an assumed round, which converts all instruments.

An instrument has no shares before a price is known at which it converts. The scenario therefore prices a whole round,
with all of its conventions, on a branch of the issuer's history (`branch.py`).
"""

from datetime import datetime
from decimal import Decimal

import msgspec

from events.financing import Conversion, RoundTerms
from marketplace.captable.branch import begin_branch
from marketplace.captable.history import History
from marketplace.captable.report import CapTableReport, build_report, render_report
from marketplace.core.money import parse_ratio, round_ratio


class AssumedConversion(msgspec.Struct, frozen=True, kw_only=True):
    """What one instrument would become. Amounts and prices have at most 12 places.

    Attributes:
        instrument_id: The instrument.
        holder_id: Its holder.
        branch: The price that it would take.
        amount_usd: Dollars that would convert: principal, and interest of a note.
        price_usd_per_share: That price.
        shares: Whole shares.
        alternatives: The price of every branch that would be open to it.
    """

    instrument_id: str
    holder_id: str
    branch: str
    amount_usd: Decimal
    price_usd_per_share: Decimal
    shares: int
    alternatives: dict[str, Decimal]


class CapTableScenario(msgspec.Struct, frozen=True, kw_only=True):
    """A cap table before and after an assumed round.

    Attributes:
        terms: The assumed round with all of its conventions.
        before: The cap table without the round; principal has no shares.
        price_usd_per_share: Price of a new share.
        conversions: How each instrument would convert: chosen way, whole shares, and the alternatives.
        after: The cap table with the round, new money and pool included; without checks, since it has no events.
    """

    terms: RoundTerms
    before: CapTableReport
    price_usd_per_share: Decimal
    conversions: tuple[AssumedConversion, ...]
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
        terms=terms,
        before=before,
        price_usd_per_share=pricing.price_usd_per_share,
        conversions=tuple(_show(conversion) for conversion in pricing.conversions),
        after=after,
    )


def _show(conversion: Conversion) -> AssumedConversion:
    return AssumedConversion(
        instrument_id=conversion.instrument_id,
        holder_id=conversion.holder_id,
        branch=conversion.branch,
        amount_usd=round_ratio(parse_ratio(conversion.amount_exact)),
        price_usd_per_share=round_ratio(parse_ratio(conversion.price_usd_per_share)),
        shares=conversion.shares,
        alternatives={name: round_ratio(parse_ratio(price)) for name, price in conversion.alternatives.items()},
    )
