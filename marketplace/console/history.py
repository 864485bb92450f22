"""The history of one thing: its events in words, as far as the key may see them."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from marketplace.api.http.bodies.feed import FeedItem, FeedPage
from marketplace.console.desk import Desk, attempt
from marketplace.console.formats import render_gpu_hours, render_instant, render_rate, render_usd, render_word

_PAGE: Final = 1_000
_PAGES_MAX: Final = 5


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a history.

    Attributes:
        sequence: Its position in the log.
        kind: What happened, such as ``stage_missed``.
        at: When it was recorded.
        by: ``you``, the name of another party, or ``the market``.
        data: Its body.
        details: What it says, in words.
    """

    sequence: int
    kind: str
    at: datetime
    by: str
    data: dict[str, Any]
    details: tuple[str, ...]


async def load_history(desk: Desk, aggregate_id: str, *types: str) -> list[Step]:
    """Return the events of an aggregate, oldest first; of many, only the first 5,000.

    Args:
        desk: Who asks. A key that may not read events gets none.
        aggregate_id: The aggregate.
        types: Only events of these types; none: all.
    """
    items: list[FeedItem] = []
    after = 0
    for _ in range(_PAGES_MAX):
        asked: dict[str, Any] = {"after": after, "limit": _PAGE, "aggregate_id": aggregate_id, "type": types or None}
        page = await attempt(desk.client.get("/v1/events", FeedPage, **asked), None)
        if page is None:
            return []
        items += page.items
        if page.next_after >= page.head or page.next_after == after:
            break
        after = page.next_after
    own = desk.principal.party_id
    names = await desk.load_names({item.event.actor for item in items} - {own})
    return [_read(item, names if own is None else {**names, own: "you"}) for item in items]


def _read(item: FeedItem, names: Mapping[str, str]) -> Step:
    data: dict[str, Any] = msgspec.json.decode(item.event.data)
    actor = item.event.actor
    return Step(
        sequence=item.sequence,
        kind=item.event.type.split(".")[-2],
        at=datetime.fromisoformat(item.event.time),
        by=names.get(actor) or ("another party" if actor.startswith("pty_") else "the market"),
        data=data,
        details=tuple(_describe(data)),
    )


def _describe(data: Mapping[str, Any]) -> Iterator[str]:
    for name, render in _PHRASES.items():
        if data.get(name) not in (None, "", [], ()):
            yield render(data[name])


def _render_time(label: str) -> Callable[[Any], str]:
    return lambda value: f"{label} {render_instant(datetime.fromisoformat(value))}"


_PHRASES: Final[Mapping[str, Callable[[Any], str]]] = {
    "reasons": lambda reasons: "; ".join(reason["text"] for reason in reasons[:1]),
    "reason": str,
    "nodes_available": lambda value: f"{value} nodes work",
    "ask_usd_per_gpu_hour": lambda value: f"ask {render_rate(value)}",
    "price_usd_per_gpu_hour": lambda value: f"at {render_rate(value)} per GPU-hour",
    "price_to_win_usd_per_gpu_hour": lambda value: f"price to win {render_rate(value)}",
    "cash_hold_usd": lambda value: f"{render_usd(value)} cash held",
    "amount_usd": render_usd,
    "damages_usd": lambda value: f"{render_usd(value)} damages",
    "gpu_seconds_counted": lambda value: f"{render_gpu_hours(value)} GPU-hours counted",
    "gpu_seconds_offered": lambda value: f"{render_gpu_hours(value)} GPU-hours offered",
    "by": lambda value: f"by {render_word(value)}",
    "at": _render_time("from"),
    "until": _render_time("until"),
    "ends_at": _render_time("ends"),
    "cure_until": _render_time("may be paid until"),
    "answer_until": _render_time("answer due by"),
    "decide_until": _render_time("decision due by"),
    "accept_until": _render_time("to accept until"),
    "keeps_priority": lambda _: "kept its place in the queue",
    "open_again": lambda _: "stays for the next auction",
}
"""What each member of an event says, in the order in which it is read."""
