"""A holder's positions, from the histories of the issuers whose equity it holds.

A position is an instrument, stock that came by no instrument, an option or a warrant. Cost is what the holder paid at
the signed price: for a tranche of compute the holder's part of the accepted statement, for cash the principal. What was
clawed back later stays a cost, and so is what was paid back for it. Marks:
stock at the price of the latest closed round (``last_round``) for every share of common that it converts into, or at
what was paid where there was none; rights at what that price is above their own; principal that is not converted at
its cost; what ended in a sale at nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Final, Literal, NamedTuple

from events import instrument as instruments
from events import issuer as issuers
from marketplace.captable.history import History
from marketplace.domain.instrument import Instrument
from marketplace.domain.issuer import Issuer
from marketplace.domain.issuer_state import Option, Warrant
from marketplace.equity.portfolio import MarkMethod, Position
from marketplace.equity.rates import Flow

SECONDS_PER_HOUR: Final = 3_600
NO_SECTOR: Final = "unknown"
NO_VENDOR: Final = "none"
_VENDORS: Final = (
    (("MI",), "amd"),
    (("GAUDI",), "intel"),
    (("TPU",), "google"),
    (("TRN", "INF"), "aws"),
    (("A1", "A2", "A3", "A4", "B1", "B2", "B3", "GB", "GH", "H1", "H2", "L4", "RTX", "T4", "V1"), "nvidia"),
)


class Delivery(NamedTuple):
    """An accepted statement as its holder sees it: what it paid, for how many GPU-seconds."""

    holder_usd: Decimal
    gpu_seconds: int


class Source(NamedTuple):
    """Where the compute of a grant comes from."""

    gpu_class: str
    provider_id: str


class HeldIssuer(NamedTuple):
    """An issuer whose equity the holder has: what had happened to it, and its sector."""

    history: History
    sector: str | None


@dataclass(frozen=True, slots=True)
class Prices:
    """What a GPU-hour is worth elsewhere, by class: at list price, and what it costs the holder itself to deliver."""

    retail_usd: Mapping[str, Decimal] = field(default_factory=dict)
    own_cost_usd: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Held:
    """A position, what it is held as, and its cash flows.

    Attributes:
        position: For the sums of the book.
        status: ``open``, or ``ended`` by a sale.
        shares: What its principal became, or the stock.
        principal_usd: Not converted.
        gpu_hours: Delivered and accepted.
        flows: Paid in below zero, received above; the mark is not among them.
    """

    position: Position
    status: Literal["open", "ended"]
    shares: int
    principal_usd: Decimal
    gpu_hours: Fraction
    flows: tuple[Flow, ...]


def find_vendor(gpu_class: str) -> str:
    """Return the vendor of a GPU class by how its name begins; ``other`` where that tells nothing."""
    found = (vendor for names, vendor in _VENDORS if gpu_class.startswith(names))
    return next(found, "other")


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
        held: Histories up to the instant of the book.
        deliveries: By statement id; a tranche whose statement is not among them costs its principal.
        sources: By grant id.
        prices: For retail value and own cost.
    """
    found: list[Held] = []
    for each in held:
        issuer = each.history.find_issuer()
        if issuer is not None:
            company = _Company(each, issuer)
            found.extend(_list_instruments(holder_id, company, deliveries, sources, prices))
            found.extend(_list_stock(holder_id, company))
            found.extend(_list_rights(holder_id, company))
    return tuple(found)


class _Company:
    """One issuer as holders see it: its latest price, its splits, and what its sale paid."""

    def __init__(self, held: HeldIssuer, issuer: Issuer) -> None:
        self.history = held.history
        self.issuer = issuer
        self.sector = held.sector or NO_SECTOR
        self.ended_on = _find_end(held.history) if issuer.is_ended else None

    @property
    def issuer_id(self) -> str:
        return self.history.issuer_id

    def split_after(self, time: datetime) -> Fraction:
        """Return by how much splits after an instant multiplied shares."""
        ratio = Fraction(1)
        for act in self.history.acts:
            if isinstance(act.event, issuers.IssuerStockSplit) and act.time > time:
                ratio *= Fraction(act.event.numerator, act.event.denominator)
        return ratio

    def find_class_price(self, class_id: str) -> Fraction | None:
        """Return what a share of a class is worth at the latest price: so many shares of common as it converts into."""
        price = self.find_price()
        return None if price is None else price * self.issuer.classes[class_id].conversion_ratio

    def find_price(self) -> Fraction | None:
        """Return the price of the latest closed round, for a share of today; None where no round was closed."""
        for act in reversed(self.history.acts):
            if isinstance(act.event, issuers.IssuerFinancingClosed):
                pricing = self.issuer.financings[act.event.financing_id].pricing
                assert pricing is not None, "a round is closed at a price"
                return Fraction(pricing.price_usd_per_share) / self.split_after(act.time)
        return None

    def pay(self, holder_id: str, security: str) -> Decimal:
        """Return what the sale paid a holder for an instrument or a class."""
        if self.ended_on is None or self.issuer.liquidity_id is None:
            return Decimal(0)
        payouts = self.issuer.sales[self.issuer.liquidity_id].declared.waterfall.payouts
        return sum(
            (each.amount_usd for each in payouts if (each.holder_id, each.security) == (holder_id, security)),
            Decimal(0),
        )


def _find_end(history: History) -> date | None:
    paid = (act.time.date() for act in history.acts if isinstance(act.event, issuers.IssuerDistributionPaid))
    return next(paid, None)


def _list_instruments(
    holder_id: str,
    company: _Company,
    deliveries: Mapping[str, Delivery],
    sources: Mapping[str, Source],
    prices: Prices,
) -> Iterator[Held]:
    for instrument_id, state in company.history.list_instruments().items():
        if state.issued.holder_id == holder_id:
            acts = [act for act in company.history.acts if act.aggregate == instrument_id]
            costs = [
                (act.time.date(), *_find_cost(act.event, deliveries))
                for act in acts
                if isinstance(act.event, instruments.InstrumentPrincipalAccrued)
            ]
            debts = [
                (act.time.date(), act.event.amount_usd)
                for act in acts
                if isinstance(act.event, instruments.InstrumentDebtPaid)
            ]
            source = sources.get(state.issued.grant_id or "")
            yield _build_instrument(company, state, costs, debts, source=source, prices=prices)


def _find_cost(
    event: instruments.InstrumentPrincipalAccrued, deliveries: Mapping[str, Delivery]
) -> tuple[Decimal, int]:
    delivery = deliveries.get(event.statement_id or "")
    return (event.principal_usd, 0) if delivery is None else (delivery.holder_usd, delivery.gpu_seconds)


def _build_instrument(
    company: _Company,
    state: Instrument,
    costs: Sequence[tuple[date, Decimal, int]],
    debts: Sequence[tuple[date, Decimal]],
    *,
    source: Source | None,
    prices: Prices,
) -> Held:
    holder_id = state.issued.holder_id
    paid = sum((cost for _, cost, _ in costs), Decimal(0))
    hours = Fraction(sum(seconds for _, _, seconds in costs), SECONDS_PER_HOUR)
    shares = _sum_shares(company, state)
    back = company.pay(holder_id, state.issued.instrument_id) + _pay_converted(holder_id, company, state)
    mark, method = _mark(company, state, paid, shares)
    open_draw = state.status in {"drawing", "suspended"} and company.ended_on is None
    gpu_class = None if source is None else source.gpu_class
    position = Position(
        instrument_id=state.issued.instrument_id,
        issuer_id=company.issuer_id,
        sector=company.sector,
        gpu_vendor=NO_VENDOR if gpu_class is None else find_vendor(gpu_class),
        instrument_kind=str(type(state.issued.terms).__struct_config__.tag),
        paid_in_usd=paid + sum((amount for _, amount in debts), Decimal(0)),
        mark_usd=mark,
        mark_method=method,
        distributed_usd=back,
        undrawn_usd=state.undrawn_usd if open_draw else Decimal(0),
        retail_usd=_value(hours, gpu_class, prices.retail_usd),
        own_cost_usd=_value(hours, gpu_class, prices.own_cost_usd),
        provider_id=None if source is None else source.provider_id,
    )
    return Held(
        position=position,
        status="open" if company.ended_on is None else "ended",
        shares=shares,
        principal_usd=state.outstanding_usd,
        gpu_hours=hours,
        flows=_build_flows([*((day, cost) for day, cost, _ in costs), *debts], back, company.ended_on),
    )


def _sum_shares(company: _Company, state: Instrument, class_id: str | None = None) -> int:
    """Return the shares that an instrument became and that were not clawed back, of one class or all, as of today."""
    shares = Fraction(0)
    for act in company.history.acts:
        event, counted = act.event, 0
        if act.aggregate != state.issued.instrument_id:
            continue
        if isinstance(event, instruments.InstrumentConverted) and class_id in (None, event.class_id):
            counted = event.shares
        elif (
            isinstance(event, instruments.InstrumentPrincipalReversed)
            and event.taken is not None
            and class_id in (None, event.taken.class_id)
        ):
            counted = -event.taken.shares
        shares += counted * company.split_after(act.time)
    return int(shares)


def _pay_converted(holder_id: str, company: _Company, state: Instrument) -> Decimal:
    """Return what the sale paid for the shares of an instrument: its part of the holder's class, to the cent."""
    back = Decimal(0)
    for class_id in sorted({conversion.class_id for conversion in state.conversions}):
        held = company.issuer.holdings.get((holder_id, class_id), 0)
        own = _sum_shares(company, state, class_id)
        if held:
            part = Fraction(company.pay(holder_id, class_id)) * min(Fraction(own, held), Fraction(1))
            back += Decimal(int(part * 100)).scaleb(-2)
    return back


def _mark(company: _Company, state: Instrument, paid: Decimal, shares: int) -> tuple[Fraction, MarkMethod]:
    if company.ended_on is not None:
        return Fraction(0), "write_off"
    accrued = sum((tranche.accrued_usd for tranche in state.tranches), Decimal(0))
    at_cost = Fraction(paid) * Fraction(state.outstanding_usd) / Fraction(accrued) if accrued else Fraction(0)
    if not shares or company.find_price() is None:
        return at_cost, "cost"
    worth = Fraction(0)
    for class_id in {conversion.class_id for conversion in state.conversions if conversion.shares}:
        worth += _sum_shares(company, state, class_id) * (company.find_class_price(class_id) or 0)
    return at_cost + worth, "last_round"


def _value(hours: Fraction, gpu_class: str | None, prices: Mapping[str, Decimal]) -> Fraction | None:
    price = prices.get(gpu_class or "")
    return None if price is None else hours * Fraction(price)


def _build_flows(costs: Sequence[tuple[date, Decimal]], back: Decimal, ended_on: date | None) -> tuple[Flow, ...]:
    flows = [Flow(day, -cost) for day, cost in costs if cost]
    if back and ended_on is not None:
        flows.append(Flow(ended_on, back))
    return tuple(flows)


def _list_stock(holder_id: str, company: _Company) -> Iterator[Held]:
    """Yield stock that no instrument of the holder became, by class."""
    own = [each for each in company.history.list_instruments().values() if each.issued.holder_id == holder_id]
    for (holder, class_id), shares in sorted(company.issuer.holdings.items()):
        if holder != holder_id:
            continue
        converted = sum(_sum_shares(company, each, class_id) for each in own)
        left = shares - min(shares, converted)
        if left:
            yield _build_stock(holder_id, company, class_id, left, shares)


def _build_stock(holder_id: str, company: _Company, class_id: str, shares: int, held: int) -> Held:
    converted = _list_converted(holder_id, company)
    costs = [
        (act.time.date(), act.event.shares * act.event.price_usd_per_share)
        for act in company.history.acts
        if isinstance(act.event, issuers.IssuerStockIssued)
        and (act.event.holder_id, act.event.class_id) == (holder_id, class_id)
        and (act.event.cause, act.event.shares) not in converted
    ]
    paid = sum((cost for _, cost in costs), Decimal(0))
    back = Decimal(int(Fraction(company.pay(holder_id, class_id)) * Fraction(shares, held) * 100)).scaleb(-2)
    price = company.find_class_price(class_id)
    mark, method = (Fraction(paid), "cost") if price is None else (shares * price, "last_round")
    ended = company.ended_on is not None
    position = Position(
        instrument_id=f"{company.issuer_id}/{class_id}",
        issuer_id=company.issuer_id,
        sector=company.sector,
        gpu_vendor=NO_VENDOR,
        instrument_kind="stock",
        paid_in_usd=paid,
        mark_usd=Fraction(0) if ended else mark,
        mark_method="write_off" if ended else method,  # type: ignore[arg-type]
        distributed_usd=back,
    )
    flows = _build_flows(costs, back, company.ended_on)
    return Held(position, "ended" if ended else "open", shares, Decimal(0), Fraction(0), flows)


def _list_converted(holder_id: str, company: _Company) -> set[tuple[str | None, int]]:
    """Return cause and shares of the issues that were conversions, whose cost is the instrument's."""
    found: set[tuple[str | None, int]] = set()
    for act in company.history.acts:
        event = act.event
        if isinstance(event, instruments.InstrumentConverted) and event.holder_id == holder_id:
            found |= {(event.cause, event.shares), (event.instrument_id, event.shares)}
    return found


def _list_rights(holder_id: str, company: _Company) -> Iterator[Held]:
    """Yield options and warrants, which cost nothing and are worth what the latest price is above their own."""
    rights: list[tuple[str, str, str, Option | Warrant]] = [
        *(("warrant", key, each.issued.holder_id, each) for key, each in sorted(company.issuer.warrants.items())),
        *(("option", key, each.granted.holder_id, each) for key, each in sorted(company.issuer.options.items())),
    ]
    for kind, security, holder, right in rights:
        if holder != holder_id or not right.shares_outstanding:
            continue
        class_id = right.issued.class_id if isinstance(right, Warrant) else None
        price = company.find_price() if class_id is None else company.find_class_price(class_id)
        gain = Fraction(0) if price is None else max(price - right.exercise_price_usd, Fraction(0))
        ended = company.ended_on is not None
        back = company.pay(holder_id, security)
        position = Position(
            instrument_id=security,
            issuer_id=company.issuer_id,
            sector=company.sector,
            gpu_vendor=NO_VENDOR,
            instrument_kind=kind,
            paid_in_usd=Decimal(0),
            mark_usd=Fraction(0) if ended else gain * right.shares_outstanding,
            mark_method="write_off" if ended else "cost" if price is None else "last_round",
            distributed_usd=back,
        )
        flows = _build_flows((), back, company.ended_on)
        shares = right.shares_outstanding
        yield Held(position, "ended" if ended else "open", shares, Decimal(0), Fraction(0), flows)
