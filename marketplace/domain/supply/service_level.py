"""Terms of a service level: what a provider promises, and what a period below the promise gives back.

Refusals in order: not_a_number · amount_not_positive · amount_too_large · amount_too_precise · credits_above_promise ·
credits_out_of_order.
"""

from collections.abc import Sequence
from itertools import pairwise

from events.service import ServiceTerms
from events.types import PrincipalTerms
from marketplace.core.errors import Refusal
from marketplace.core.money import require_share


def require_service(terms: ServiceTerms, pointer: str) -> None:
    """Refuse terms whose shares are none, or whose schedule does not give more the lower the availability is."""
    require_share(terms.availability_min, f"{pointer}/availability_min")
    for index, step in enumerate(terms.credits):
        require_share(step.availability_below, f"{pointer}/credits/{index}/availability_below")
        require_share(step.credit, f"{pointer}/credits/{index}/credit")
    if terms.credits and terms.credits[0].availability_below > terms.availability_min:
        raise Refusal(
            "credits_above_promise",
            f"the first credit holds below {terms.credits[0].availability_below}, above the promise of"
            f" {terms.availability_min}; begin at the promise or lower",
            pointer=f"{pointer}/credits/0/availability_below",
        )
    for index, (before, after) in enumerate(pairwise(terms.credits), start=1):
        if after.availability_below >= before.availability_below or after.credit <= before.credit:
            raise Refusal(
                "credits_out_of_order",
                f"below {after.availability_below} is given {after.credit}, after {before.credit} below"
                f" {before.availability_below}; each step is lower than the one before and gives more",
                pointer=f"{pointer}/credits/{index}",
            )


def require_consequence(terms: PrincipalTerms, pointer: str) -> None:
    """Refuse terms of a drawdown that do not say what a period below the promised availability does."""
    if terms.service_consequence is None:
        raise Refusal(
            "consequence_missing",
            "what a period below the promised availability does is not given; state roll_forward, exclude or credit",
            pointer=f"{pointer}/service_consequence",
            convention="service_consequence",
        )


def choose_service(promises: Sequence[ServiceTerms | None]) -> ServiceTerms | None:
    """Return the best of the promises of the lots that carry a grant, the first of equal ones; None where none is."""
    made = [terms for terms in promises if terms is not None]
    return max(made, key=lambda terms: terms.availability_min, default=None)
