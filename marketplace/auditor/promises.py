"""Checks what grants promise: the strictest promise of their lots, and no lot below what their order asks for.

Resold capacity has no promise, and counts as delivered by the measure of its seller's grant.
No lot that serves an order asks for more notice than the order accepts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, NamedTuple

from marketplace.auditor.stream import Findings, Message

_MOVED: Final = frozenset({"grant.issued", "grant.substituted", "grant.extended"})


class Promise(NamedTuple):
    """What a lot, a pool or a grant promises, or an order asks for.

    Attributes:
        availability: The least one, from 0 to 1; 0 without a promise.
        notice_hours: The least notice of an end; 0 without a promise.
        is_metered: Whether what the meter did not count counts as unavailable, beside nodes that did not work.
        credits: Availabilities, each with the share of the charges that is given back below it.
    """

    availability: Decimal
    notice_hours: int
    is_metered: bool
    credits: tuple[tuple[Decimal, Decimal], ...]

    def get_credit(self, below: Decimal) -> Decimal:
        """Return the share of the charges that is given back just below an availability."""
        return max((credit for step, credit in self.credits if step >= below), default=Decimal(0))


@dataclass(slots=True)
class Promises:
    """Folds and checks the promises of pools and lots, and what orders ask for.

    Attributes:
        orders: What each order asks for.
        longest: The most notice that each order accepts, in hours.
        orders_of: The order of each grant.
        pools: The promise of each pool.
        lots: The promise of each lot.
        metered: Whether each grant counts only what was metered as delivered.
    """

    findings: Findings
    orders: dict[str, Promise] = field(default_factory=dict)
    longest: dict[str, int] = field(default_factory=dict)
    orders_of: dict[str, str] = field(default_factory=dict)
    pools: dict[str, Promise] = field(default_factory=dict)
    lots: dict[str, Promise] = field(default_factory=dict)
    metered: dict[str, bool] = field(default_factory=dict)

    def take(self, decision: Sequence[Message]) -> None:
        """Fold and check the events of one command."""
        for message in decision:
            name = message.event_type.removesuffix(".v1")
            if name in {"order.placed", "order.amended"}:
                body = message.read()
                asked = self.orders[body["order_id"]] = _read(body["terms"])
                stated = body["terms"].get("notice_hours_max")
                self.longest[body["order_id"]] = max(720 if stated is None else stated, asked.notice_hours)
            elif name == "pool.opened":
                body = message.read()
                self.pools[body["pool_id"]] = _read(body.get("service"))
            elif name == "lot.listed":
                body = message.read()
                own = None if body.get("service") is None else _read(body["service"])
                is_resold = body.get("grant_id") is not None
                promise = _read(None) if is_resold else own or self.pools.get(body["pool_id"])
                if promise is not None:
                    self.lots[body["lot_id"]] = promise
            elif name in _MOVED:
                self._check(message, name, message.read())

    def _check(self, message: Message, name: str, body: dict[str, Any]) -> None:
        """Check the lots that carry a grant from now on, and at its award what it promises, unless events are lost."""
        grant_id = body["grant_id"]
        if name == "grant.issued":
            self.orders_of[grant_id] = body["order_id"]
            self._measure(message, grant_id, body)
        asked = self.orders.get(self.orders_of.get(grant_id, ""))
        lot_ids = sorted({share["lot_id"] for share in body["lots"]})
        made = [self.lots[lot_id] for lot_id in lot_ids if lot_id in self.lots]
        if asked is None or len(made) < len(lot_ids):
            return
        for promise in made:
            holds = promise.availability >= asked.availability and promise.notice_hours >= asked.notice_hours
            text = f"{grant_id} runs on a lot that promises {_render(promise)}, its order asks for {_render(asked)}"
            self.findings.require(holds, "promise", message.sequence, text)
        if name == "grant.issued":
            longest, most = max(each.notice_hours for each in made), self.longest[body["order_id"]]
            text = f"{grant_id} asks for {longest} hours of notice, its order accepts {most}"
            self.findings.require(longest <= most, "promise", message.sequence, text)
        if name == "grant.issued" and body.get("mark") != "assumed":
            self._compare(message, grant_id, _read(body.get("service")), made)

    def _measure(self, message: Message, grant_id: str, body: dict[str, Any]) -> None:
        """Check that resold capacity is measured as its seller's grant is."""
        source_id = (body.get("resale") or {}).get("grant_id")
        self.metered[grant_id] = _read(body.get("service")).is_metered
        right = self.metered.get(source_id or "", self.metered[grant_id]) == self.metered[grant_id]
        text = f"{grant_id} is resold, and not measured as {source_id}, which is its seller's"
        self.findings.require(right, "promise", message.sequence, text)

    def _compare(self, message: Message, grant_id: str, stated: Promise, made: Sequence[Promise]) -> None:
        """Check that a grant promises what its lots do, and gives back no less than any of them."""
        due = max(each.availability for each in made), max(each.notice_hours for each in made)
        text = f"{grant_id} promises {_render(stated)}, and its lots {due[0]} and {due[1]} hours"
        self.findings.require(stated[:2] == due, "promise", message.sequence, text)
        is_kept = stated.is_metered >= any(each.is_metered for each in made) and all(
            stated.get_credit(below) >= credit for each in made for below, credit in each.credits
        )
        text = f"{grant_id} gives back less, or counts less as unavailable, than one of its lots promises"
        self.findings.require(is_kept, "promise", message.sequence, text)


def _read(terms: dict[str, Any] | None) -> Promise:
    known = terms or {}
    steps = ((Decimal(step["availability_below"]), Decimal(step["credit"])) for step in known.get("credits") or ())
    is_metered = bool(known) and known.get("measure", "metered") == "metered"
    return Promise(
        Decimal(known.get("availability_min") or 0), int(known.get("notice_hours_min") or 0), is_metered, tuple(steps)
    )


def _render(promise: Promise) -> str:
    return f"{promise.availability} and {promise.notice_hours} hours of notice"
