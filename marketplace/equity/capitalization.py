"""The definitions of capitalization: which shares a cap or a pre-money valuation is divided by.

The definitions are a closed list, which is part of the contract and named in every certificate.
"""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Literal, NamedTuple

from marketplace.core.errors import Refusal
from marketplace.equity.exact import ONE, ZERO, not_negative, positive, proper_fraction, show
from marketplace.equity.model import (
    Capitalization,
    CapitalizationDefinition,
    ConversionTiming,
    ProtectionBasis,
    Safe,
    SafeTerms,
)

Part = Literal["granted", "promised", "available", "increase", "converting", "adjustments"]
Counted = frozenset[Part]
"""The parts of a company that a denominator counts beside outstanding stock as converted, which all of them count."""

EXISTING: Counted = frozenset({"granted", "promised", "available"})
POST_MONEY_SAFE: Counted = EXISTING | {"converting"}
PRE_MONEY_SAFE: Counted = EXISTING | {"increase"}
_DEFINITIONS: Mapping[CapitalizationDefinition, Counted] = {
    "existing_fully_diluted": EXISTING,
    "pre_money_fully_diluted": EXISTING | {"increase", "converting", "adjustments"},
    "outstanding_and_granted": frozenset({"granted"}),
    "outstanding": frozenset(),
}
EXISTING_DEFINITIONS: tuple[CapitalizationDefinition, ...] = (
    "existing_fully_diluted",
    "outstanding_and_granted",
    "outstanding",
)
"""The definitions that count no part of a round, so that they have a value at every instant."""
DEFINITIONS = ("yc_standard", *_DEFINITIONS)


def counted_by(definition: CapitalizationDefinition, timing: ConversionTiming) -> Counted:
    """Return the parts of the company that a definition counts beside outstanding stock.

    ``yc_standard`` follows the SAFE's own form. After Y Combinator's post-money form v1.2, a post-money cap counts
    every converting security and the pool as it was; after the original form, a pre-money cap counts the increased pool
    and no converting security.

    Raises:
        Refusal: ``unknown_capitalization_definition`` for a name outside the list.
    """
    if definition == "yc_standard":
        return POST_MONEY_SAFE if timing == "post_money" else PRE_MONEY_SAFE
    if definition not in _DEFINITIONS:
        raise Refusal(
            "unknown_capitalization_definition",
            f"capitalization definition {definition!r} is not known; use one of {', '.join(DEFINITIONS)}",
            definition=str(definition),
        )
    return _DEFINITIONS[definition]


def existing_shares(capitalization: Capitalization, counted: Counted) -> Fraction:
    """Count the shares that exist before the round, under one definition; warrants go with granted options."""
    shares = capitalization.outstanding_as_converted
    if "granted" in counted:
        shares += Fraction(capitalization.options_granted) + Fraction(capitalization.warrants)
    if "promised" in counted:
        shares += Fraction(capitalization.options_promised)
    if "available" in counted:
        shares += Fraction(capitalization.options_available)
    return shares


def protection_basis_shares(capitalization: Capitalization, basis: ProtectionBasis) -> Fraction:
    """Count the shares before a dilutive issue, for a weighted average.

    Args:
        capitalization: The company immediately before the issue.
        basis: ``outstanding`` is the narrow base; ``outstanding_and_options`` the broad base of the NVCA model charter
            (4.4.4), which leaves out the ungranted reserve; ``fully_diluted`` counts the reserve too.
    """
    if basis == "fully_diluted":
        return capitalization.fully_diluted
    if basis == "outstanding_and_options":
        granted = Fraction(capitalization.options_granted) + Fraction(capitalization.warrants)
        return capitalization.outstanding_as_converted + granted
    return capitalization.outstanding_as_converted


def check_capitalization(capitalization: Capitalization) -> None:
    """Refuse an impossible company: no shares, a negative count, or a series with an impossible price.

    Raises:
        Refusal: ``negative``, ``not_positive``, ``unknown_class``, ``no_shares`` in this order.
    """
    for holding in capitalization.holdings:
        not_negative(holding.shares, f"shares of {holding.class_id} held by {holding.holder_id}")
    for name in ("options_granted", "options_promised", "options_available", "warrants"):
        not_negative(getattr(capitalization, name), name)
    for series in capitalization.preferred:
        positive(series.issue_price_usd, f"issue_price_usd of {series.class_id}")
        if series.conversion_price_usd is not None:
            positive(series.conversion_price_usd, f"conversion_price_usd of {series.class_id}")
    if capitalization.fully_diluted == 0:
        raise Refusal("no_shares", "the company has no shares, so nothing can be priced; issue founders' stock first")


class PreRoundShares(NamedTuple):
    """Company capitalization and the shares of each SAFE in it, exact, before any round."""

    company_capitalization: Fraction
    shares: tuple[Fraction, ...]


def company_capitalization(capitalization: Capitalization, safes: Iterable[Safe]) -> PreRoundShares:
    """Convert SAFEs at their caps or fixed shares, as a company shows them while there is no round.

    Uses ``yc_standard`` unless a SAFE names its own definition. No pool increase and no round price exist here.

    Returns:
        The capitalization with all conversions, and each SAFE's shares in the order given.

    Raises:
        Refusal: ``no_cap`` for a SAFE that has neither cap nor fixed share; ``stack_exceeds_company`` if the SAFEs ask
            for the whole company or more; the refusals of `check_capitalization`.
    """
    check_capitalization(capitalization)
    claims = [_claim(capitalization, safe) for safe in safes]
    slope = sum((part for part, _, whole in claims if whole), ZERO)
    refuse_full_stack(slope, f"the SAFEs together ask for {show(slope)} of the company")
    fixed = sum((part * base for part, base, _ in claims), ZERO)
    converting = fixed / (1 - slope)
    shares = tuple(part * (base + (converting if whole else ZERO)) for part, base, whole in claims)
    return PreRoundShares(existing_shares(capitalization, EXISTING) + converting, shares)


def refuse_full_stack(slope: Fraction, asks: str) -> None:
    """Refuse claims that together ask for the whole company or more, so that no share count satisfies them.

    Raises:
        Refusal: ``stack_exceeds_company`` with the slope as a fact.
    """
    if slope >= ONE:
        raise Refusal(
            "stack_exceeds_company",
            f"{asks}, so nothing is left for its present holders and no share count exists; "
            "raise the caps or the pre-money, or lower the amounts or the pool",
            slope=show(slope),
        )


def claimed_part(terms: SafeTerms, principal: Fraction, instrument_id: str) -> Fraction | None:
    """Return the share of its capitalization that a SAFE claims by cap or fixed ownership; None if only by price."""
    if terms.ownership is not None:
        return proper_fraction(terms.ownership, f"ownership of {instrument_id}")
    if terms.valuation_cap_usd is not None:
        return principal / positive(terms.valuation_cap_usd, f"valuation_cap_usd of {instrument_id}")
    return None


def _claim(capitalization: Capitalization, safe: Safe) -> tuple[Fraction, Fraction, bool]:
    terms = safe.terms
    part = claimed_part(
        terms, not_negative(safe.principal_usd, f"principal of {safe.instrument_id}"), safe.instrument_id
    )
    if part is None:
        raise Refusal(
            "no_cap",
            f"{safe.instrument_id} has neither a cap nor a fixed share, so it has no shares before a round prices it",
            instrument_id=safe.instrument_id,
        )
    counted = counted_by(terms.capitalization_definition or "yc_standard", terms.conversion_timing)
    return part, existing_shares(capitalization, counted), "converting" in counted
