"""Offers of equity for compute, and when the market asks again whether they are welcome and agreed to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from marketplace.auditor.stream import Message

Body = Mapping[str, Any]


@dataclass(slots=True)
class Offer:
    """An order or held quote that offers equity.

    Attributes:
        order_id: The order or quote.
        issuer_id: Whose equity it offers.
        terms: The instrument.
        mandate_ids: The mandates that hold budget for it.
        split_ratio: The issuer's splits when its price was agreed on; None: those of now.
    """

    order_id: str
    issuer_id: str
    terms: Body
    mandate_ids: set[str]
    split_ratio: str | None = None


@dataclass(slots=True)
class Offers:
    """Folds the offers of orders.

    Attributes:
        open: The latest offer of each order.
    """

    open: dict[str, Offer] = field(default_factory=dict)

    def take(self, decision: Sequence[Message]) -> list[tuple[Message, Offer]]:
        """Fold one command, and return the offers that it places, amends, holds as a quote, or locks.

        Hours of work that a startup agrees to are an offer on the terms of their grant.
        """
        asked: list[tuple[Message, Offer]] = []
        for message in decision:
            name, body = message.event_type.removesuffix(".v1"), message.read()
            if name in {"order.placed", "order.amended", "quote.held"}:
                offer = self._read(body)
                if offer is not None and body.get("quote_id") in {None, offer.order_id}:
                    asked.append((message, offer))
            elif name == "order.mandate_ended" and body["order_id"] in self.open:
                self.open[body["order_id"]].mandate_ids.discard(body["mandate_id"])
        asked += _list_agreed(decision)
        locked = [message for message in decision if message.event_type == "order.locked.v1"]
        known = [(message, self.open.get(message.read()["order_id"])) for message in locked]
        return asked + [(message, offer) for message, offer in known if offer is not None]

    def _read(self, body: Body) -> Offer | None:
        """Fold an offer, and return it as it is asked now; None for an order that offers no equity."""
        order_id = body.get("order_id") or body["quote_id"]
        known = self.open.pop(order_id, None)
        issuer_id = known.issuer_id if known is not None else body.get("issuer_id")
        terms, equity = body["terms"].get("instrument"), (each for each in body["terms"]["offers"])
        if issuer_id is None or terms is None or not any(Fraction(each["equity_usd_per_gpu_hour"]) for each in equity):
            return None
        mandate_ids = {each["mandate_id"] for each in body.get("budget_holds", ())}
        self.open[order_id] = Offer(order_id, issuer_id, terms, mandate_ids, body.get("split_ratio"))
        return Offer(order_id, issuer_id, terms, set(mandate_ids))


def _list_agreed(decision: Sequence[Message]) -> list[tuple[Message, Offer]]:
    """Return the hours of work that a startup agrees to and that an instrument pays for, each as an offer."""
    lines = [each.read() for each in decision if each.event_type == "service_line.agreed.v1"]
    names = {line["equity"]["instrument_id"]: line["service_line_id"] for line in lines if line.get("equity")}
    bodies = [(each, each.read()) for each in decision if each.event_type.startswith(("instrument.", "issuer."))]
    signed = {body["instrument_id"]: body for each, body in bodies if each.event_type == "issuer.instrument_signed.v1"}
    return [
        (
            each,
            Offer(_name(names[body["instrument_id"]]), body["issuer_id"], body["terms"], {body["mandate_id"]}, ratio),
        )
        for each, body in bodies
        if each.event_type == "instrument.issued.v1" and body["instrument_id"] in names
        for ratio in [signed.get(body["instrument_id"], {}).get("split_ratio")]
    ]


def _name(line_id: str) -> str:
    """Return the id under which the issuer counts hours of work until they are agreed to."""
    return f"ord{line_id[3:]}"
