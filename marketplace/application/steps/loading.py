"""Load an aggregate that the tenant may see, or refuse with ``<kind>_unknown``."""

from marketplace.application.steps.ownership import require_owner, require_side
from marketplace.domain.delivery.grant import (
    GRANT,
    Grant,
)
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.equity.issuer.state import Issuer
from marketplace.domain.refusals import refuse_unknown
from marketplace.domain.supply.listing import require_few_mandates
from marketplace.domain.trading.mandate import (
    MANDATE,
    Mandate,
)
from marketplace.execution.unit_of_work import UnitOfWork


async def load_grant(unit: UnitOfWork, grant_id: str, *sides: str) -> Grant:
    """Return a grant if the tenant is on one of the given sides, ``startup`` or ``provider``.

    Raises:
        Refusal: ``grant_unknown`` · ``wrong_side`` for the grant's other side.
    """
    grant = await unit.load(GRANT, grant_id)
    if grant is None:
        raise refuse_unknown("grant", grant_id)
    require_side(unit.context, list_sides(grant), sides, "grant", grant_id)
    return grant


def list_sides(grant: Grant) -> dict[str, str | None]:
    """Return the party on each side of a grant and its statements. There is no holder if no part is paid in equity."""
    equity = grant.issued.equity
    return {
        "startup": grant.startup_id,
        "provider": grant.issued.provider_id,
        "holder": None if equity is None else equity.holder_id,
    }


async def load_mandate(unit: UnitOfWork, mandate_id: str) -> Mandate:
    """Return a mandate.

    Raises:
        Refusal: ``mandate_unknown``.
    """
    mandate = await unit.load(MANDATE, mandate_id)
    if mandate is None:
        raise refuse_unknown("mandate", mandate_id)
    return mandate


async def load_issuer(unit: UnitOfWork, issuer_id: str) -> Issuer:
    """Return an issuer of the tenant.

    Raises:
        Refusal: ``issuer_unknown``.
    """
    issuer = await unit.load(ISSUER, issuer_id)
    if not isinstance(issuer, Issuer):
        raise refuse_unknown("issuer", issuer_id)
    require_owner(unit.context, (issuer.formed.party_id,), "issuer", issuer_id)
    return issuer


async def load_named_mandates(unit: UnitOfWork, mandate_ids: tuple[str, ...]) -> list[Mandate]:
    """Return the mandates that a lot names.

    Raises:
        Refusal: ``mandates_too_many`` · ``mandate_unknown``.
    """
    require_few_mandates(mandate_ids)
    return [await load_mandate(unit, mandate_id) for mandate_id in mandate_ids]
