"""Market data from awards and what is paid of them, frozen books and price lists."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from msgspec import convert
from sqlalchemy.ext.asyncio import AsyncConnection

from events.auction import AuctionBookFrozen
from events.grant import GrantIssued, GrantMarked
from events.pricelist import PricelistPublished
from events.register import RegisterRelationEnded, RegisterRelationFound, RegisterRelationStated
from events.statement import StatementAccepted, StatementCredited, StatementServiceCredited
from marketplace.core.errors import Corrupt
from marketplace.core.money import SECONDS_PER_HOUR, ZERO, parse_ratio, render_ratio
from marketplace.projections.engine.projection import Projection, all_of, tags_of
from marketplace.projections.engine.recorded_events import RecordedEvent
from marketplace.projections.engine.write_batch import WriteBatch
from marketplace.projections.trading.market.index import is_overcredited
from marketplace.projections.trading.market.tables import curves, fills, list_prices, ties
from marketplace.projections.trading.market.ties import Word


def _filled(changes: WriteBatch, fact: RecordedEvent, event: GrantIssued) -> None:
    """Record an award and its volume. Nothing is paid yet."""
    hours = event.nodes * event.gpus_per_node * (round((event.end - event.start).total_seconds()) // 3_600)
    changes.put(
        fills,
        grant_id=event.grant_id,
        gpu_class=event.gpu_class,
        pool_id=event.pool_id,
        startup_id=event.startup_id,
        seller_id=event.provider_id if event.resale is None else event.resale.seller_id,
        mark=event.mark,
        marked_at=None if event.mark is None else fact.time,
        day=None,
        gpu_hours=hours,
        counted_gpu_hours=0,
        charged_usd=ZERO,
        credited_usd=ZERO,
        statement_id=None,
        service_credit=ZERO,
        price_usd_per_gpu_hour=event.price_usd_per_gpu_hour,
        filled_at=fact.time,
    )


def _marked(changes: WriteBatch, fact: RecordedEvent, event: GrantMarked) -> None:
    """Leave a fill out of the index from now on. One that was marked before stays as it was.

    Raises:
        Corrupt: The log never issued the grant.
    """
    row = changes.find(fills, event.grant_id)
    if row is None:
        raise Corrupt(f"event {fact.sequence} marks grant {event.grant_id}, which the log never issued")
    marked_at = row["marked_at"] or fact.time
    changes.put(fills, **{**row, "mark": event.mark, "marked_at": marked_at})


def _paid(changes: WriteBatch, fact: RecordedEvent, event: StatementAccepted) -> None:
    """Count a fill from its first accepted statement of an hour or more on, at what this statement charges."""
    row, seconds = changes.find(fills, event.grant_id), event.charges.gpu_seconds
    if row is None:
        return  # its award is lost or passed over
    charged: dict[str, Any] = {"charged_usd": row["charged_usd"] + event.charges.provider_usd}
    if row["day"] is None and seconds >= SECONDS_PER_HOUR:
        charged |= {"day": fact.time.date(), "counted_gpu_hours": seconds // SECONDS_PER_HOUR}
        charged |= {"statement_id": event.statement_id}
    changes.put(fills, **{**row, **charged})


def _credited(changes: WriteBatch, fact: RecordedEvent, event: StatementCredited | StatementServiceCredited) -> None:
    """Count a fill net of the service credit of the statement that it counts; leave it out after too much credit."""
    row = changes.find(fills, event.grant_id)
    if row is None:
        return  # its award is lost or passed over
    row = {**row, "credited_usd": row["credited_usd"] + _get_paid_back(event)}
    if isinstance(event, StatementServiceCredited) and event.statement_id == row["statement_id"]:
        price = parse_ratio(row["price_usd_per_gpu_hour"]) * (1 - Fraction(event.service.credit))
        row |= {"service_credit": event.service.credit, "price_usd_per_gpu_hour": render_ratio(price)}
    if is_overcredited(row["charged_usd"], row["credited_usd"], row["service_credit"]):
        row["marked_at"] = row["marked_at"] or fact.time
    changes.put(fills, **row)


def _get_paid_back(event: StatementCredited | StatementServiceCredited) -> Decimal:
    """Return what the provider pays back, less what it had paid back as service credit before."""
    if isinstance(event, StatementServiceCredited):
        return event.credit.provider_usd
    return event.charges.provider_usd - (ZERO if event.service_credit is None else event.service_credit.provider_usd)


def _published(changes: WriteBatch, _: RecordedEvent, event: PricelistPublished) -> None:
    for price in event.prices:
        changes.put(
            list_prices,
            gpu_class=price.gpu_class,
            provider=price.provider,
            product=price.product,
            region=price.region or "",
            listed_on=price.listed_on,
            usd_per_gpu_hour=price.usd_per_gpu_hour,
            source=price.source,
            pricelist_id=event.pricelist_id,
        )


def _related(changes: WriteBatch, fact: RecordedEvent, event: RegisterRelationStated | RegisterRelationFound) -> None:
    """Add what is said of a relation. Of two statements, the earlier instant is when it began."""
    row = changes.find(ties, event.relation_id) or {"party_id": event.party_id, "words": []}
    since, is_firm = [event.since], True
    if isinstance(event, RegisterRelationStated):
        since += (word.since for word in convert(row["words"], list[Word]))
        is_firm = event.firm
    word = Word(
        known_at=fact.time,
        since=None if None in since else min(filter(None, since)),
        is_firm=is_firm,
    )
    changes.put(
        ties,
        relation_id=event.relation_id,
        party_id=row["party_id"],
        other=row.get("other") or event.related_id or event.owner,
        words=[*row["words"], word],
    )


def _unrelated(changes: WriteBatch, _: RecordedEvent, event: RegisterRelationEnded) -> None:
    changes.update(ties, event.relation_id, ended_at=event.at)


def _frozen(changes: WriteBatch, fact: RecordedEvent, event: AuctionBookFrozen) -> None:
    """Add what a part of a book offers and demands of each class. Each part lists the pools that it refers to."""
    for gpu_class, source_id, side, price, gpu_hours in _list_volumes(event):
        changes.put(
            curves,
            auction_id=event.auction_id,
            gpu_class=gpu_class,
            source_id=source_id,
            side=side,
            price_usd_per_gpu_hour=price,
            gpu_hours=gpu_hours,
            locked_at=fact.time,
        )


def _list_volumes(book: AuctionBookFrozen) -> Iterator[tuple[str, str, str, Decimal, int]]:
    """Yield class, lot or order, side, price and GPU-hours. An order counts once per class, at its highest value."""
    pools = {pool.pool_id: pool for pool in book.pools}
    for lot in book.lots:
        pool = pools[lot.pool_id]
        hours = (lot.to_period - lot.from_period) * book.period_hours
        volume = lot.nodes * pool.gpus_per_node * hours
        yield pool.gpu_class, lot.lot_id, "ask", lot.ask_usd_per_gpu_hour, volume
    for order in book.orders:
        best: dict[str, tuple[Decimal, int]] = {}
        for bid in order.bids:
            pool = pools[bid.pool_id]
            worth = (bid.value_usd_per_gpu_hour, order.nodes * pool.gpus_per_node)
            best[pool.gpu_class] = max(best.get(pool.gpu_class, worth), worth)
        for gpu_class, (value, gpus) in best.items():
            yield gpu_class, order.order_id, "bid", value, gpus * order.duration_periods * book.period_hours


_OF_FILLS: Final = (GrantMarked, StatementAccepted, StatementCredited, StatementServiceCredited)
_RELATIONS: Final = (RegisterRelationStated, RegisterRelationFound)


async def _load(changes: WriteBatch, batch: Sequence[RecordedEvent], connection: AsyncConnection) -> None:
    """Read the fills that are marked, paid or credited back, and the relations of which more is said."""
    filled = {(fact.event.grant_id,) for fact in batch if isinstance(fact.event, _OF_FILLS)}
    await changes.load(connection, fills, filled)
    related = {(fact.event.relation_id,) for fact in batch if isinstance(fact.event, _RELATIONS)}
    await changes.load(connection, ties, related)


PROJECTION: Final = Projection(
    name="market",
    version=9,
    tables=(fills, list_prices, curves, ties),
    reads=("grant", "statement", "pricelist", "auction", "register"),
    handlers={
        GrantIssued: _filled,
        GrantMarked: _marked,
        StatementAccepted: _paid,
        StatementCredited: _credited,
        StatementServiceCredited: _credited,
        PricelistPublished: _published,
        AuctionBookFrozen: _frozen,
        RegisterRelationStated: _related,
        RegisterRelationFound: _related,
        RegisterRelationEnded: _unrelated,
    },
    ignores=all_of("grant", "statement", "auction") - tags_of(GrantIssued, *_OF_FILLS, AuctionBookFrozen),
    load=_load,
)
