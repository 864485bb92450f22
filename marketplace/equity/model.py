"""The values of the equity mathematics: instruments, capitalizations, the terms of a round, and results.

All are immutable. Money is USD as an exact number; ratios are exact. Shares of the ledger are whole; a what-if may have
fractions of a share. A convention that a contract leaves open has no default here: `None` means that nobody stated it,
and the engine refuses it by name.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Final, Literal

from marketplace.core.rounding import RoundingMode
from marketplace.equity.exact import Exact

Shares = int | Fraction
ConversionTiming = Literal["post_money", "pre_money"]
Branch = Literal["cap", "discount", "round_price", "fixed_ownership"]
PricingConvention = Literal["percent_ownership", "dollars_invested", "pre_money_method"]
PoolTiming = Literal["pre_money", "post_money"]
CapitalizationDefinition = Literal[
    "yc_standard",
    "existing_fully_diluted",
    "pre_money_fully_diluted",
    "outstanding_and_granted",
    "outstanding",
]
ShareRounding = Literal[
    "floor",
    "nearest",
    "ceiling",
    "floor_after_price",
    "nearest_after_price",
    "floor_fixed_point",
]
AFTER_PRICE: Final = ("floor_after_price", "nearest_after_price")
"""Policies that round prices before they divide money."""
Interest = Literal[
    "simple",
    "compound_annual",
    "compound_semiannual",
    "compound_quarterly",
    "compound_monthly",
    "compound_daily",
]
DayCount = Literal["actual_365", "actual_360", "thirty_360", "actual_actual", "whole_years", "whole_months"]
Participation = Literal["none", "full", "capped"]
PriceProtection = Literal["weighted_average", "full_ratchet"]
ProtectionBasis = Literal["outstanding", "outstanding_and_options", "fully_diluted"]


@dataclass(frozen=True, slots=True)
class SafeTerms:
    """The terms on which a SAFE converts.

    Attributes:
        conversion_timing: Whether the cap values the company after (``post_money``) or before conversions.
        valuation_cap_usd: Cap, or None if uncapped.
        discount: Share off the round price, 0.20 for 20%, or None.
        most_favoured_nation: Whether the holder may adopt a later instrument's terms; `Safe.mfn_election` then states
            the election.
        ownership: Fixed share of the company capitalization, as in an accelerator's standard deal, or None.
        capitalization_definition: What the cap is measured against, where this instrument departs from the round's.
    """

    conversion_timing: ConversionTiming
    valuation_cap_usd: Exact | None = None
    discount: Exact | None = None
    most_favoured_nation: bool = False
    ownership: Exact | None = None
    capitalization_definition: CapitalizationDefinition | None = None


@dataclass(frozen=True, slots=True)
class Safe:
    """One SAFE, or one tranche of it: tranches share `instrument_id` and are rounded together."""

    instrument_id: str
    holder_id: str
    principal_usd: Exact
    terms: SafeTerms
    mfn_election: SafeTerms | Literal["declined"] | None = None


@dataclass(frozen=True, slots=True)
class NoteTerms:
    """The interest and conversion terms of a convertible note. Rates are per year, 0.08 for 8%.

    Attributes:
        interest: Simple, or compounding at an interval; required.
        day_count: How days become years; required.
        matures_on: Last day of interest until the note is extended; None if it never falls due.
        repayment_multiple: Multiple of the principal that is owed on a sale, beside the interest; 1 unless agreed.
    """

    annual_rate: Exact
    interest: Interest | None
    day_count: DayCount | None
    issued_on: date
    matures_on: date | None = None
    valuation_cap_usd: Exact | None = None
    discount: Exact | None = None
    capitalization_definition: CapitalizationDefinition | None = None
    repayment_multiple: Exact = 1


@dataclass(frozen=True, slots=True)
class Note:
    """One convertible note."""

    instrument_id: str
    holder_id: str
    principal_usd: Exact
    terms: NoteTerms


@dataclass(frozen=True, slots=True)
class Holding:
    """Shares of one class in one hand."""

    holder_id: str
    class_id: str
    shares: Shares


@dataclass(frozen=True, slots=True)
class PreferredClass:
    """A series of preferred stock.

    Attributes:
        issue_price_usd: Original issue price per share.
        conversion_price_usd: Conversion price now; None while it is still the issue price.
        seniority: 1 is paid first; equal numbers share pro rata.
        liquidation_multiple: Preference as a multiple of the issue price.
        participation: ``none`` takes the preference or converts; ``full`` takes both; ``capped`` both up to a limit.
        participation_cap_multiple: Limit of the total, preference included, as a multiple of the issue price.
        accrued_dividend_usd: Unpaid dividend per share that joins the preference.
        price_protection: Anti-dilution, or None.
        protection_basis: What a weighted average counts before the issue; required for one.
    """

    class_id: str
    issue_price_usd: Exact
    seniority: int = 1
    conversion_price_usd: Exact | None = None
    liquidation_multiple: Exact = 1
    participation: Participation = "none"
    participation_cap_multiple: Exact | None = None
    accrued_dividend_usd: Exact = 0
    price_protection: PriceProtection | None = None
    protection_basis: ProtectionBasis | None = None

    @property
    def conversion_ratio(self) -> Fraction:
        """Common shares per preferred share."""
        if self.conversion_price_usd is None:
            return Fraction(1)
        return Fraction(self.issue_price_usd) / Fraction(self.conversion_price_usd)


@dataclass(frozen=True, slots=True)
class Capitalization:
    """A company before the round or sale: stock by holder and class, and what is reserved.

    Attributes:
        holdings: Stock; a class that is not in `preferred` is common.
        options_granted: Outstanding options, vested or not.
        options_promised: Promised and not granted; counted apart from the available pool.
        options_available: Unissued pool that is neither granted nor promised.
        warrants: Shares under outstanding warrants.
    """

    holdings: tuple[Holding, ...]
    preferred: tuple[PreferredClass, ...] = ()
    options_granted: Shares = 0
    options_promised: Shares = 0
    options_available: Shares = 0
    warrants: Shares = 0

    @property
    def common_shares(self) -> Fraction:
        """Shares of common stock outstanding."""
        series = {cls.class_id for cls in self.preferred}
        return sum((Fraction(h.shares) for h in self.holdings if h.class_id not in series), Fraction(0))

    def shares_of(self, class_id: str) -> Fraction:
        """Shares outstanding of one class."""
        return sum((Fraction(h.shares) for h in self.holdings if h.class_id == class_id), Fraction(0))

    @property
    def outstanding_as_converted(self) -> Fraction:
        """Common plus each series at its present conversion ratio."""
        series = (self.shares_of(cls.class_id) * cls.conversion_ratio for cls in self.preferred)
        return sum(series, self.common_shares)

    @property
    def fully_diluted(self) -> Fraction:
        """Everything outstanding, granted, promised, reserved and under warrant, as converted."""
        reserved = (self.options_granted, self.options_promised, self.options_available, self.warrants)
        return sum(map(Fraction, reserved), self.outstanding_as_converted)


@dataclass(frozen=True, slots=True)
class Investment:
    """Cash that one holder puts into the round."""

    holder_id: str
    amount_usd: Exact


@dataclass(frozen=True, slots=True)
class RoundTerms:
    """The terms of a priced round. A convention that is None is refused by name.

    Attributes:
        pool_post_money: Share of the fully diluted post-money that must be available; None leaves the pool alone.
        share_rounding: ``floor``, ``nearest`` and ``ceiling`` divide by the exact price; the ``_after_price`` forms
            round the price first, as some closing tables do; ``floor_fixed_point`` makes every printed row consistent
            with every other.
        price_places: Digits of the printed price, with `price_rounding` as its mode.
        conversion_price_places: Digits of every price at which SAFEs and notes convert, by cap or discount, before it
            divides money; for the ``_after_price`` forms. None: `price_places`, but the exact price for caps that count
            all conversions, as Y Combinator's guide does.
        pool_timing: Whether a top-up is inside the pre-money or dilutes the new money too; required with a pool change.
        pool_increase_shares: A stated increase in place of a target.
        pool_counts_granted: The target then counts granted options beside the available ones.
        new_money_share_rounding: How new shares are rounded, if not as conversions are.
        closing_date: Day to which notes accrue; required when there are notes.
    """

    pre_money_usd: Exact
    investments: tuple[Investment, ...]
    pool_post_money: Exact | None = None
    pricing_convention: PricingConvention | None = None
    capitalization_definition: CapitalizationDefinition | None = None
    share_rounding: ShareRounding | None = None
    price_places: int | None = None
    price_rounding: RoundingMode | None = None
    conversion_price_places: int | None = None
    pool_timing: PoolTiming | None = None
    pool_increase_shares: Shares | None = None
    pool_counts_granted: bool = False
    new_money_share_rounding: RoundingMode | None = None
    closing_date: date | None = None


@dataclass(frozen=True, slots=True)
class Alternative:
    """A price at which an instrument could have converted."""

    branch: Branch
    price_usd: Fraction


@dataclass(frozen=True, slots=True)
class Conversion:
    """How one instrument, with all of its tranches, converted in a round.

    Attributes:
        instrument_id: The instrument.
        holder_id: Its holder.
        amount_usd: Dollars that converted: principal, and interest of a note.
        branch: The right by which it converted, the one that gives the most shares.
        alternatives: The exact price by each right that it had.
        price_usd: The exact price at which it converted.
        price_usd_rounded: That price as it is printed.
        shares_exact: Shares before rounding.
        shares: Whole shares.
        tranche_shares: Whole shares of each tranche, in the order given; they sum to `shares`.
    """

    instrument_id: str
    holder_id: str
    amount_usd: Fraction
    branch: Branch
    alternatives: tuple[Alternative, ...]
    price_usd: Fraction
    price_usd_rounded: Decimal
    shares_exact: Fraction
    shares: int
    tranche_shares: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class NewShares:
    """Shares that one holder bought with cash in a round."""

    holder_id: str
    amount_usd: Fraction
    shares_exact: Fraction
    shares: int


@dataclass(frozen=True, slots=True)
class PriceAdjustment:
    """The effect of price protection on one series: conversion price and as-converted shares, before and after."""

    class_id: str
    triggered: bool
    conversion_price_before_usd: Fraction
    conversion_price_after_usd: Fraction
    as_converted_before: Fraction
    as_converted_after: Fraction


@dataclass(frozen=True, slots=True)
class RoundResult:
    """A priced round: exact and rounded side by side, with a certificate for the checker.

    Attributes:
        slope: The part of every further share that pool, new money and conversions claim; below 1.
        company_capitalization_exact: Everything before the round with all conversions, without increase and new money.
        certificate: Inputs, policy and results as JSON values, for `marketplace.equity.checker`.
    """

    price_usd: Fraction
    price_usd_rounded: Decimal
    conversions: tuple[Conversion, ...]
    new_money: tuple[NewShares, ...]
    pool_increase_exact: Fraction
    pool_increase: int
    adjustments: tuple[PriceAdjustment, ...]
    company_capitalization_exact: Fraction
    fully_diluted_exact: Fraction
    fully_diluted: int
    slope: Fraction
    certificate: dict[str, object]

    def conversion(self, instrument_id: str) -> Conversion:
        """Get one instrument's conversion.

        Raises:
            KeyError: If no such instrument took part.
        """
        for conversion in self.conversions:
            if conversion.instrument_id == instrument_id:
                return conversion
        raise KeyError(instrument_id)
