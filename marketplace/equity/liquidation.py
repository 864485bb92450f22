"""A sale of the company reduced to claims: the rank of each, and its choices.

A claim is a class of preferred stock, or all SAFEs and notes of the same terms. Holders with the same terms choose
together, so splitting an instrument changes nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from typing import Literal

from marketplace.core.errors import Refusal
from marketplace.equity.capitalization import refuse_full_stack
from marketplace.equity.convertibles import elected_terms
from marketplace.equity.exact import ONE, ZERO, Exact, not_negative, positive, proper_fraction, show
from marketplace.equity.model import Capitalization, Note, PreferredClass, Safe
from marketplace.equity.notes import balance

Choice = Literal["hold", "convert", "convert_at_discount"]
ClaimKind = Literal["preferred", "safe", "note"]
DEBT_SENIORITY = 0


@dataclass(frozen=True, slots=True)
class OptionGrant:
    """Options or warrants of one holder at one strike; exercised in a sale if the common price is above the strike."""

    grant_id: str
    holder_id: str
    shares: Exact
    strike_usd: Exact


@dataclass(frozen=True, slots=True)
class Part:
    """One holder's part of a claim, by weight (shares or amount)."""

    holder_id: str
    item_id: str
    weight: Fraction


@dataclass(frozen=True, slots=True)
class ExitClaim:
    """A claim that may choose between its place in the queue and the common stock.

    Attributes:
        seniority: 0 for debt, then preferred from 1; smaller is paid first.
        hold_usd: What it is owed if it does not convert.
        shares: Common shares of a preferred class if it converts.
        cap_part: Part of the liquidation capitalization that a cap gives on conversion, or None.
        counts_conversions: Whether the cap values the company with all conversions (post-money).
        discounted_usd: Value in common at a discount to the price of the sale, or None.
        participates: Whether it shares with common after its preference.
        participation_limit_usd: Limit of the total if it does not convert, or None.
    """

    claim_id: str
    kind: ClaimKind
    seniority: int
    hold_usd: Fraction
    parts: tuple[Part, ...]
    shares: Fraction = ZERO
    cap_part: Fraction | None = None
    counts_conversions: bool = False
    discounted_usd: Fraction | None = None
    participates: bool = False
    participation_limit_usd: Fraction | None = None

    @property
    def choices(self) -> tuple[Choice, ...]:
        """What the claim may do, holding first."""
        found: list[Choice] = ["hold"]
        if self.kind == "preferred" or self.cap_part is not None:
            found.append("convert")
        if self.discounted_usd is not None:
            found.append("convert_at_discount")
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Sale:
    """Everything on which the split of the proceeds depends, as exact numbers. The weights of `common` are shares."""

    proceeds_usd: Fraction
    claims: tuple[ExitClaim, ...]
    common: tuple[Part, ...]
    options: tuple[OptionGrant, ...] = field(default=())

    @property
    def common_shares(self) -> Fraction:
        """Common stock outstanding before anybody converts."""
        return sum((part.weight for part in self.common), ZERO)

    @property
    def option_shares(self) -> Fraction:
        """Shares under all outstanding options and warrants."""
        return sum((Fraction(grant.shares) for grant in self.options), ZERO)


def read_sale(
    proceeds_usd: Exact,
    capitalization: Capitalization,
    *,
    safes: Sequence[Safe],
    notes: Sequence[Note],
    options: Sequence[OptionGrant],
    on_day: date | None,
    safe_seniority: int | None,
) -> Sale:
    """Read instruments into a sale.

    Raises:
        Refusal: In this order: ``negative`` (proceeds, shares or strikes), ``options_not_listed``,
            ``missing_convention`` (closing day, SAFE seniority, MFN as ``mfn_election_missing``), the refusals of the
            instruments' own numbers, ``stack_exceeds_company``.
    """
    proceeds = not_negative(proceeds_usd, "proceeds_usd")
    for holding in capitalization.holdings:
        not_negative(holding.shares, f"shares of {holding.class_id} held by {holding.holder_id}")
    _check_options(capitalization, options)
    seniority = _safe_seniority(capitalization, safe_seniority) if safes else DEBT_SENIORITY
    series = {cls.class_id for cls in capitalization.preferred}
    claims = [
        *(_preferred_claim(capitalization, cls) for cls in capitalization.preferred),
        *_grouped(_safe_claim(safe, seniority) for safe in safes),
        *_grouped(_note_claim(note, on_day) for note in notes),
    ]
    slope = sum((claim.cap_part or ZERO for claim in claims if claim.counts_conversions), ZERO)
    refuse_full_stack(slope, f"the caps together ask for {show(slope)} of the company")
    common = tuple(
        Part(holding.holder_id, holding.class_id, Fraction(holding.shares))
        for holding in capitalization.holdings
        if holding.class_id not in series
    )
    return Sale(proceeds, tuple(claim for claim in claims if claim.parts), common, tuple(options))


def _check_options(capitalization: Capitalization, options: Sequence[OptionGrant]) -> None:
    listed = sum((not_negative(grant.shares, f"shares of {grant.grant_id}") for grant in options), ZERO)
    for grant in options:
        not_negative(grant.strike_usd, f"strike_usd of {grant.grant_id}")
    counted = Fraction(capitalization.options_granted) + Fraction(capitalization.warrants)
    if counted not in (ZERO, listed):
        raise Refusal(
            "options_not_listed",
            f"the company counts {counted} shares under options and warrants, but {listed} are listed with holder and "
            "strike; list them all, or nobody can say what they are paid",
            counted=str(counted),
            listed=str(listed),
        )


def _safe_seniority(capitalization: Capitalization, stated: int | None) -> int:
    if stated is not None:
        return stated
    ranks = {cls.seniority for cls in capitalization.preferred}
    if len(ranks) > 1:
        raise Refusal(
            "missing_convention",
            f"SAFEs rank with preferred stock, but the preferred has ranks {sorted(ranks)}; state safe_seniority",
            pointer="/safe_seniority",
            convention="safe_seniority",
        )
    return ranks.pop() if ranks else 1


def _preferred_claim(capitalization: Capitalization, series: PreferredClass) -> ExitClaim:
    name = series.class_id
    shares = capitalization.shares_of(name)
    multiple = not_negative(series.liquidation_multiple, f"liquidation_multiple of {name}")
    issue_price = positive(series.issue_price_usd, f"issue_price_usd of {name}")
    dividend = not_negative(series.accrued_dividend_usd, f"accrued_dividend_usd of {name}")
    limit = None
    if series.participation == "capped":
        if series.participation_cap_multiple is None:
            raise Refusal(
                "missing_convention",
                f"{name} participates up to a cap that is not given; state participation_cap_multiple",
                pointer="/participation_cap_multiple",
                convention="participation_cap_multiple",
            )
        cap = positive(series.participation_cap_multiple, f"participation_cap_multiple of {name}")
        limit = shares * issue_price * cap
    parts = (
        Part(holding.holder_id, name, Fraction(holding.shares))
        for holding in capitalization.holdings
        if holding.class_id == name and holding.shares
    )
    return ExitClaim(
        claim_id=name,
        kind="preferred",
        seniority=series.seniority,
        hold_usd=shares * (issue_price * multiple + dividend),
        parts=tuple(parts),
        shares=shares * series.conversion_ratio,
        participates=series.participation != "none",
        participation_limit_usd=limit,
    )


def _safe_claim(safe: Safe, seniority: int) -> ExitClaim:
    terms = elected_terms(safe)
    name = safe.instrument_id
    amount = positive(safe.principal_usd, f"principal of {name}")
    discount = proper_fraction(terms.discount or 0, f"discount of {name}")
    cap_part = None
    if terms.ownership is not None:
        cap_part = proper_fraction(terms.ownership, f"ownership of {name}")
    elif terms.valuation_cap_usd is not None:
        cap_part = amount / positive(terms.valuation_cap_usd, f"valuation_cap_usd of {name}")
    return ExitClaim(
        claim_id=name,
        kind="safe",
        seniority=seniority,
        hold_usd=amount,
        parts=(Part(safe.holder_id, name, amount),),
        cap_part=cap_part,
        counts_conversions=cap_part is not None and terms.conversion_timing == "post_money",
        discounted_usd=amount / (ONE - discount) if discount else None,
    )


def _note_claim(note: Note, on_day: date | None) -> ExitClaim:
    name = note.instrument_id
    if on_day is None:
        raise Refusal(
            "missing_convention",
            f"the day of the sale is not given, so the interest of {name} has no last day; state on_day",
            pointer="/on_day",
            convention="on_day",
        )
    amount = balance(note, on_day)
    multiple = positive(note.terms.repayment_multiple, f"repayment_multiple of {name}")
    premium = (multiple - 1) * Fraction(note.principal_usd)
    cap = note.terms.valuation_cap_usd
    return ExitClaim(
        claim_id=name,
        kind="note",
        seniority=DEBT_SENIORITY,
        hold_usd=amount + premium,
        parts=(Part(note.holder_id, name, amount),),
        cap_part=None if cap is None else amount / positive(cap, f"valuation_cap_usd of {name}"),
    )


def _grouped(claims: Iterable[ExitClaim]) -> list[ExitClaim]:
    found: dict[tuple[object, ...], ExitClaim] = {}
    for claim in claims:
        per_dollar = tuple(
            None if value is None else value / claim.hold_usd for value in (claim.cap_part, claim.discounted_usd)
        )
        ratio = claim.parts[0].weight / claim.hold_usd
        key = (claim.kind, claim.seniority, claim.counts_conversions, per_dollar, ratio)
        found[key] = _joined(found[key], claim) if key in found else claim
    return list(found.values())


def _joined(first: ExitClaim, second: ExitClaim) -> ExitClaim:
    def added(one: Fraction | None, other: Fraction | None) -> Fraction | None:
        return None if one is None or other is None else one + other

    return ExitClaim(
        claim_id=first.claim_id,
        kind=first.kind,
        seniority=first.seniority,
        hold_usd=first.hold_usd + second.hold_usd,
        parts=first.parts + second.parts,
        cap_part=added(first.cap_part, second.cap_part),
        counts_conversions=first.counts_conversions,
        discounted_usd=added(first.discounted_usd, second.discounted_usd),
    )
