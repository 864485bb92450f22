"""A holder's positions, from the histories of the issuers whose equity it holds.

A position is an instrument, stock bought without one, an option or a warrant.

Cost is what the holder paid at the signed price: for a tranche of compute, the holder's part of the accepted statement;
for cash, the principal; for stock of a round, all that was invested. A later clawback does not reduce the cost, and
money paid back for it adds to the cost.

Receipts are money that moved on the ledger. Stock that went to a holder who is not a party here brings no receipt,
because the ledger does not record that payment.

Marks: stock is worth the price of the latest closed round with new money (``last_round``, `marks`) for each common
share that it converts into, or its cost if there was none. An option, or what has vested of a warrant, is worth that
price less its exercise price. Principal that is not converted is worth its cost. A position that ended in a sale is
worth nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Final, Literal, NamedTuple

from events import instrument as instruments
from events import issuer as issuers
from marketplace.captable.history import Act, History
from marketplace.captable.marks import MarkSource, find_mark
from marketplace.captable.tax_lots import TaxLot, TaxLots
from marketplace.core.money import SECONDS_PER_HOUR
from marketplace.domain.equity.instrument.state import Instrument
from marketplace.domain.equity.issuer.state import Issuer, Option, Warrant
from marketplace.domain.supply.gpu_vendors import find_vendor
from marketplace.equity.portfolio import Position
from marketplace.equity.rates import Flow

NO_SECTOR: Final = "unknown"
NO_VENDOR: Final = "none"
Dated = tuple[date, Fraction]
CREDIT: Final = "credit "
"""The start of a reversal's reason if a statement's credit caused it; the statement's id follows."""


class Delivery(NamedTuple):
    """An accepted statement, with the holder's payment and the GPU-seconds; or a credit, with the holder's refund.

    Attributes:
        holder_usd: Dollars that the holder paid, or that a credit gave back to it.
        gpu_seconds: The GPU-seconds of the statement.
        principal_usd: The principal that the statement accrues in all its parts, or that the credit takes back. Each
            part costs and delivers in proportion to its principal.
    """

    holder_usd: Decimal
    gpu_seconds: int
    principal_usd: Decimal


class Source(NamedTuple):
    """The provider and GPU class of a grant's compute."""

    gpu_class: str
    provider_id: str


class HeldIssuer(NamedTuple):
    """An issuer whose equity the holder has: its history, its sector, and who is related to it or to the holder."""

    history: History
    sector: str | None
    related: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Prices:
    """Dollars for a GPU-hour by class: the list price elsewhere, and the holder's own cost of delivery."""

    retail_usd: Mapping[str, Decimal] = field(default_factory=dict)
    own_cost_usd: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Held:
    """A position, its details, and its cash flows.

    Attributes:
        position: Its amounts, for the totals of the portfolio.
        issuer_name: Legal name of the company.
        status: ``open``; ``ended`` after a sale of the company, or once nothing of it is left.
        shares: Shares that are held now; of an option or warrant, shares that it still gives.
        principal_usd: Principal that is not converted.
        gpu_hours: GPU-hours delivered and accepted.
        cost_gone_usd: Cost of the part that is no longer held.
        flows: Cash flows: negative if paid in, positive if received; without the mark.
        mark_source: The round that the mark follows; None if it follows none.
    """

    position: Position
    issuer_name: str
    status: Literal["open", "ended"]
    shares: int
    principal_usd: Decimal
    gpu_hours: Fraction
    cost_gone_usd: Fraction
    flows: tuple[Flow, ...]
    mark_source: MarkSource | None


def list_positions(
    holder_id: str,
    held: Sequence[HeldIssuer],
    deliveries: Mapping[str, Delivery],
    sources: Mapping[str, Source],
    prices: Prices,
) -> tuple[Held, ...]:
    """Return a holder's positions by issuer and instrument.

    Args:
        holder_id: The holder.
        held: Histories up to the instant of the portfolio.
        deliveries: Deliveries by statement id. A tranche without one costs its principal.
        sources: Sources by grant id.
        prices: Prices for retail value and own cost.
    """
    found: list[Held] = []
    for each in held:
        issuer = each.history.find_issuer()
        if issuer is not None:
            company = _Company(each, issuer, holder_id, deliveries)
            found.extend(_list_instruments(company, sources, prices))
            found.extend(_list_stock(company))
            found.extend(_list_rights(company))
    return tuple(found)


@dataclass(slots=True)
class _Agreement:
    """One of the holder's instruments: the cost of its tranches, and money paid and received besides its shares."""

    state: Instrument
    paid: list[tuple[date, Fraction]] = field(default_factory=list)
    received: list[tuple[date, Fraction]] = field(default_factory=list)
    debts_usd: Fraction = Fraction(0)
    gone_usd: Fraction = Fraction(0)
    refunded_usd: Decimal = Decimal(0)
    gpu_seconds: Fraction = Fraction(0)

    @property
    def cost_per_principal(self) -> Fraction:
        """Dollars that a dollar of principal cost, on average, without principal whose money was paid back."""
        accrued = sum((tranche.accrued_usd for tranche in self.state.tranches), -self.refunded_usd)
        return sum((cost for _, cost in self.paid), Fraction(0)) / Fraction(accrued) if accrued else Fraction(0)


class _Company:
    """One issuer for a holder: its latest price, its splits, its sale's payouts, and the holder's stock."""

    def __init__(self, held: HeldIssuer, issuer: Issuer, holder_id: str, deliveries: Mapping[str, Delivery]) -> None:
        self.history = held.history
        self.issuer = issuer
        self.holder_id = holder_id
        self.sector = held.sector or NO_SECTOR
        self.mark = find_mark(held.history, issuer, {holder_id, *held.related})
        self.ended_on = _find_end(held.history) if issuer.is_ended else None
        self.agreements = {
            key: _Agreement(state)
            for key, state in held.history.list_instruments().items()
            if state.holder_id == holder_id
        }
        for act in held.history.acts:
            if act.aggregate in self.agreements:
                _follow(self.agreements[act.aggregate], act, deliveries, issuer.liquidity_id)
        costs = {key: each.cost_per_principal for key, each in self.agreements.items()}
        self.lots = TaxLots(holder_id, held.history, costs)
        self.sold = self._share_out()

    def _share_out(self) -> dict[str, Fraction]:
        """Return the sale's payout for the stock of each origin."""
        sold: dict[str, Fraction] = {}
        for class_id in self.issuer.classes if self.ended_on is not None else ():
            for origin, amount in self.lots.share_out(class_id, self.pay(class_id)):
                sold[origin] = sold.get(origin, Fraction(0)) + amount
        return sold

    def value(self, lots: Sequence[TaxLot]) -> Fraction | None:
        """Return the value of stock at the latest price; None if no round is a mark."""
        prices = [self.find_class_price(lot.class_id) for lot in lots]
        if self.find_price() is None:
            return None
        return sum((lot.shares * (price or 0) for lot, price in zip(lots, prices, strict=True)), Fraction(0))

    @property
    def issuer_id(self) -> str:
        return self.history.issuer_id

    def find_class_price(self, class_id: str) -> Fraction | None:
        """Return the value of a share of a class: the mark of the common shares that it converts into; else None."""
        price = self.find_price()
        return None if price is None else price * self.issuer.classes[class_id].conversion_ratio

    def find_gain(self, right: Option | Warrant) -> tuple[Fraction | None, Fraction]:
        """Return the latest price of a right's share, and the right's value at it; None and 0 if no round is a mark."""
        class_id = right.issued.class_id if isinstance(right, Warrant) else None
        price = self.find_price() if class_id is None else self.find_class_price(class_id)
        if price is None:
            return None, Fraction(0)
        if isinstance(right, Option):
            return price, max(price - right.exercise_price_usd, Fraction(0)) * right.shares_outstanding
        gains = (
            max(price - (right.exercise_price_usd if each.price_usd is None else each.price_usd), Fraction(0))
            * (each.outstanding - each.unvested)
            for each in right.tranches
        )
        return price, sum(gains, Fraction(0))

    def value_rights(self, rights: Mapping[str, TaxLot]) -> Fraction:
        """Return the value of bought rights at the latest price, or their cost if no round is a mark."""
        if self.find_price() is None:
            return sum((right.cost_usd for right in rights.values()), Fraction(0))
        return sum((self.find_gain(self.issuer.warrants[key])[1] for key in rights), Fraction(0))

    def find_price(self) -> Fraction | None:
        """Return the price of a common share that marks follow; None if no round is a mark."""
        return None if self.mark is None else self.mark.price_usd

    def pay(self, security: str) -> Fraction:
        """Return what the sale paid the holder for an instrument, a right or a class."""
        if self.ended_on is None or self.issuer.liquidity_id is None:
            return Fraction(0)
        sale = self.issuer.sales[self.issuer.liquidity_id]
        payouts = ((each.holder_id, each.security, each.amount_usd) for each in sale.declared.waterfall.payouts)
        later = ((each.holder_id, each.instrument_id, each.amount_usd) for each in sale.later)
        own = (amount for *paid, amount in (*payouts, *later) if paid == [self.holder_id, security])
        return Fraction(sum(own, Decimal(0)))


def _find_end(history: History) -> date | None:
    paid = (act.time.date() for act in history.acts if isinstance(act.event, issuers.IssuerDistributionPaid))
    return next(paid, None)


def _follow(agreement: _Agreement, act: Act, deliveries: Mapping[str, Delivery], sale: str | None) -> None:
    """Add one act of an agreement to its cost and receipts; a sale's payout comes from its waterfall."""
    event, day = act.event, act.time.date()
    if isinstance(event, instruments.InstrumentPrincipalAccrued):
        delivery = deliveries.get(event.statement_id or "")
        cost = Fraction(event.principal_usd)
        if delivery is not None and delivery.principal_usd:
            part = cost / Fraction(delivery.principal_usd)
            cost = part * Fraction(delivery.holder_usd)
            agreement.gpu_seconds += part * delivery.gpu_seconds
        agreement.paid.append((day, cost))
    elif isinstance(event, instruments.InstrumentDebtPaid):
        agreement.debts_usd += Fraction(event.amount_usd)
        agreement.received.append((day, -Fraction(event.amount_usd)))
    elif isinstance(event, instruments.InstrumentPrincipalReversed):
        _reverse(agreement, event, day, deliveries)
    elif isinstance(event, instruments.InstrumentRepaid) and event.cause != sale:
        agreement.gone_usd += Fraction(event.principal_usd)
        agreement.received.append((day, Fraction(event.amount_usd)))


def _reverse(
    agreement: _Agreement, event: instruments.InstrumentPrincipalReversed, day: date, deliveries: Mapping[str, Delivery]
) -> None:
    """Record the refund of reversed principal. Without a credit no money moved, and the cost counts as gone."""
    credit = deliveries.get(event.reason.removeprefix(CREDIT))
    refund = Fraction(0)
    if credit is not None and credit.principal_usd:
        refund = Fraction(credit.holder_usd) * Fraction(event.principal_usd) / Fraction(credit.principal_usd)
    if event.became != "outstanding":
        agreement.received.append((day, refund))
    elif refund:
        agreement.paid.append((day, -refund))
        agreement.refunded_usd += event.principal_usd
    else:
        agreement.gone_usd += Fraction(event.principal_usd)


def _list_instruments(company: _Company, sources: Mapping[str, Source], prices: Prices) -> Iterator[Held]:
    for instrument_id, agreement in company.agreements.items():
        source = sources.get(agreement.state.issued.grant_id or "")
        yield _build_instrument(company, instrument_id, agreement, source, prices)


def _build_instrument(
    company: _Company, instrument_id: str, agreement: _Agreement, source: Source | None, prices: Prices
) -> Held:
    state, tally = agreement.state, company.lots.tally(instrument_id)
    lots = company.lots.list_of(instrument_id)
    worth, rights = company.value(lots), company.lots.list_rights(instrument_id)
    at_cost = agreement.cost_per_principal * Fraction(state.outstanding_usd)
    converted = sum((lot.cost_usd for lot in lots), Fraction(0))
    mark = at_cost + (converted if worth is None else worth) + company.value_rights(rights)
    gpu_class = None if source is None else source.gpu_class
    hours = agreement.gpu_seconds / SECONDS_PER_HOUR
    sold = sum(map(company.pay, (instrument_id, *rights)), company.sold.get(instrument_id, Fraction(0)))
    position = Position(
        instrument_id=instrument_id,
        issuer_id=company.issuer_id,
        sector=company.sector,
        gpu_vendor=NO_VENDOR if gpu_class is None else find_vendor(gpu_class),
        instrument_kind=str(type(state.issued.terms).__struct_config__.tag),
        paid_in_usd=_sum(agreement.paid) + agreement.debts_usd + _sum(tally.paid),
        mark_usd=mark,
        mark_method="last_round" if (lots or rights) and worth is not None else "cost",
        distributed_usd=_sum([each for each in agreement.received if each[1] > 0]) + _sum(tally.received) + sold,
        undrawn_usd=state.open_usd,
        retail_usd=_value(hours, gpu_class, prices.retail_usd),
        own_cost_usd=_value(hours, gpu_class, prices.own_cost_usd),
        provider_id=None if source is None else source.provider_id,
    )
    gone = tally.cost_gone_usd + agreement.gone_usd * agreement.cost_per_principal + agreement.debts_usd
    flows = [*_pay(agreement.paid), *_pay(tally.paid), *agreement.received, *tally.received]
    content = _Content([*lots, *rights.values()], gone, sold, state.outstanding_usd, hours)
    return _finish(company, position, flows, content)


def _value(hours: Fraction, gpu_class: str | None, prices: Mapping[str, Decimal]) -> Fraction | None:
    price = prices.get(gpu_class or "")
    return None if price is None else hours * Fraction(price)


def _list_stock(company: _Company) -> Iterator[Held]:
    """Yield stock bought without an instrument, by the class that was bought, even if it is no longer held."""
    for origin, tally in sorted(company.lots.tallies.items()):
        if origin in company.agreements:
            continue
        lots = company.lots.list_of(origin)
        worth, paid = company.value(lots), _sum(tally.paid)
        sold = company.sold.get(origin, Fraction(0))
        position = Position(
            instrument_id=origin,
            issuer_id=company.issuer_id,
            sector=company.sector,
            gpu_vendor=NO_VENDOR,
            instrument_kind="stock",
            paid_in_usd=paid,
            mark_usd=paid - tally.cost_gone_usd if worth is None else worth,
            mark_method="cost" if worth is None else "last_round",
            distributed_usd=_sum(tally.received) + sold,
        )
        flows = [*_pay(tally.paid), *tally.received]
        yield _finish(company, position, flows, _Content(lots, tally.cost_gone_usd, sold))


def _list_rights(company: _Company) -> Iterator[Held]:
    """Yield options and warrants that cost nothing; their value is the latest price less the exercise price."""
    rights: list[tuple[str, str, str, Option | Warrant]] = [
        *(("warrant", key, each.holder_id, each) for key, each in sorted(company.issuer.warrants.items())),
        *(("option", key, each.holder_id, each) for key, each in sorted(company.issuer.options.items())),
    ]
    for kind, security, holder, right in rights:
        if holder != company.holder_id or not right.shares_outstanding or security in company.lots.rights:
            continue
        price, gain = company.find_gain(right)
        sold = company.pay(security)
        position = Position(
            instrument_id=security,
            issuer_id=company.issuer_id,
            sector=company.sector,
            gpu_vendor=NO_VENDOR,
            instrument_kind=kind,
            paid_in_usd=Decimal(0),
            mark_usd=gain,
            mark_method="cost" if price is None else "last_round",
            distributed_usd=sold,
        )
        shares = Fraction(right.shares_outstanding)
        content = _Content([TaxLot(security, "", shares, Fraction(0))], Fraction(0), sold)
        yield _finish(company, position, [], content)


class _Content(NamedTuple):
    """A position's content, the cost of the part no longer held, and a sale's payout for it."""

    lots: Sequence[TaxLot]
    gone_usd: Fraction
    sold_usd: Fraction
    principal_usd: Decimal = Decimal(0)
    gpu_hours: Fraction = Fraction(0)


def _finish(
    company: _Company,
    position: Position,
    flows: Sequence[Dated],
    content: _Content,
) -> Held:
    """Return the finished position; it has ended if nothing is left or the company was sold."""
    left = bool(content.lots or content.principal_usd or position.undrawn_usd or not flows)
    ended = company.ended_on is not None or not left
    gone_usd = Fraction(position.paid_in_usd) if ended else content.gone_usd
    if ended:
        position = replace(position, mark_usd=Fraction(0), mark_method="write_off", undrawn_usd=Decimal(0))
    if company.ended_on is not None:
        flows = [*flows, (company.ended_on, content.sold_usd)]
    return Held(
        position=position,
        issuer_name=company.issuer.formed.legal_name,
        status="ended" if ended else "open",
        shares=int(sum((lot.shares for lot in content.lots), Fraction(0))),
        principal_usd=content.principal_usd,
        gpu_hours=content.gpu_hours,
        cost_gone_usd=gone_usd,
        flows=tuple(Flow(day, amount) for day, amount in flows if amount),
        mark_source=company.mark.source if company.mark and position.mark_method == "last_round" else None,
    )


def _pay(dated: Sequence[Dated]) -> list[Dated]:
    return [(day, -amount) for day, amount in dated]


def _sum(dated: Sequence[Dated]) -> Fraction:
    return sum((amount for _, amount in dated), Fraction(0))
