"""The terms of a priced round: every convention is stated, and every number is possible.

`marketplace.domain.equity.issuer.issuer` documents the order of refusals.
"""

from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from events.financing import (
    CapitalizationDefinition,
    Investment,
    Participation,
    PayToPlay,
    PoolTiming,
    PriceProtection,
    PriceRounding,
    PricingConvention,
    ProtectionBasis,
    RoundTerms,
    ShareRounding,
)
from marketplace.core.errors import Refusal
from marketplace.core.money import require_share, require_usd
from marketplace.domain.equity.issuer.rules import (
    refuse_missing,
    require_class_id,
    require_protection,
    require_seniority,
)
from marketplace.equity.conventions import PRICE_PLACES_MAX
from marketplace.equity.model import AFTER_PRICE

INVESTMENTS_MAX: Final = 200
"""The most investments of a round."""
DUTIES_MAX: Final = 50
"""The most duties of pay-to-play."""
PRICE_PLACES: Final = range(2, PRICE_PLACES_MAX + 1)
"""The decimal places that a price per share of a round may have."""
_CLASS_ID_SIZE_MAX: Final = 36
_CONVENTIONS: Final = {
    "pool_timing": "whether a top-up of the pool is inside the pre-money or comes after the money",
    "pricing_convention": "percent_ownership, dollars_invested or pre_money_method",
    "capitalization_definition": "what valuation caps are measured against, for example yc_standard",
    "share_rounding": "how fractions of a share are rounded, for example floor",
    "price_places": "the number of decimal places of the price per share",
    "price_rounding": "how the price is rounded to them, for example half_even",
    "participation": "none, full or capped",
}


class RoundDraft(msgspec.Struct, frozen=True, kw_only=True):
    """Proposed terms: like `RoundTerms`, but conventions may be missing, to be refused by name."""

    class_id: str
    pre_money_usd: Decimal
    investments: Annotated[tuple[Investment, ...], Meta(max_length=INVESTMENTS_MAX)]
    pool_post_money: Decimal
    liquidation_multiple: Decimal
    seniority: int
    pool_timing: PoolTiming | None = None
    pricing_convention: PricingConvention | None = None
    capitalization_definition: CapitalizationDefinition | None = None
    share_rounding: ShareRounding | None = None
    price_places: int | None = None
    price_rounding: PriceRounding | None = None
    conversion_price_places: int | None = None
    participation: Participation | None = None
    participation_cap_multiple: Decimal | None = None
    price_protection: PriceProtection | None = None
    protection_basis: ProtectionBasis | None = None
    closing_date: date | None = None
    pay_to_play: PayToPlay | None = None


def settle_terms(draft: RoundDraft | RoundTerms) -> RoundTerms:
    """Return the terms with every convention stated.

    Raises:
        Refusal: ``missing_convention`` with its pointer and the fact `convention`.
    """
    for name, what in _CONVENTIONS.items():
        if getattr(draft, name) is None:
            raise refuse_missing(name, what, "/terms")
    members: dict[str, Any] = {name: getattr(draft, name) for name in RoundTerms.__struct_fields__}
    return RoundTerms(**members)


def require_terms(terms: RoundTerms) -> None:
    """Refuse terms with impossible numbers: ``class_id_malformed`` to ``duty_repeated``, as the issuer lists them."""
    require_class_id(terms.class_id)
    if len(terms.class_id) > _CLASS_ID_SIZE_MAX:
        raise Refusal(
            "class_id_malformed",
            f"{terms.class_id!r} is longer than {_CLASS_ID_SIZE_MAX} characters; classes of converting instruments"
            " append a number",
            pointer="/terms/class_id",
        )
    require_usd(terms.pre_money_usd, "/terms/pre_money_usd")
    _require_investments(terms)
    require_share(terms.pool_post_money, "/terms/pool_post_money")
    if terms.price_places not in PRICE_PLACES:
        raise Refusal(
            "price_places_out_of_range",
            f"price_places is {terms.price_places}; state {PRICE_PLACES.start} to {PRICE_PLACES.stop - 1}",
            pointer="/terms/price_places",
        )
    _require_conversion_places(terms)
    if terms.share_rounding == "floor_fixed_point" and terms.pricing_convention != "percent_ownership":
        raise Refusal(
            "rounding_needs_percent_ownership",
            "floor_fixed_point is defined for percent_ownership only; choose another share_rounding",
            pointer="/terms/share_rounding",
        )
    require_usd(terms.liquidation_multiple, "/terms/liquidation_multiple", zero=True)
    require_seniority(terms.seniority)
    require_protection(terms, "/terms")
    _require_duties(terms.pay_to_play)


def _require_conversion_places(terms: RoundTerms) -> None:
    places = terms.conversion_price_places
    if terms.share_rounding not in AFTER_PRICE:
        if places is not None:
            raise Refusal(
                "conversion_price_places_unexpected",
                f"share_rounding {terms.share_rounding} does not divide by a rounded conversion price; leave"
                " conversion_price_places out, or choose floor_after_price or nearest_after_price",
                pointer="/terms/conversion_price_places",
            )
    elif places is None:
        raise refuse_missing(
            "conversion_price_places", "the number of decimal places of the price of a cap or a discount", "/terms"
        )
    elif places not in PRICE_PLACES:
        raise Refusal(
            "price_places_out_of_range",
            f"conversion_price_places is {places}; state {PRICE_PLACES.start} to {PRICE_PLACES.stop - 1}",
            pointer="/terms/conversion_price_places",
        )


def _require_investments(terms: RoundTerms) -> None:
    if not 1 <= len(terms.investments) <= INVESTMENTS_MAX:
        raise Refusal(
            "investments_out_of_range",
            f"a round has 1 to {INVESTMENTS_MAX} investments, not {len(terms.investments)}",
            pointer="/terms/investments",
        )
    seen: set[str] = set()
    for index, investment in enumerate(terms.investments):
        require_usd(investment.amount_usd, f"/terms/investments/{index}/amount_usd")
        if investment.holder_id in seen:
            raise Refusal(
                "investment_repeated",
                f"{investment.holder_id} invests twice; state one sum per holder",
                pointer=f"/terms/investments/{index}/holder_id",
                holder_id=investment.holder_id,
            )
        seen.add(investment.holder_id)


def _require_duties(pay_to_play: PayToPlay | None) -> None:
    if pay_to_play is None:
        return
    if not 1 <= len(pay_to_play.duties) <= DUTIES_MAX:
        raise Refusal(
            "duties_out_of_range",
            f"pay-to-play has 1 to {DUTIES_MAX} duties, not {len(pay_to_play.duties)}",
            pointer="/terms/pay_to_play/duties",
        )
    require_usd(pay_to_play.common_per_preferred, "/terms/pay_to_play/common_per_preferred")
    seen: set[str] = set()
    for index, duty in enumerate(pay_to_play.duties):
        pointer = f"/terms/pay_to_play/duties/{index}"
        require_usd(duty.obligation_usd, f"{pointer}/obligation_usd")
        for payer_id in (duty.holder_id, *duty.paid_by):
            if payer_id in seen:
                raise Refusal(
                    "duty_repeated",
                    f"{payer_id} has two duties; state one amount per holder, and an affiliate that pays for it once",
                    pointer=pointer if payer_id in duty.paid_by else f"{pointer}/holder_id",
                    holder_id=payer_id,
                )
            seen.add(payer_id)
