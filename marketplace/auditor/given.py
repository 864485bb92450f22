"""Computes the least that a party gives up by an act: at the platform's valuation or what it paid, and principal."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

VALID: Final = timedelta(days=366)
"""How long a valuation counts."""
_CENT: Final = Decimal("0.01")
_PLACES: Final = 10**12
_PRINCIPAL: Final = frozenset({"instrument.principal_reversed", "instrument.repaid"})
Body = Mapping[str, Any]


@dataclass(slots=True)
class Right:
    """A promise or an option: of which issuer, whose, how many shares, and the exercise price; 0 for a promise."""

    issuer_id: str
    holder_id: str
    shares: int
    price: Fraction = Fraction(0)


@dataclass(slots=True)
class Given:
    """Folds what stock and rights are worth.

    Attributes:
        prices: The platform's valuation of a share of each issuer and its day, unless a round closed since.
        rights: Promises and options by id.
        lots: The shares, after all splits, that each holder of a class of an issuer was issued, and their USD.
    """

    prices: dict[str, tuple[Fraction, date]] = field(default_factory=dict)
    rights: dict[str, Right] = field(default_factory=dict)
    lots: dict[tuple[str, str, str], tuple[Fraction, Fraction]] = field(default_factory=dict)

    def take(self, event_type: str, body: Body) -> None:
        """Fold one event of an issuer."""
        match event_type.removesuffix(".v1"):
            case "issuer.valuation_recorded" if body.get("recorded_by") == "platform":
                price = Fraction(body["price_usd_per_share"])
                self.prices[body["issuer_id"]] = price, date.fromisoformat(body["effective_on"])
            case "issuer.financing_closed":
                self.prices.pop(body["issuer_id"], None)
            case "issuer.option_promised":
                self.rights[body["promise_id"]] = Right(body["issuer_id"], body["holder_id"], body["shares"])
            case "issuer.option_granted":
                price = Fraction(body["exercise_price_usd"])
                right = Right(body["issuer_id"], body["holder_id"], body["shares"], price)
                self.rights[body["option_id"]] = right
            case "issuer.stock_issued":
                row = body["issuer_id"], body["holder_id"], body["class_id"]
                shares, usd = self.lots.get(row, (Fraction(0), Fraction(0)))
                usd += body["shares"] * Fraction(body["price_usd_per_share"])
                self.lots[row] = shares + body["shares"], usd
            case "issuer.stock_split":
                self._split(body["issuer_id"], Fraction(body["numerator"], body["denominator"]))

    def _split(self, issuer_id: str, ratio: Fraction) -> None:
        if issuer_id in self.prices:
            price, day = self.prices[issuer_id]
            self.prices[issuer_id] = price / ratio, day
        for right in self.rights.values():
            if right.issuer_id == issuer_id:
                right.shares, right.price = int(right.shares * ratio), right.price / ratio
        for row, (shares, usd) in self.lots.items():
            if row[0] == issuer_id:
                self.lots[row] = shares * ratio, usd

    def find_least(self, event_type: str, body: Body, party_id: str, today: date) -> Decimal | None:
        """Return the least USD that a party gives up by an event; None if it gives nothing."""
        name = event_type.removesuffix(".v1")
        if name == "issuer.option_promise_withdrawn":
            right = self.rights.get(body["promise_id"])
            is_own = right is not None and right.holder_id == party_id
            return self._value(right.issuer_id, right.shares, Fraction(0), today) if right and is_own else None
        if body.get("holder_id") != party_id:
            return None
        if name in _PRINCIPAL and (name != "instrument.repaid" or body.get("early")):
            return Decimal(body["principal_usd"])
        paid = self._find_paid(name, body)
        if paid is None:
            return None
        shares, usd = self.lots.get((body["issuer_id"], party_id, body.get("class_id", "")), (Fraction(0), Fraction(0)))
        cost = int((usd / shares - paid) * body["shares"] * 100) * _CENT if shares else Decimal(0)
        return max(self._value(body["issuer_id"], body["shares"], paid, today), cost)

    def _find_paid(self, name: str, body: Body) -> Fraction | None:
        """Return what is paid for a share that its holder gives; None if the event gives none by itself."""
        match name:
            case "issuer.stock_transferred":
                return Fraction(0)
            case "issuer.stock_offered":
                return Fraction(body["price_usd_per_share"])
            case "issuer.stock_repurchased" if body.get("cause") is None:
                return Fraction(body["price_usd_per_share"])
            case "issuer.option_cancelled" if body["option_id"] in self.rights:
                return self.rights[body["option_id"]].price
            case _:
                return None

    def _value(self, issuer_id: str, shares: int, paid: Fraction, today: date) -> Decimal:
        """Return the USD of shares, rounded down to a cent; a cent if no valuation counts and nothing is paid."""
        price, day = self.prices.get(issuer_id, (Fraction(0), date.min))
        if today - day > VALID:
            return _CENT if shares and not paid else Decimal(0)
        rounded = Fraction(round(price * _PLACES), _PLACES)
        return max(int((rounded - paid) * shares * 100), 0) * _CENT
