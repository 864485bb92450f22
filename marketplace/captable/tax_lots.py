"""A holder's stock as tax lots: where every share came from, what it cost, and what was received for it.

The oldest shares of a class leave first, however they were acquired. Only a clawback takes first from the shares of its
own instrument. Stock that changes hands is paid for at the price of its offer. Without an offer the price is not known
and counts as zero. Stock that converts keeps its cost and its origin.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

from events import instrument as instruments
from events import issuer as issuers
from marketplace.captable.history import Act, History
from marketplace.core.ids import is_id
from marketplace.domain.equity.issuer.financing.financing import name_allotment

NOTHING = Fraction(0)


@dataclass(frozen=True, slots=True)
class TaxLot:
    """Shares of one class that were acquired together.

    Attributes:
        origin: The instrument that converted into them, or issuer and class if they were bought.
        class_id: Their present class.
        shares: How many, exact: a conversion may leave a lot, but not the holder's total, with a fraction.
        cost_usd: Their cost.
    """

    origin: str
    class_id: str
    shares: Fraction
    cost_usd: Fraction


@dataclass(slots=True)
class Tally:
    """Money paid and received for one origin, and the cost of its shares that are gone."""

    paid: list[tuple[date, Fraction]] = field(default_factory=list)
    received: list[tuple[date, Fraction]] = field(default_factory=list)
    cost_gone_usd: Fraction = NOTHING


class TaxLots:
    """A holder's present and past lots of an issuer's stock, folded act by act.

    Args:
        holder_id: The holder.
        history: The issuer's.
        costs: Cost in dollars of a dollar of principal, by instrument of the holder.

    Attributes:
        lots: The lots that are held now, oldest first.
        rights: Unused rights that were bought, such as warrants that principal became, by warrant.
        tallies: Money paid and received, by origin.
    """

    def __init__(self, holder_id: str, history: History, costs: Mapping[str, Fraction]) -> None:
        self._holder_id = holder_id
        self._issuer_id = history.issuer_id
        self._costs = costs
        self._conversions = [
            act.event
            for act in history.acts
            if isinstance(act.event, instruments.InstrumentConverted) and act.event.holder_id == holder_id
        ]
        self._prices: dict[str, Decimal] = {}
        self._invested: dict[str, Decimal] = {}
        self._rights: dict[str, Fraction] = {}
        self._handlers: dict[type[Any], Callable[[date, Any], None]] = {
            issuers.IssuerFinancingPriced: self._price,
            issuers.IssuerStockIssued: self._issue,
            issuers.IssuerStockOffered: self._offer,
            issuers.IssuerStockTransferred: self._transfer,
            issuers.IssuerStockRepurchased: self._repurchase,
            issuers.IssuerStockConverted: self._convert,
            issuers.IssuerStockSplit: self._split,
            issuers.IssuerOptionGranted: self._grant,
            issuers.IssuerWarrantIssued: self._grant,
            issuers.IssuerOptionExercised: self._exercise,
            issuers.IssuerWarrantExercised: self._exercise,
            issuers.IssuerWarrantExpired: self._end_rights,
            issuers.IssuerWarrantCancelled: self._end_rights,
        }
        self.lots: list[TaxLot] = []
        self.rights: dict[str, TaxLot] = {}
        self.tallies: dict[str, Tally] = {}
        for act in history.acts:
            self._follow(act)
        for conversion in self._conversions:
            self.tally(conversion.instrument_id).cost_gone_usd += self._find_cost(conversion)

    def tally(self, origin: str) -> Tally:
        """Return the money paid and received for an origin; an empty tally if there was none."""
        return self.tallies.setdefault(origin, Tally())

    def list_of(self, origin: str) -> list[TaxLot]:
        """Return the lots of an origin."""
        return [lot for lot in self.lots if lot.origin == origin]

    def list_rights(self, origin: str) -> dict[str, TaxLot]:
        """Return the unused rights that the principal of an origin bought, by warrant."""
        return {key: right for key, right in self.rights.items() if right.origin == origin and right.shares}

    def share_out(self, class_id: str, amount_usd: Fraction) -> Iterator[tuple[str, Fraction]]:
        """Yield each origin's share of an amount paid for a class, to the cent; the shares sum to the amount."""
        held = [lot for lot in self.lots if lot.class_id == class_id]
        whole, counted, given = sum((lot.shares for lot in held), NOTHING), NOTHING, 0
        for lot in held:
            counted += lot.shares
            cents = int(amount_usd * 100 * counted / whole)
            yield lot.origin, Fraction(cents - given, 100)
            given = cents

    def _follow(self, act: Act) -> None:
        handle = self._handlers.get(type(act.event))
        if handle is not None:
            handle(act.time.date(), act.event)

    def _name_bought(self, class_id: str) -> str:
        return f"{self._issuer_id}/{class_id}"

    def _buy(self, day: date, class_id: str, shares: int, cost_usd: Fraction) -> None:
        origin = self._name_bought(class_id)
        self.lots.append(TaxLot(origin, class_id, Fraction(shares), cost_usd))
        self.tally(origin).paid.append((day, cost_usd))

    def _find_cost(self, conversion: instruments.InstrumentConverted) -> Fraction:
        return Fraction(conversion.principal_usd) * self._costs.get(conversion.instrument_id, NOTHING)

    def _price(self, _: date, event: issuers.IssuerFinancingPriced) -> None:
        for each in event.pricing.allotments:
            self._invested[name_allotment(event.financing_id, each.holder_id)] = each.amount_usd

    def _issue(self, day: date, event: issuers.IssuerStockIssued) -> None:
        if event.holder_id != self._holder_id:
            return
        for index, made in enumerate(self._conversions):
            alike = (made.class_id, made.shares) == (event.class_id, event.shares)
            if alike and event.cause in {made.cause, made.instrument_id}:
                del self._conversions[index]
                cost = self._find_cost(made)
                self.lots.append(TaxLot(made.instrument_id, event.class_id, Fraction(event.shares), cost))
                return
        price_usd = event.shares * Fraction(event.price_usd_per_share)
        moved_usd = self._invested.get(event.security_id)  # a round takes it all, also what buys no whole share
        self._buy(day, event.class_id, event.shares, price_usd if moved_usd is None else Fraction(moved_usd))

    def _offer(self, _: date, event: issuers.IssuerStockOffered) -> None:
        self._prices[event.transfer_id] = event.price_usd_per_share

    def _transfer(self, day: date, event: issuers.IssuerStockTransferred) -> None:
        price = Fraction(self._prices.get(event.transfer_id, Decimal(0)))
        if event.holder_id == self._holder_id:
            moved = price if is_id(event.holder_id_after, "pty") else NOTHING
            self._sell(day, event.class_id, event.shares, moved)
        if event.holder_id_after == self._holder_id:
            self._buy(day, event.class_id, event.shares, event.shares * price)

    def _repurchase(self, day: date, event: issuers.IssuerStockRepurchased) -> None:
        if event.holder_id == self._holder_id:
            self._sell(day, event.class_id, event.shares, Fraction(event.price_usd_per_share), event.cause)

    def _sell(self, day: date, class_id: str, shares: int, price_usd: Fraction, first: str | None = None) -> None:
        for lot in self._take(class_id, shares, first):
            tally = self.tally(lot.origin)
            tally.received.append((day, lot.shares * price_usd))
            tally.cost_gone_usd += lot.cost_usd

    def _convert(self, _: date, event: issuers.IssuerStockConverted) -> None:
        if event.holder_id != self._holder_id:
            return
        ratio = Fraction(event.shares_after, event.shares)
        for lot in self._take(event.class_id, event.shares):
            if not ratio:
                self.tally(lot.origin).cost_gone_usd += lot.cost_usd
                continue
            self.lots.append(replace(lot, class_id=event.class_id_after, shares=lot.shares * ratio))

    def _split(self, _: date, event: issuers.IssuerStockSplit) -> None:
        ratio = Fraction(event.numerator, event.denominator)
        self.lots = [replace(lot, shares=lot.shares * ratio) for lot in self.lots]
        self._rights = {right: price / ratio for right, price in self._rights.items()}
        self.rights = {key: replace(right, shares=right.shares * ratio) for key, right in self.rights.items()}

    def _grant(self, _: date, event: issuers.IssuerOptionGranted | issuers.IssuerWarrantIssued) -> None:
        right = event.option_id if isinstance(event, issuers.IssuerOptionGranted) else event.warrant_id
        self._rights[right] = Fraction(event.exercise_price_usd)
        for index, made in enumerate(self._conversions):
            if made.cause == right and isinstance(event, issuers.IssuerWarrantIssued):
                del self._conversions[index]
                shares = Fraction(event.shares)
                self.rights[right] = TaxLot(made.instrument_id, event.class_id, shares, self._find_cost(made))
                return

    def _end_rights(self, _: date, event: issuers.IssuerWarrantExpired | issuers.IssuerWarrantCancelled) -> None:
        if event.warrant_id in self.rights:
            origin = self.rights[event.warrant_id].origin
            self.tally(origin).cost_gone_usd += self._use(event.warrant_id, event.shares)

    def _use(self, warrant_id: str, shares: int) -> Fraction:
        """Remove rights, and return their cost."""
        right = self.rights[warrant_id]
        part = min(Fraction(shares), right.shares)
        cost = right.cost_usd * part / right.shares if part else NOTHING
        self.rights[warrant_id] = replace(right, shares=right.shares - part, cost_usd=right.cost_usd - cost)
        return cost

    def _exercise(self, day: date, event: issuers.IssuerOptionExercised | issuers.IssuerWarrantExercised) -> None:
        """Exercise a right; in a net exercise, shares are given up in place of cash."""
        if event.holder_id != self._holder_id:
            return
        if isinstance(event, issuers.IssuerOptionExercised):
            price = self._rights[event.option_id]
        else:
            own = event.exercise_price_usd
            price = self._rights[event.warrant_id] if own is None else Fraction(own)
            price = NOTHING if event.shares_surrendered else price
            if event.warrant_id in self.rights:
                self._exercise_bought(day, event, event.shares * price)
                return
        self._buy(day, event.class_id, event.shares, event.shares * price)

    def _exercise_bought(self, day: date, event: issuers.IssuerWarrantExercised, paid_usd: Fraction) -> None:
        """Set the cost of shares to the cost of their rights plus that of the exercise."""
        origin = self.rights[event.warrant_id].origin
        cost = self._use(event.warrant_id, event.shares + event.shares_surrendered) + paid_usd
        self.lots.append(TaxLot(origin, event.class_id, Fraction(event.shares), cost))
        self.tally(origin).paid.append((day, paid_usd))

    def _take(self, class_id: str, shares: int, first: str | None = None) -> list[TaxLot]:
        """Remove shares of a class and return them: those of a given origin first, then the oldest."""
        taken, left, kept = [], Fraction(shares), list(self.lots)
        for lot in sorted(self.lots, key=lambda each: each.origin != first):
            part = min(left, lot.shares)
            if lot.class_id != class_id or not part:
                continue
            cost = lot.cost_usd * part / lot.shares
            taken.append(replace(lot, shares=part, cost_usd=cost))
            rest = replace(lot, shares=lot.shares - part, cost_usd=lot.cost_usd - cost)
            place = next(index for index, each in enumerate(kept) if each is lot)
            kept[place] = rest
            left -= part
        self.lots = [lot for lot in kept if lot.shares]
        return taken
