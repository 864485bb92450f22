"""Values of the `issuer` events on financings, liquidity events and imports.

A priced financing keeps its inputs, its conventions, the branch of each instrument, exact and rounded results and
a certificate, so that anyone can check it again without the code that computed it.
"""

from datetime import date
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from events.types import Id, Multiple, PrincipalTerms, Ratio, SafeTerms, Share, Shares, Text, Usd

CapitalizationDefinition = Literal[
    "yc_standard",
    "existing_fully_diluted",
    "pre_money_fully_diluted",
    "outstanding_and_granted",
    "outstanding",
]
ShareRounding = Literal["floor", "nearest", "ceiling", "floor_after_price", "nearest_after_price", "floor_fixed_point"]
PoolTiming = Literal["pre_money", "post_money"]
PricingConvention = Literal["percent_ownership", "dollars_invested", "pre_money_method"]
PriceRounding = Literal["floor", "ceiling", "half_up", "half_even"]
Participation = Literal["none", "full", "capped"]
ConversionBranch = Literal["cap", "discount", "round_price"]
PriceProtection = Literal["weighted_average", "full_ratchet"]
ProtectionBasis = Literal["outstanding", "outstanding_and_options", "fully_diluted"]
ClassId = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}(?!\n)$", description="Short name of a class")]


class Investment(msgspec.Struct, frozen=True, kw_only=True):
    """Money that an investor puts into a round.

    Attributes:
        holder_id: Who invests.
        amount_usd: How much.
    """

    holder_id: Id
    amount_usd: Usd


class PayToPlayDuty(msgspec.Struct, frozen=True, kw_only=True):
    """What a holder of a class has to invest in a round to keep its preferred stock.

    Attributes:
        holder_id: Who.
        class_id: The class of preferred stock that is at stake.
        obligation_usd: What it has to invest.
        paid_by: Affiliates whose investments count for it too; none has a duty of its own or is named twice.
    """

    holder_id: Id
    class_id: ClassId
    obligation_usd: Usd
    paid_by: Annotated[tuple[Id, ...], Meta(max_length=20)] = ()


class PayToPlay(msgspec.Struct, frozen=True, kw_only=True):
    """What happens to preferred stock whose holder does not pay its part; applied before the round is priced.

    Attributes:
        duties: Who has to invest how much.
        class_id_after: The class of common stock that preferred stock becomes if its holder does not pay.
        common_per_preferred: Common shares for one preferred share, as converted; below 1, not paying costs shares.
    """

    duties: Annotated[tuple[PayToPlayDuty, ...], Meta(min_length=1, max_length=50)]
    class_id_after: ClassId
    common_per_preferred: Multiple


class RoundTerms(msgspec.Struct, frozen=True, kw_only=True):
    """Terms of a priced round; every convention is stated, none is assumed.

    Attributes:
        class_id: The new class of stock.
        pre_money_usd: Valuation before the money.
        investments: Who invests how much.
        pool_post_money: Share of the fully diluted company that is unissued pool after the round; 0 leaves it alone.
        pool_timing: Whether a top-up of the pool is inside the pre-money valuation or dilutes the new money too.
        pricing_convention: How the price counts converting instruments.
        capitalization_definition: Which shares of the company the round counts. The caps of SAFEs and notes do not
            depend on it.
        share_rounding: How fractions of a share are treated, and whether before or after the price is rounded.
        price_places: Decimal places of the price per share.
        price_rounding: How the price is rounded to them.
        conversion_price_places: Decimal places of every price at which an instrument converts by its cap or discount;
            stated where prices are rounded before shares.
        liquidation_multiple: Preference per dollar invested.
        seniority: Rank of the preference; a higher rank is paid first.
        participation: What the new class takes beside its preference in a sale.
        participation_cap_multiple: The cap per dollar invested, preference included; stated if it is capped.
        price_protection: What a cheaper later round does to the new class; None: nothing.
        protection_basis: What a weighted average counts; stated with one.
        closing_date: Day to which notes earn interest; stated where notes convert.
        pay_to_play: What earlier investors have to pay, and what happens if they do not; None: nothing.
    """

    class_id: ClassId
    pre_money_usd: Usd
    investments: Annotated[tuple[Investment, ...], Meta(min_length=1, max_length=200)]
    pool_post_money: Share
    pool_timing: PoolTiming
    pricing_convention: PricingConvention
    capitalization_definition: CapitalizationDefinition
    share_rounding: ShareRounding
    price_places: Annotated[int, Meta(ge=2, le=12)]
    price_rounding: PriceRounding
    liquidation_multiple: Multiple
    seniority: Annotated[int, Meta(ge=0, le=100)]
    participation: Participation
    conversion_price_places: Annotated[int, Meta(ge=2, le=12)] | None = None
    participation_cap_multiple: Multiple | None = None
    price_protection: PriceProtection | None = None
    protection_basis: ProtectionBasis | None = None
    closing_date: date | None = None
    pay_to_play: PayToPlay | None = None


class DatedPrincipal(msgspec.Struct, frozen=True, kw_only=True):
    """Principal of a note that earns interest from one day on.

    Attributes:
        interest_from: The first day of interest.
        principal_usd: How much.
    """

    interest_from: date
    principal_usd: Usd


class ConvertingInstrument(msgspec.Struct, frozen=True, kw_only=True):
    """An instrument as it stood when a round was priced, or a sale declared.

    Attributes:
        instrument_id: The instrument.
        holder_id: Its holder.
        principal_usd: Principal accrued by then.
        terms: Its terms.
        mfn_election: What the holder of a most-favoured SAFE elected: the terms, or ``declined``; None: not recorded.
        accruals: The principal by the day from which it earns interest; of notes only.
    """

    instrument_id: Id
    holder_id: Id
    principal_usd: Usd
    terms: PrincipalTerms
    mfn_election: SafeTerms | Literal["declined"] | None = None
    accruals: tuple[DatedPrincipal, ...] = ()


class Conversion(msgspec.Struct, frozen=True, kw_only=True):
    """What one instrument becomes in a round.

    Attributes:
        instrument_id: The instrument.
        holder_id: Its holder.
        branch: The price that it took.
        amount_exact: Dollars that convert, exact: principal, and interest of a note.
        price_usd_per_share: That price, exact.
        shares_exact: Shares before rounding, exact.
        shares: Shares.
        alternatives: Every branch that was open to it with its price, exact.
        price_rounded_usd: The price that divides its amount, where the round rounds prices before shares.
    """

    instrument_id: Id
    holder_id: Id
    branch: ConversionBranch
    amount_exact: Ratio
    price_usd_per_share: Ratio
    shares_exact: Ratio
    shares: Shares
    alternatives: dict[str, Ratio]
    price_rounded_usd: Usd | None = None


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


class PriceAdjustment(msgspec.Struct, frozen=True, kw_only=True):
    """What price protection does to one class in a round.

    Attributes:
        class_id: The class.
        triggered: Whether the round is cheaper than its conversion price.
        conversion_price_usd_before: Conversion price before, exact.
        conversion_price_usd: Conversion price after, exact.
        as_converted_before: Common shares that the class converts into before, exact.
        as_converted: Common shares that it converts into after, exact.
    """

    class_id: ClassId
    triggered: bool
    conversion_price_usd_before: Ratio
    conversion_price_usd: Ratio
    as_converted_before: Ratio
    as_converted: Ratio


class Forfeit(msgspec.Struct, frozen=True, kw_only=True):
    """Preferred stock that becomes common because its holder does not pay its part of a round.

    Attributes:
        holder_id: Who.
        class_id: The class that it was.
        shares: How many shares of that class.
        class_id_after: The class that it becomes.
        shares_exact: Shares of that before rounding, exact.
        shares_after: Shares of that.
    """

    holder_id: Id
    class_id: ClassId
    shares: Shares
    class_id_after: ClassId
    shares_exact: Ratio
    shares_after: Shares


class RoundPricing(msgspec.Struct, frozen=True, kw_only=True):
    """A priced round: inputs, results and how to check them.

    Attributes:
        engine_version: Release that computed it.
        capitalization_exact: Fully diluted shares before the round, as converted, exact.
        instruments: What converts.
        price_usd_per_share: Price, rounded as agreed.
        price_exact: Price before rounding, exact.
        conversions: One per instrument.
        allotments: One per investment.
        adjustments: One per class with price protection.
        forfeits: What becomes common stock by pay-to-play before the round is priced.
        pool_increase_shares: Shares added to the pool.
        pool_increase_exact: The same before rounding, exact.
        post_money_shares: Fully diluted shares after the round, as converted.
        post_money_exact: The same before rounding, exact.
        certificate_json: What `marketplace equity verify` checks, canonical JSON.
    """

    engine_version: str
    capitalization_exact: Ratio
    instruments: tuple[ConvertingInstrument, ...]
    price_usd_per_share: Usd
    price_exact: Ratio
    conversions: tuple[Conversion, ...]
    allotments: tuple[Allotment, ...]
    adjustments: tuple[PriceAdjustment, ...]
    forfeits: tuple[Forfeit, ...]
    pool_increase_shares: Shares
    pool_increase_exact: Ratio
    post_money_shares: Shares
    post_money_exact: Ratio
    certificate_json: str


class Payout(msgspec.Struct, frozen=True, kw_only=True):
    """What one holder gets of a sale for one security.

    Attributes:
        holder_id: Who.
        security: The class of stock, or the id of the instrument, option or warrant.
        amount_exact: Dollars before rounding, exact.
        amount_usd: Dollars.
        as_converted: Whether it is paid as common stock, instead of a preference or a repayment.
        buyer_shares_exact: Shares of the buyer in a sale for stock, before rounding, exact; None in a sale for cash.
        buyer_shares: Whole shares of the buyer, rounded down; None in a sale for cash.
        cash_usd: Dollars that are paid: all in a sale for cash, the fraction of a share in a sale for stock.
        shares: Shares of the class, or shares that the option or warrant buys, that it is paid for; None: principal.
    """

    holder_id: Id
    security: str
    amount_exact: Ratio
    amount_usd: Usd
    as_converted: bool
    cash_usd: Usd
    buyer_shares_exact: Ratio | None = None
    buyer_shares: Shares | None = None
    shares: Shares | None = None


class LaterPrincipal(msgspec.Struct, frozen=True, kw_only=True):
    """Principal that accrued after a sale was declared, paid in full in cash beside the proceeds.

    Attributes:
        instrument_id: The instrument.
        holder_id: Who is paid.
        amount_usd: Dollars.
    """

    instrument_id: Id
    holder_id: Id
    amount_usd: Usd


class StockConsideration(msgspec.Struct, frozen=True, kw_only=True):
    """The buyer's stock that a sale is paid in.

    Attributes:
        buyer: Name of the buyer.
        price_usd_per_share: Agreed value of one share of the buyer.
        exchange_ratio: Shares of the buyer for one common share, exact.
        buyer_issuer_id: The buyer, where it is here. Its shares are issued in the append that pays the sale.
        class_id: The class of the buyer's stock; stated with it.
        buyer_split_ratio: The buyer's split factor at the declaration; stated with it.
        buyer_shares: The buyer's fully diluted shares at the declaration, as converted and rounded up; stated with it.
        buyer_principal_usd: Principal and commitments of its instruments at the declaration, raised by their discounts,
            a year's interest and what a sale repays beyond the principal; stated with it.
        buyer_claims_exact: The part of the buyer that these asked for at the declaration, exact: principal over its
            cap, and shares at a price over `buyer_shares`; stated with it.
        buyer_preference_exact: Dollars of preference of its preferred stock at the declaration; stated with it.
        buyer_repurchased_usd: Dollars for which it had ever bought back its stock at the declaration; stated with it.
    """

    buyer: Text
    price_usd_per_share: Usd
    exchange_ratio: Ratio
    buyer_issuer_id: Id | None = None
    class_id: ClassId | None = None
    buyer_split_ratio: Ratio | None = None
    buyer_shares: Shares | None = None
    buyer_principal_usd: Usd | None = None
    buyer_claims_exact: Ratio | None = None
    buyer_preference_exact: Ratio | None = None
    buyer_repurchased_usd: Usd | None = None


class Waterfall(msgspec.Struct, frozen=True, kw_only=True):
    """How the proceeds of a sale are shared.

    Attributes:
        engine_version: Release that computed it.
        proceeds_usd: What there is to share.
        instruments: Principal that takes part.
        price_per_common_share_exact: Dollars of one common share, exact.
        payouts: Who gets what; they sum to the proceeds.
        certificate_json: What `marketplace equity verify` checks, canonical JSON.
        safe_seniority: Rank of SAFEs among preferred stock, where the sale stated one.
        stock: The buyer's stock, in a sale that is paid in it; None: cash.
    """

    engine_version: str
    proceeds_usd: Usd
    instruments: tuple[ConvertingInstrument, ...]
    price_per_common_share_exact: Ratio
    payouts: tuple[Payout, ...]
    certificate_json: str
    safe_seniority: int | None = None
    stock: StockConsideration | None = None


class AssumedGrant(msgspec.Struct, frozen=True, kw_only=True):
    """A grant that is paid for in equity, and that the buyer of the company goes on with in cash.

    Attributes:
        grant_id: The grant.
        cash_usd_max: The most that the buyer pays for the rest of it. If that is not enough, the grant ends.
    """

    grant_id: Id
    cash_usd_max: Usd


class AssumedGrants(msgspec.Struct, frozen=True, kw_only=True):
    """The capacity that a buyer takes over as a sale is paid.

    Attributes:
        issuer_id: The issuer of the buyer, which agrees to it.
        grants: The grants that it takes over; those that are awarded later end with the sale.
    """

    issuer_id: Id
    grants: Annotated[tuple[AssumedGrant, ...], Meta(max_length=999)]


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """The paper behind an act of the company.

    Attributes:
        document: Where it is kept.
        note: What it says in short.
    """

    document: Text
    note: Text | None = None
