"""What an issuer's financings, liquidity events and imports record: values of the `issuer` events.

A priced financing keeps its inputs, its conventions, the branch of each instrument, exact and rounded results and
a certificate, so that anyone can check it again without the code that computed it.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from events.types import Id, Multiple, Ratio, SafeTerms, Share, Shares, Text, Usd

ClassId = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}(?!\n)$", description="Short name of a class")]


class Investment(msgspec.Struct, frozen=True, kw_only=True):
    """Money that an investor puts into a round.

    Attributes:
        holder_id: Who invests.
        amount_usd: How much.
    """

    holder_id: Id
    amount_usd: Usd


class RoundTerms(msgspec.Struct, frozen=True, kw_only=True):
    """Terms of a priced round; every convention is stated, none is assumed.

    Attributes:
        class_id: The new class of stock.
        pre_money_usd: Valuation before the money.
        investments: Who invests how much.
        pool_post_money: Share of the fully diluted company that is unissued pool after the round.
        pricing_convention: How the price counts converting instruments.
        share_rounding: How fractions of a share are treated.
        price_places: Decimal places of the price per share.
        liquidation_multiple: Preference per dollar invested.
        seniority: Rank of the preference; a higher rank is paid first.
    """

    class_id: ClassId
    pre_money_usd: Usd
    investments: Annotated[tuple[Investment, ...], Meta(min_length=1, max_length=200)]
    pool_post_money: Share
    pricing_convention: Literal["percent_ownership", "dollars_invested", "pre_money_method"]
    share_rounding: Literal["floor", "nearest"]
    price_places: Annotated[int, Meta(ge=2, le=12)]
    liquidation_multiple: Multiple
    seniority: Annotated[int, Meta(ge=0, le=100)]


class ConvertingInstrument(msgspec.Struct, frozen=True, kw_only=True):
    """An instrument as it stood when a round was priced.

    Attributes:
        instrument_id: The instrument.
        holder_id: Its holder.
        principal_usd: Principal accrued by then.
        terms: Its terms.
    """

    instrument_id: Id
    holder_id: Id
    principal_usd: Usd
    terms: SafeTerms


class Conversion(msgspec.Struct, frozen=True, kw_only=True):
    """What one instrument becomes in a round.

    Attributes:
        instrument_id: The instrument.
        holder_id: Its holder.
        branch: The price that it took.
        price_usd_per_share: That price, exact.
        shares_exact: Shares before rounding, exact.
        shares: Shares.
        alternatives: Every branch that was open to it with its price, exact.
    """

    instrument_id: Id
    holder_id: Id
    branch: Literal["cap", "discount", "round_price"]
    price_usd_per_share: Ratio
    shares_exact: Ratio
    shares: Shares
    alternatives: dict[str, Ratio]


class Allotment(msgspec.Struct, frozen=True, kw_only=True):
    """New shares of one investor.

    Attributes:
        holder_id: Who.
        amount_usd: For how much.
        shares_exact: Shares before rounding, exact.
        shares: Shares.
    """

    holder_id: Id
    amount_usd: Usd
    shares_exact: Ratio
    shares: Shares


class RoundPricing(msgspec.Struct, frozen=True, kw_only=True):
    """A priced round: inputs, results and how to check them.

    Attributes:
        engine_version: Release that computed it.
        capitalization_shares: Fully diluted shares before the round, as the terms define them.
        instruments: What converts.
        price_usd_per_share: Price, rounded as agreed.
        price_exact: Price before rounding, exact.
        conversions: One per instrument.
        allotments: One per investment.
        pool_increase_shares: Shares added to the pool.
        post_money_shares: Fully diluted shares after the round.
        certificate_json: What `marketplace equity verify` checks, canonical JSON.
    """

    engine_version: str
    capitalization_shares: Shares
    instruments: tuple[ConvertingInstrument, ...]
    price_usd_per_share: Usd
    price_exact: Ratio
    conversions: tuple[Conversion, ...]
    allotments: tuple[Allotment, ...]
    pool_increase_shares: Shares
    post_money_shares: Shares
    certificate_json: str


class Payout(msgspec.Struct, frozen=True, kw_only=True):
    """What one holder gets of a sale for one security.

    Attributes:
        holder_id: Who.
        security: The class of stock, or the id of the instrument.
        amount_exact: Dollars before rounding, exact.
        amount_usd: Dollars.
        as_converted: Whether a preference or an instrument gave way to common stock.
    """

    holder_id: Id
    security: str
    amount_exact: Ratio
    amount_usd: Usd
    as_converted: bool


class Waterfall(msgspec.Struct, frozen=True, kw_only=True):
    """How the proceeds of a sale are shared.

    Attributes:
        engine_version: Release that computed it.
        proceeds_usd: What there is to share.
        instruments: Principal that takes part.
        payouts: Who gets what; they sum to the proceeds.
        certificate_json: What `marketplace equity verify` checks, canonical JSON.
    """

    engine_version: str
    proceeds_usd: Usd
    instruments: tuple[ConvertingInstrument, ...]
    payouts: tuple[Payout, ...]
    certificate_json: str


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """The paper behind an act of the company.

    Attributes:
        document: Where it is kept.
        note: What it says in short.
    """

    document: Text
    note: Text | None = None
