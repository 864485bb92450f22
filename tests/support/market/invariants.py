"""The standing invariants, checked on a whole log: at the end of every decision where they must hold at every step."""

from collections import Counter, defaultdict
from datetime import timedelta
from decimal import Decimal
from itertools import groupby

from events.account import AccountDeposited, AccountWithdrawn
from events.auction import AuctionBookFrozen, AuctionCompleted
from events.grant import GrantIssued
from events.instants import FOREVER
from events.order import OrderMatched, OrderUnmatched
from events.subjects import parse_subject
from marketplace.application.steps.usage_bounds import METERS
from marketplace.core.ids import rename_id
from marketplace.core.intervals import build_steps, find_peak
from marketplace.core.money import parse_ratio
from marketplace.domain.billing.service_line_bill import list_spans
from marketplace.domain.billing.settlement import subtract_credit
from marketplace.domain.deciders import DECIDERS
from marketplace.domain.metering.usage import name_usage
from marketplace.domain.metering.usage_record import Count
from marketplace.domain.trading.auction import FrozenAuction
from marketplace.domain.trading.order_terms import compute_value, get_offer
from marketplace.log.codec import verify_chain
from marketplace.log.events import parse_event
from marketplace.projections.billing.accounts.rules import post

ZERO, ONE = Decimal(0), Decimal(1)


class Ledger:
    """Folds a log event by event and checks after each decision.

    Attributes:
        states: By aggregate and id.
    """

    def __init__(self):
        self.states = defaultdict(dict)
        self.outside_usd = ZERO
        self.balances = {}
        self.decisions = Counter()
        self.books = {}
        self.completed = set()
        self.metered = {}
        self.subjects = {}
        self.capacity = Counter()

    def take(self, recorded):
        aggregate, id = parse_subject(recorded.subject)  # noqa: A001
        decider, event = DECIDERS[aggregate], parse_event(recorded)
        states = self.states[aggregate]
        states[id] = decider.evolve(states.get(id, decider.initial), event)
        if aggregate in {"grant", "usage", "service_line", "statement"}:
            self.post_capacity(event)
        match event:
            case GrantIssued():
                self.metered |= {name_usage(event.grant_id, meter): event.grant_id for meter in METERS}
            case AccountDeposited():
                self.outside_usd += event.amount_usd
            case AccountWithdrawn():
                self.outside_usd -= event.amount_usd
            case OrderMatched() | OrderUnmatched():
                self.decisions[event.auction_id, event.order_id] += 1
            case AuctionBookFrozen():
                self.books.setdefault(event.auction_id, []).extend(order.order_id for order in event.orders)
            case AuctionCompleted():
                self.completed.add(event.auction_id)
        return aggregate, id

    def post_capacity(self, event):
        """Post what is granted, delivered and accepted; none of it is ever negative."""
        touched = post(event, self)
        for posting in touched:
            self.capacity[posting.account] += posting.amount
        for posting in touched:
            if not posting.account.endswith(("/capacity", "/offered")):
                assert self.capacity[posting.account] >= 0, posting

    def find(self, subject_id):
        return self.subjects.get(subject_id)

    def put(self, subject):
        self.subjects[subject.id] = subject

    def check_step(self, touched):
        """Check what one decision may have broken."""
        for aggregate, id in touched:  # noqa: A001
            state = self.states[aggregate][id]
            if aggregate == "account":
                assert state.available_usd >= 0
                assert all(hold.left_usd >= 0 for hold in state.holds.values())
                self.balances[id] = state.available_usd + state.held_usd
            elif aggregate == "bond":
                holds = self.states["account"][state.account_id].holds
                assert all(holds[part.hold_id].left_usd == part.free_usd >= 0 for part in state.parts.values())
            elif aggregate == "mandate":
                used = sum((hold.total_usd for hold in state.holds.values()), ZERO)
                assert used == state.owed_usd
                assert state.used_usd <= state.terms.budget_usd
                assert state.used_directly_usd <= (state.terms.direct_budget_usd or 0)
            elif aggregate == "pool":
                check_capacity(state)
                self.check_power(state)
            elif aggregate == "grant":
                self.check_metered(id)
            elif aggregate in {"service_line", "usage"}:
                self.check_metered(state.proposed.grant_id if aggregate == "service_line" else self.metered.get(id))
            elif aggregate == "instrument":
                assert state.principal_usd <= state.issued.commitment_usd
        assert sum(self.balances.values(), ZERO) == self.outside_usd, "money is neither made nor lost"

    def check_metered(self, grant_id):
        for usage_id, metered_id in self.metered.items():
            if grant_id == metered_id:
                self.check_usage(usage_id)
        self.check_hours(grant_id)

    def check_usage(self, usage_id):
        """At no instant is more counted than the grant has then, and nothing after its end."""
        grant, state = self.states["grant"][self.metered[usage_id]], self.states["usage"].get(usage_id)
        if state is None:
            return
        count, issued = Count(state), grant.issued
        for run in build_steps(grant.list_resold(), issued.start, grant.end):
            left = (issued.nodes - run.amount) * issued.gpus_per_node
            assert count.find_peak(run.start, run.end)[0] <= left
        assert count.find_peak(grant.end, max(grant.end, issued.end) + timedelta(days=1))[0] == 0

    def check_hours(self, grant_id):
        """No hours count outside of what the grant runs."""
        grant = self.states["grant"].get(grant_id)
        if grant is None:
            return
        spans = list_spans(grant)
        for line_id in grant.service_lines:
            line = self.states["service_line"][line_id]
            for reading in line.readings.values():
                assert reading is None or any(start <= reading.start and reading.end <= end for start, end in spans)

    def check_power(self, pool):
        """A site knows what the reserved nodes of its pools draw."""
        pool_id = pool.opened.pool_id
        drawn = self.states["site"][pool.opened.site_id].drawn
        known = {grant_id: loads for (other, grant_id), loads in drawn.items() if other == pool_id}
        held = {grant_id: pool.list_drawn(grant_id) for grant_id in pool.reservations}
        assert known == {grant_id: loads for grant_id, loads in held.items() if loads}, (known, held)

    def check_end(self):
        """Check what holds between decisions."""
        assert set(self.decisions.values()) <= {1}
        for auction_id in self.completed:
            assert all(self.decisions[auction_id, order_id] == 1 for order_id in self.books[auction_id])
        self.check_principal()
        self.check_holds()
        self.check_prices()

    def check_principal(self):
        accepted, credited = defaultdict(Decimal), defaultdict(Decimal)
        for statement in self.states["statement"].values():
            if statement.status == "accepted":
                drawn = statement.issued.service_line_id or statement.issued.grant_id
                accepted[rename_id("ins", drawn)] += statement.sign * statement.net.principal_usd
                if statement.sign < 0:
                    credited[rename_id("ins", drawn)] += statement.net.principal_usd
            elif statement.settled is not None:
                drawn = statement.issued.service_line_id or statement.issued.grant_id
                part = subtract_credit(statement.settled.charges, statement.settled.credit)
                accepted[rename_id("ins", drawn)] += part.principal_usd
        for instrument in self.states["instrument"].values():
            if instrument.issued.funding == "drawdown":
                reversals = list_reversals(instrument)
                decided = [each for each in reversals if not each.reason.startswith("credit ")]
                agreed = sum((each.principal_usd for each in decided), ZERO)
                kept = instrument.principal_usd + agreed - accepted[instrument.issued.instrument_id]
                grant = self.states["grant"][instrument.issued.grant_id]
                if instrument.conversions or instrument.repaid or grant.holder_accepts:
                    due = credited[instrument.issued.instrument_id]
                    done = sum((each.principal_usd for each in reversals), ZERO) - agreed
                    assert kept == due - done >= 0, "only a holder that was asked keeps what was credited"
                else:
                    assert kept == 0
                if instrument.issued.draw.unit == "gpu_hour":
                    check_draw(instrument.issued.draw, self.states["grant"][instrument.issued.grant_id])
            else:
                assert instrument.issued.draw is None

    def check_holds(self):
        """What is set aside is what open orders and unsettled grants may cost."""
        grants, orders = self.states["grant"], self.states["order"]
        for order in orders.values():
            account = self.states["account"][order.placed.account_id]
            left = account.holds[order.hold_id].left_usd
            if order.status in {"open", "locked"}:
                assert left == order.cash_hold_usd
            elif order.status == "matched":
                grant = grants[order.grant_id]
                assert left <= grant.issued.cash_commitment_usd
                if grant.status == "completed":
                    assert left == 0
            else:
                assert left == 0
        for line in self.states["service_line"].values():
            if line.agreed is None:
                continue
            account = self.states["account"][grants[line.proposed.grant_id].issued.startup_account_id]
            left = account.holds[line.agreed.hold_id].left_usd
            assert left == 0 if line.status == "closed" else left <= line.agreed.cash_commitment_usd
        for mandate_id, mandate in self.states["mandate"].items():
            if mandate.granted.funding == "cash":
                account = self.states["account"][f"acc{mandate.granted.holder_id[3:]}"]
                hold = account.holds[f"hld{mandate_id[3:]}"]
                owed = mandate.owed_usd if mandate.revoked else mandate.budget_usd
                assert hold.left_usd <= max(owed - hold.captured_usd, ZERO)

    def check_prices(self):
        """No one pays above the offer. No lot of the frozen book is used below its ask, except by a moved grant."""
        asks = {}
        for auction in self.states["auction"].values():
            if isinstance(auction, FrozenAuction):
                for lot in auction.locked.book.lots:
                    key = auction.opened.auction_id, lot.step_of or lot.lot_id
                    asks[key] = min(lot.ask_usd_per_gpu_hour, asks.get(key, lot.ask_usd_per_gpu_hour))
        for grant in self.states["grant"].values():
            price = parse_ratio(grant.issued.price_usd_per_gpu_hour)
            offer = get_offer(self.states["order"][grant.issued.order_id].terms, grant.issued.gpu_class)
            credit = ONE if grant.issued.equity is None else grant.issued.equity.equity_credit
            assert price <= compute_value(offer, credit)
            if grant.issued.auction_id is None:
                continue
            resale = grant.issued.resale
            seconds = {share: share.nodes * (share.end - share.start).total_seconds() for share in grant.issued.lots}
            sold = {share: (grant.issued.auction_id, (resale or share).lot_id) for share in seconds}
            asked = sum(
                asks[sold[share]] * int(used)
                for share, used in seconds.items()
                if sold[share] in asks or not grant.rescheduled
            )
            assert price * int(sum(seconds.values())) >= asked


def list_reversals(instrument):
    return [event for tranche in instrument.tranches for event in tranche.reversals.values()]


def check_draw(draw, grant):
    """An agreement fixes the window, class and prices of its grant as it was issued."""
    first, grant = next(iter(grant.rescheduled), None), grant.issued
    span = (grant.start, grant.end) if first is None else (first.start_before, first.end_before)
    stated = (*span, grant.gpu_class, grant.price_usd_per_gpu_hour)
    assert (draw.start, draw.end, draw.gpu_class, draw.price_usd_per_gpu_hour) == stated
    price = parse_ratio(grant.price_usd_per_gpu_hour)
    assert parse_ratio(draw.principal_usd_per_gpu_hour) == price * parse_ratio(grant.equity.principal_share)
    assert parse_ratio(draw.cash_usd_per_gpu_hour) == price * parse_ratio(grant.cash_share)


def check_capacity(pool):
    """Never more reserved than there are nodes, nor from a lot than it offers where it still does."""
    loads = pool.reserved()
    if loads:
        start, end = min(load.start for load in loads), max(load.end for load in loads)
        assert find_peak(loads, start, end)[0] <= pool.opened.nodes
    for lot_id, offer in pool.offers.items():
        assert find_peak(pool.sold(lot_id), offer.start, FOREVER)[0] <= offer.amount


async def check_log(log):
    """Check every invariant on a log, and return its ledger."""
    events = [event async for page in log.read() for event in page]
    verify_chain(events)
    ledger = Ledger()
    for _, decision in groupby(events, key=lambda event: event.envelope.causationid):
        ledger.check_step({ledger.take(event) for event in decision})
    ledger.check_end()
    return ledger
