"""Checks that what one person alone gives up counts toward the limit.

That is readings, disputed charges, conceded claims, fees of a pool that closes, and terms of a SAFE.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from marketplace.auditor.spans import parse_instant
from marketplace.auditor.stream import Findings, Message

_LOWERED: Final = frozenset({"usage.voided.v1", "usage.corrected.v1"})
_DISPUTES: Final = frozenset(
    {
        "statement.disputed.v1",
        "statement.answered.v1",
        "statement.agreed.v1",
        "statement.conceded.v1",
        "statement.resolved.v1",
    }
)
_HOUR: Final = 3600
_ROUNDED: Final = Fraction(2, 100)
_NEVER: Final = Decimal("Infinity")
Terms = Mapping[str, Any]


@dataclass(slots=True)
class Delivery:
    """How much of a grant's settled delivery was taken back.

    Attributes:
        provider_id: Who delivers.
        price: Dollars per GPU-hour.
        counted: Dollars that counted toward the limit of the provider's account in commands that lowered readings.
        credited: GPU-seconds that credits gave back because less was metered, less the share that a service credit
            may have paid back before.
        is_free: Whether some readings were lowered without a limit, or by the platform.
    """

    provider_id: str
    price: Fraction
    counted: Decimal = Decimal(0)
    credited: Fraction = Fraction(0)
    is_free: bool = False


@dataclass(slots=True)
class Favoured:
    """A SAFE: its holder and terms, and the terms of which the holder was notified, by instrument.

    The holder may elect until `elect_until`, which is empty before the first notice.
    """

    holder_id: str
    terms: Terms
    notices: dict[str, Terms] = field(default_factory=dict)
    elect_until: str = ""


@dataclass(slots=True)
class Alone:
    """Folds limits, grants and SAFEs.

    `offered` has the disputed statements of which the provider offered to charge less, which counts by itself.
    `received` has, by statement of resold hours, the GPU-seconds and USD that their seller gets by what it agreed to.
    `kept` has what is kept for the fees of each pool that closes. `said` has, by disputed statement, the startup and
    the GPU-seconds that it says were delivered, and `offers` those of the last offer.
    """

    findings: Findings
    limited: set[str] = field(default_factory=set)
    deliveries: dict[str, Delivery] = field(default_factory=dict)
    safes: dict[str, Favoured] = field(default_factory=dict)
    offered: set[str] = field(default_factory=set)
    received: dict[str, tuple[int, Fraction]] = field(default_factory=dict)
    kept: dict[str, Decimal] = field(default_factory=dict)
    said: dict[str, tuple[str, int]] = field(default_factory=dict)
    offers: dict[str, int] = field(default_factory=dict)

    def take(self, decision: Sequence[Message]) -> None:
        """Fold and check the events of one command."""
        limited, counted = frozenset(self.limited), dict[str, Decimal]()
        for message in decision:
            body = message.read()
            if message.event_type == "account.limit_set.v1":
                change = self.limited.discard if body.get("limit_usd") is None else self.limited.add
                change(body["account_id"])
            elif message.event_type == "account.limit_used.v1":
                account_id = body["account_id"]
                counted[account_id] = counted.get(account_id, Decimal(0)) + Decimal(body["amount_usd"])
        lowered = set[str]()
        for message in decision:
            body, party_id = message.read(), message.headers.get("ce-actor", "")
            account_id = f"acc_{party_id[4:]}"
            if message.event_type in _LOWERED and body.get("meter", "provider") == "provider":
                lowered.add(body["grant_id"])
            elif message.event_type.startswith("instrument."):
                self._take_safe(message, body, counted.get(account_id, Decimal(0)), is_limited=account_id in limited)
            elif message.event_type in _DISPUTES:
                used, is_limited = counted.get(account_id, Decimal(0)), account_id in limited
                self._take_dispute(message, body, used, is_limited=is_limited)
                self._take_payer(message, body, party_id, used, is_limited=is_limited)
            elif message.event_type in {"bond.answered.v1", "account.reserved.v1"}:
                given = self._find_given(decision, body, party_id)
                text = f"{given} USD are given up, and {counted.get(account_id)} count toward a limit"
                found = account_id not in limited or counted.get(account_id, Decimal(0)) >= given
                self.findings.require(found, "alone", message.sequence, text)
            else:
                self._take_delivery(message, body)
        for grant_id in lowered & self.deliveries.keys():
            delivery = self.deliveries[grant_id]
            account_id = f"acc_{delivery.provider_id[4:]}"
            by_party = decision[0].headers.get("ce-actor") == delivery.provider_id
            delivery.is_free = delivery.is_free or account_id not in limited or not by_party
            delivery.counted += counted.get(account_id, Decimal(0))

    def _take_delivery(self, message: Message, body: Mapping[str, Any]) -> None:
        if message.event_type == "grant.issued.v1":
            price = Fraction(body["price_usd_per_gpu_hour"])
            self.deliveries[body["grant_id"]] = Delivery(body["provider_id"], price)
        elif message.event_type == "statement.issued.v1" and body.get("reseller_id"):
            charges = body["charges"]
            received = Fraction(charges.get("reseller_receives_usd", "0"))
            self.received[body["statement_id"]] = charges["gpu_seconds"], received
        elif message.event_type == "statement.credited.v1" and body["grant_id"] in self.deliveries:
            delivery, change = self.deliveries[body["grant_id"]], body["adjustment"]
            if change.get("unavailable_before", 0) == change.get("unavailable_after", 0):
                before, after = change.get("gpu_seconds_before", 0), change.get("gpu_seconds_after", 0)
                kept = 1 - Fraction((body.get("service") or {}).get("credit", "0"))
                delivery.credited += kept * max(before - after, 0)
            given = delivery.price * delivery.credited / _HOUR
            text = f"{float(given):.2f} USD of {body['grant_id']} are given back, and {delivery.counted} count as such"
            is_free = delivery.is_free or f"acc_{delivery.provider_id[4:]}" not in self.limited
            found = is_free or delivery.counted >= given
            self.findings.require(found, "alone", message.sequence, text)

    def _take_dispute(self, message: Message, body: Mapping[str, Any], counted: Decimal, *, is_limited: bool) -> None:
        """Check that what one person of a provider charges less counts, unless it had counted as an offer."""
        statement_id, delivery = body["statement_id"], self.deliveries.get(body["grant_id"])
        if message.event_type == "statement.answered.v1":
            if body["by"] == "provider":
                self.offered.add(statement_id)
            elif body["by"] == "reseller" and body.get("gpu_seconds_offered") is not None:
                self._take_floor(message, statement_id, body["gpu_seconds_offered"], counted if is_limited else None)
            return
        if message.event_type != "statement.resolved.v1":
            return
        is_own = delivery is not None and message.headers.get("ce-actor") == delivery.provider_id
        if is_own and is_limited and statement_id not in self.offered:
            before, after = (Decimal(body[name]["provider_usd"]) for name in ("charges_before", "charges"))
            text = f"{before - after} USD of {statement_id} are conceded, and {counted} count toward a limit"
            self.findings.require(before <= after or counted > 0, "alone", message.sequence, text)

    def _take_payer(
        self, message: Message, body: Mapping[str, Any], party_id: str, counted: Decimal, *, is_limited: bool
    ) -> None:
        """Check that what one person of a startup agrees to pay of its dispute counts; cents of it may not."""
        statement_id, name = body["statement_id"], message.event_type.split(".")[1]
        if name == "disputed":
            if body.get("by", "startup") == "startup" and body.get("hours_counted") is None:
                self.said[statement_id] = party_id, body["gpu_seconds_counted"]
            return
        offered = body.get("gpu_seconds_offered")
        amounts = {"answered": offered, "agreed": self.offers.get(statement_id), "conceded": body.get("gpu_seconds")}
        amount = amounts.get(name, body.get("charges", {}).get("gpu_seconds"))
        if name == "answered" and offered is not None:
            self.offers[statement_id] = offered
        startup_id, said = self.said.get(statement_id, ("", 0))
        is_own = party_id == startup_id or (name == "agreed" and body["by"] == "startup")
        if body["grant_id"] not in self.deliveries or not is_own or amount is None or amount <= said:
            return
        self.said[statement_id] = startup_id, amount
        agreed = self.deliveries[body["grant_id"]].price * (amount - said) / _HOUR
        text = f"{float(agreed):.2f} USD of {statement_id} are agreed to, and {counted} count toward a limit"
        self.findings.require(not is_limited or counted > 0 or agreed < 1, "alone", message.sequence, text)

    def _find_given(self, decision: Sequence[Message], body: Mapping[str, Any], party_id: str) -> Decimal:
        """Return the USD of a claim that its debtor concedes itself, or of fees that it keeps as it closes a pool."""
        if "claim_id" in body:
            is_own = body["party_id"] == party_id and body["outcome"] in {"conceded", "contested"}
            return Decimal(body["amount_usd"]) if is_own else Decimal(0)
        before, amount = self.kept.get(body["cause"], Decimal(0)), Decimal(body["amount_usd"])
        if body["cause"].startswith("pol_"):
            self.kept[body["cause"]] = amount
        closes = any(each.event_type == "pool.closing_announced.v1" for each in decision)
        return max(amount - before, Decimal(0)) if closes and body["party_id"] == party_id else Decimal(0)

    def _take_floor(self, message: Message, statement_id: str, floor: int, counted: Decimal | None) -> None:
        """Check that what one person of a seller agrees to receive less counts; None: its account has no limit."""
        seconds, received = self.received.get(statement_id, (0, Fraction(0)))
        if not 0 <= floor < seconds:
            return
        left = received * floor / seconds
        self.received[statement_id] = floor, left
        text = f"{float(received - left):.2f} USD of {statement_id} are given up, and {counted} count toward a limit"
        found = counted is None or counted >= received - left - _ROUNDED
        self.findings.require(found, "alone", message.sequence, text)

    def _take_safe(self, message: Message, body: Mapping[str, Any], counted: Decimal, *, is_limited: bool) -> None:
        instrument_id, name = body["instrument_id"], message.event_type.split(".")[1]
        if name == "issued" and body["terms"]["kind"] == "safe":
            self.safes[instrument_id] = Favoured(body["holder_id"], body["terms"])
        safe = self.safes.get(instrument_id)
        if safe is None:
            return
        if name == "transferred":
            safe.holder_id = body["holder_id_after"]
        elif name == "amended":
            safe.terms = body["terms"]
        elif name == "mfn_noticed":
            safe.notices[body["later_instrument_id"]] = body["terms"]
            safe.elect_until = max(safe.elect_until, body["elect_until"])
        elif name == "mfn_elected":
            self._check_election(message, safe, body["terms"], counted, is_limited=is_limited)

    def _check_election(
        self, message: Message, safe: Favoured, terms: Terms, counted: Decimal, *, is_limited: bool
    ) -> None:
        """Check that terms which are only worse are not elected, and that worse ones count."""
        require, sequence = self.findings.require, message.sequence
        is_only_worse = _may_lose(terms, safe.terms) and not _may_lose(safe.terms, terms)
        require(
            not is_only_worse, "alone", sequence, f"{dict(terms)} is elected, and only worse than {dict(safe.terms)}"
        )
        is_open = bool(safe.notices) and parse_instant(message.headers["ce-time"]) <= parse_instant(safe.elect_until)
        others = safe.notices.values() if is_open else ()
        passed = any(_may_lose(terms, each) and not _may_lose(each, terms) for each in others)
        gives = passed or _may_lose(terms, safe.terms)
        if gives and is_limited and message.headers.get("ce-actor") == safe.holder_id:
            require(counted > 0, "alone", sequence, f"{dict(terms)} gives terms up, and nothing counts toward a limit")


def _may_lose(terms: Terms, than: Terms) -> bool:
    """Return whether a holder may get less by the cap or the discount of these terms than by others."""
    caps = [Decimal(each.get("valuation_cap_usd") or _NEVER) for each in (terms, than)]
    discounts = [Decimal(each.get("discount") or 0) for each in (terms, than)]
    is_before_money = terms["conversion_timing"] == "pre_money" and than["conversion_timing"] == "post_money"
    return caps[0] > caps[1] or discounts[0] < discounts[1] or (is_before_money and caps[1] != _NEVER)
