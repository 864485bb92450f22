"""Which lots may name a mandate, and to which pool and lots a grant that it pays for may move.

Refusals: provider_unwelcome · site_unwelcome · resale_unwelcome · pool_unwelcome.
"""

from collections.abc import Iterable

from events.order import OrderTerms
from marketplace.core.errors import Refusal
from marketplace.domain.supply.lot import Lot, find_promise, list_unpromised
from marketplace.domain.supply.pool import Pool
from marketplace.domain.supply.site import Site
from marketplace.domain.trading.book.book import list_unmet
from marketplace.domain.trading.mandate_rules import Asked


def require_lot_welcome(mandate: Asked, *, provider_id: str, site_id: str, resold: bool) -> None:
    """Refuse a lot that names a mandate which does not pay for its provider, its site, or resold capacity.

    Raises:
        Refusal: ``provider_unwelcome`` · ``site_unwelcome`` · ``resale_unwelcome``.
    """
    terms = mandate.terms
    for what, id_, allowed in (
        ("provider", provider_id, terms.provider_ids),
        ("site", site_id, terms.site_ids),
    ):
        if allowed and id_ not in allowed:
            text = f"mandate {mandate.mandate_id} accepts only the {what}s that its holder chose, not {id_}"
            raise Refusal(f"{what}_unwelcome", f"{text}; do not name it", pointer="/mandate_ids")
    if resold and not terms.resale:
        text = f"mandate {mandate.mandate_id} pays for no resold capacity; do not name it"
        raise Refusal("resale_unwelcome", text, pointer="/mandate_ids")


def is_lot_welcome(mandate: Asked, *, provider_id: str, site_id: str, resold: bool) -> bool:
    """Return whether a mandate pays for the provider, the site and, if it is resold, the capacity of a lot."""
    try:
        require_lot_welcome(mandate, provider_id=provider_id, site_id=site_id, resold=resold)
    except Refusal:
        return False
    return True


def require_pool_welcome(terms: OrderTerms, mandate: Asked | None, pool: Pool, site: Site) -> None:
    """Refuse to move a grant to a pool that its order would not have accepted, or its mandate not have paid for.

    Raises:
        Refusal: ``pool_unwelcome`` · ``provider_unwelcome`` · ``site_unwelcome``.
    """
    opened, unmet = pool.opened, sorted(list_unmet(terms, pool, site))
    if unmet:
        raise _refuse_pool(pool, unmet)
    if mandate is not None:
        require_lot_welcome(mandate, provider_id=opened.provider_id, site_id=opened.site_id, resold=False)


def list_welcome(terms: OrderTerms, pool: Pool, lots: Iterable[Lot]) -> list[Lot]:
    """Return the lots of a pool that promise at least what an order asks.

    Raises:
        Refusal: ``pool_unwelcome`` if there are lots and none of them does.
    """
    lacks = [(lot, list(list_unpromised(terms, find_promise(lot.listed, pool.opened)))) for lot in lots]
    welcome = [lot for lot, unmet in lacks if not unmet]
    if lacks and not welcome:
        raise _refuse_pool(pool, sorted({wish for _, unmet in lacks for wish in unmet}))
    return welcome


def _refuse_pool(pool: Pool, unmet: list[str]) -> Refusal:
    pool_id = pool.opened.pool_id
    text = f"pool {pool_id} does not meet the order's {' and '.join(unmet)}; choose another pool"
    return Refusal("pool_unwelcome", text, pointer="/pool_id", unmet=unmet)
