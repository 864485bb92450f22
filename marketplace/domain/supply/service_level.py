"""Service level terms: what a provider promises, and the credit for a period below the promise.

Refusals in order: not_a_number · amount_not_positive · amount_too_large · amount_too_precise · credits_above_promise ·
credits_out_of_order.
"""

from itertools import pairwise

from events.service import ServiceTerms
from marketplace.core.errors import Refusal
from marketplace.core.money import require_share


def require_service(terms: ServiceTerms, pointer: str) -> None:
    """Refuse shares outside 0 to 1, and credits that begin above the promise or do not rise as availability falls.

    Raises:
        Refusal: As listed above; its pointer begins with `pointer`.
    """
    require_share(terms.availability_min, f"{pointer}/availability_min")
    for index, step in enumerate(terms.credits):
        require_share(step.availability_below, f"{pointer}/credits/{index}/availability_below")
        require_share(step.credit, f"{pointer}/credits/{index}/credit")
    if terms.credits and terms.credits[0].availability_below > terms.availability_min:
        raise Refusal(
            "credits_above_promise",
            f"the first credit applies below {terms.credits[0].availability_below}, above the promise of"
            f" {terms.availability_min}; begin at the promise or lower",
            pointer=f"{pointer}/credits/0/availability_below",
        )
    for index, (before, after) in enumerate(pairwise(terms.credits), start=1):
        if after.availability_below >= before.availability_below or after.credit <= before.credit:
            raise Refusal(
                "credits_out_of_order",
                f"the credit below {after.availability_below} is {after.credit}, following {before.credit} below"
                f" {before.availability_below}; each step needs a lower availability and a higher credit",
                pointer=f"{pointer}/credits/{index}",
            )
