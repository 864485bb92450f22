"""What may be put on sale, and when it leaves: rules of pools and lots that rest on their site or the clock.

Refusals: power_above_contract for a pool; lot_before_site · time_naive · lot_past · mandates_too_many for a lot;
pool_not_due for the closing of a pool.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from marketplace.core.errors import Refusal
from marketplace.core.instants import render_instant
from marketplace.core.intervals import require_aware
from marketplace.domain.supply.pool import Pool
from marketplace.domain.supply.site import Site

MANDATES_MAX: Final = 16
"""The most mandates that one lot may name."""


def require_contracted_power(site: Site, nodes: int, power_per_node_kw: int) -> None:
    """Refuse to open a pool that alone draws more than its site has under contract; other pools do not count.

    Raises:
        Refusal: ``power_above_contract``.
    """
    need_kw, contracted_kw = nodes * power_per_node_kw, site.registered.power_contracted_kw
    if need_kw > contracted_kw:
        raise Refusal(
            "power_above_contract",
            f"{nodes} nodes draw {need_kw} kW, and the site has {contracted_kw} kW under contract; open fewer nodes",
            pointer="/nodes",
            needed_kw=need_kw,
        )


def require_listable(site: Site, start: datetime, end: datetime, at: datetime) -> None:
    """Refuse a lot that begins before its site's conversion is ready, or that has ended at `at`.

    Raises:
        Refusal: ``lot_before_site`` · ``time_naive`` · ``lot_past``.
    """
    if site.status == "converting" and site.ready_at is not None and start < site.ready_at:
        raise Refusal(
            "lot_before_site",
            f"the site is ready at {render_instant(site.ready_at)}; begin its lot then or later,"
            f" not at {render_instant(start)}",
            pointer="/start",
            ready_at=render_instant(site.ready_at),
        )
    require_aware(end, "/end")
    if end <= at:
        raise Refusal(
            "lot_past",
            f"the lot ends at {render_instant(end)}, which has passed; offer a span that is not over",
            pointer="/end",
        )


def find_lot_start(asked: datetime, at: datetime, known: datetime | None = None) -> datetime:
    """Return when a lot begins: as asked, but not before now, since nobody sells hours that have passed.

    A lot that began before keeps its start, `known`, at the earliest.

    Raises:
        Refusal: ``time_naive``.
    """
    require_aware(asked, "/start")
    return max(asked, at if known is None else min(at, known))


def require_few_mandates(mandate_ids: Sequence[str]) -> None:
    """Refuse a lot that names too many mandates.

    Raises:
        Refusal: ``mandates_too_many``.
    """
    if len(mandate_ids) > MANDATES_MAX:
        raise Refusal("mandates_too_many", f"name at most {MANDATES_MAX} mandates", pointer="/mandate_ids")


def require_closing_due(pool: Pool, at: datetime) -> datetime:
    """Return when a pool closes whose closing was announced.

    Raises:
        Refusal: ``pool_not_due``, if that is after `at`. The closing may have been postponed.
    """
    assert pool.closing is not None, "notice was given"
    if at < pool.closing.closes_at:
        due = render_instant(pool.closing.closes_at)
        said = f"pool {pool.opened.pool_id} closes at {due}; it is {render_instant(at)}"
        raise Refusal("pool_not_due", said, due=due)
    return pool.closing.closes_at
