"""The standing invariants over whole lives: placed, held, locked, matched, delivered, stated, settled, ended."""

from collections import Counter
from decimal import Decimal
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from events.order import OrderMatched
from events.statement import StatementAccepted
from marketplace.core.ids import derive_id, rename_id
from marketplace.core.money import SECONDS_PER_HOUR, ZERO, ceil_cents, parse_ratio
from marketplace.domain.billing.settlement import build_tariff, compute_charges
from marketplace.domain.billing.statement import STATEMENT, AcceptStatement, DisputeStatement, ResolveStatement
from marketplace.domain.delivery.grant import GRANT
from marketplace.domain.delivery.grant_commands import ActivateGrant, CompleteGrant, TerminateGrant
from marketplace.domain.equity.instrument.commands import LapseInstrument
from marketplace.domain.equity.instrument.instrument import INSTRUMENT
from marketplace.domain.metering.usage import USAGE, count_gpu_seconds
from marketplace.domain.metering.usage_commands import Metered
from marketplace.domain.supply.pool import POOL
from marketplace.domain.supply.pool_commands import ReleaseCapacity
from marketplace.domain.trading.order import ORDER, AmendOrder, CancelOrder, LockOrder, UnmatchOrder
from tests.domain import build
from tests.domain.build import AUCTION, FUND_ACCOUNT, hour, id_of
from tests.domain.build import MANDATE as MANDATE_ID
from tests.domain.world import (
    BUDGET,
    HOURS,
    ISSUER_MAX,
    MANDATE_HOLD,
    NODES,
    STARTUPS,
    account_of,
    build_grant,
    count_deposits,
    free_commands,
    hold_commands,
    issuer_of,
    match_commands,
    open_world,
    settle_commands,
)

LATER = hour(1_000)
prices = st.sampled_from(["0", "0.33333", "0.75", "1.1", "2.00001", "3.5"]).map(Decimal)
thetas = st.sampled_from([Fraction(1), Fraction(1), Fraction(2, 3), Fraction(19, 20), Fraction(0)])
starts = st.sampled_from([1, 1, 4, 5, 8, HOURS])
choices = st.integers(0, 10**6)
LAST = -1


@st.composite
def offers(draw):
    cash, equity = draw(prices), draw(prices)
    return cash or (Decimal(0) if equity else Decimal(1)), equity


def build_terms(nodes, hours, offer, *, standing):
    cash, equity = offer
    return build.order_terms(
        nodes=nodes,
        duration_hours=hours,
        start_earliest=hour(1),
        start_latest=hour(HOURS),
        offers=(build.class_offer(cash_usd_per_gpu_hour=cash, equity_usd_per_gpu_hour=equity),),
        mandate_ids=(MANDATE_ID,) if equity else (),
        instrument=build.safe() if equity else None,
        standing=standing,
    )


terms = st.builds(build_terms, st.integers(1, 3), st.integers(1, 4), offers(), standing=st.booleans())


class Market:
    """Startups, a provider, a fund and an auction that act in any order."""

    def __init__(self):
        self.world = open_world()
        self.numbers = iter(range(100, 10_000))
        self.finished = set()

    def pick(self, prefix, choice, *statuses):
        states = self.world.list_states(prefix).items()
        keys = [key for key, state in states if state.status in statuses and key not in self.finished]
        return keys[choice % len(keys)] if keys else None

    def place(self, startup, terms):
        number = next(self.numbers)
        order_id, hold_id = id_of("ord", number), id_of("hld", number)
        command = build.place_order(
            order_id=order_id,
            issuer_id=issuer_of(startup),
            account_id=account_of(startup),
            hold_id=hold_id,
            terms=terms,
            budget_holds=(),
        )
        code = self.world.run((ORDER, order_id, command), *hold_commands(startup, order_id, hold_id, terms))
        assert code in {None, "funds_insufficient", "budget_exhausted", "issuer_maximum_reached"}

    def amend(self, choice, terms):
        order_id = self.pick("ord_", choice, "open", "locked", "matched")
        if order_id is not None:
            order, hold_id = self.world.states[order_id], id_of("hld", next(self.numbers))
            startup = next(number for number in STARTUPS if account_of(number) == order.placed.account_id)
            command = AmendOrder(
                order_id=order_id, hold_id=hold_id, terms=terms, cash_hold_usd=ZERO, budget_holds=(), at=build.NOW
            )
            holds = hold_commands(startup, order_id, hold_id, terms)
            code = self.world.run((ORDER, order_id, command), *free_commands(order), *holds)
            assert (code is None) <= (order.status == "open")

    def cancel(self, choice):
        order_id = self.pick("ord_", choice, "open", "locked", "matched", "unmatched")
        if order_id is not None:
            order = self.world.states[order_id]
            command = CancelOrder(order_id=order_id, reason="raised money")
            code = self.world.run((ORDER, order_id, command), *free_commands(order))
            assert (code is None) == (order.status == "open")

    def lock(self, choice):
        order_id = self.pick("ord_", choice, "open")
        if order_id is not None:
            assert self.world.run((ORDER, order_id, LockOrder(order_id=order_id, auction_id=AUCTION))) is None

    def match(self, choice, start, theta):
        self.match_one(self.pick("ord_", choice, "open", "locked", "cancelled"), start, theta)

    def match_one(self, order_id, start, theta):
        if order_id is not None:
            order = self.world.states[order_id]
            code = self.world.run(*match_commands(order, build_grant(order, start, theta)))
            possible = {None, "lot_not_offered", "lot_sold", "nodes_failed"}
            assert order.status != "locked" or code in possible

    def place_and_win(self, startup, terms, start, theta):
        self.place(startup, terms)
        self.lock(LAST)
        self.match_one(self.pick("ord_", LAST, "locked"), start, theta)

    def deliver(self, choice, nodes):
        for offset in range(4):
            self.report(choice, nodes, offset)
        self.state(choice)

    def unmatch(self, choice):
        order_id = self.pick("ord_", choice, "locked")
        if order_id is not None:
            order = self.world.states[order_id]
            command = UnmatchOrder(
                order_id=order_id, auction_id=AUCTION, reasons=(), price_to_win_usd_per_gpu_hour=None, at=build.NOW
            )
            freed = [] if order.terms.standing else free_commands(order)
            assert self.world.run((ORDER, order_id, command), *freed) is None

    def report(self, choice, nodes, offset):
        grant_id = self.pick("grt_", choice, "issued", "active", "terminated")
        if grant_id is not None:
            grant, usage_id = self.world.states[grant_id], rename_id("usg", grant_id)
            begin = grant.issued.start + (hour(offset) - hour(0))
            span = Metered(start=grant.issued.start, end=grant.end, nodes=grant.issued.nodes, gpus_per_node=8)
            reading = build.measurement(
                reading_id=str(next(self.numbers)), start=begin, end=begin + (hour(1) - hour(0)), nodes=nodes
            )
            command = build.report_usage(
                usage_id=usage_id, grant_id=grant_id, measurements=(reading,), metered=span, at=LATER
            )
            activate = ActivateGrant(grant_id=grant_id, at=grant.issued.start)
            self.world.run((GRANT, grant_id, activate))
            assert self.world.run((USAGE, usage_id, command)) is None

    def state(self, choice):
        grant_id = self.pick("grt_", choice, "active", "terminated")
        if grant_id is not None:
            grant, stated = self.world.states[grant_id], self.list_statements(grant_id)
            usage = self.world.get(USAGE, rename_id("usg", grant_id))
            before = sum(statement.issued.charges.gpu_seconds for statement in stated)
            reported = count_gpu_seconds(usage, grant.issued.start, LATER)
            charges = compute_charges(build_tariff(grant.issued), before, reported - before)
            statement_id = derive_id("stm", grant_id, str(len(stated)))
            command = build.issue_statement(
                statement_id=statement_id,
                grant_id=grant_id,
                period_end=hour(500 + len(stated)),
                charges=charges,
                accept_until=LATER,
            )
            assert self.world.run((STATEMENT, statement_id, command)) is None

    def list_statements(self, grant_id):
        states = self.world.list_states("stm_").values()
        return [statement for statement in states if statement.issued.grant_id == grant_id]

    def accept(self, choice, by):
        statement_id = self.pick("stm_", choice, "issued") or self.pick("stm_", choice, "accepted")
        if statement_id is not None:
            self.settle(statement_id, self.world.states[statement_id].charges, by)

    def settle(self, statement_id, charges, by, *first):
        grant = self.world.states[self.world.states[statement_id].issued.grant_id].issued
        accept = AcceptStatement(statement_id=statement_id, by=by, at=LATER)
        before = self.world.states[statement_id].status
        moved = settle_commands(grant, statement_id, charges)
        code = self.world.run(*first, (STATEMENT, statement_id, accept), *moved)
        assert code is None, f"{before} statement of {charges} was refused: {code}"

    def dispute_and_resolve(self, choice, part):
        statement_id = self.pick("stm_", choice, "issued")
        if statement_id is None or not self.world.states[statement_id].charges.gpu_seconds:
            return
        statement = self.world.states[statement_id]
        claimed = int(statement.charges.gpu_seconds * part)
        dispute = DisputeStatement(
            statement_id=statement_id, gpu_seconds_counted=claimed, reason="a node was down", at=build.NOW
        )
        assert self.world.run((STATEMENT, statement_id, dispute)) is None
        before = sum(
            other.issued.charges.gpu_seconds
            for other in self.list_statements(statement.issued.grant_id)
            if other.issued.period_end < statement.issued.period_end
        )
        tariff = build_tariff(self.world.states[statement.issued.grant_id].issued)
        charges = compute_charges(tariff, before, claimed)
        resolve = ResolveStatement(statement_id=statement_id, charges=charges, reason="logs", by="concession")
        assert self.world.run((STATEMENT, statement_id, resolve)) is None
        self.settle(statement_id, charges, "resolution")

    def terminate(self, choice, at):
        grant_id = self.pick("grt_", choice, "issued", "active")
        if grant_id is not None:
            end = min(max(hour(at), self.world.states[grant_id].issued.start), self.world.states[grant_id].end)
            command = TerminateGrant(grant_id=grant_id, at=end, by="startup", noticed_at=end, reason="insolvent")
            release = ReleaseCapacity(pool_id=build.POOL, grant_id=grant_id, at=end)
            assert self.world.run((GRANT, grant_id, command), (POOL, build.POOL, release)) is None

    def finish(self, choice):
        """End a grant whose statements are settled, and free what was not delivered."""
        grant_id = self.pick("grt_", choice, "active", "terminated")
        if grant_id is None or any(each.status != "accepted" for each in self.list_statements(grant_id)):
            return
        grant = self.world.states[grant_id]
        paid = sum((each.charges.holder_usd for each in self.list_statements(grant_id)), ZERO)
        commands = free_commands(self.world.states[grant.issued.order_id], ZERO, paid)
        if grant.status == "active":
            complete = CompleteGrant(grant_id=grant_id, gpu_seconds_accepted=0, at=LATER)
            commands.append((GRANT, grant_id, complete))
        if grant.issued.equity is not None:
            lapse = LapseInstrument(instrument_id=grant.issued.equity.instrument_id, reason="the grant ended")
            if self.world.states[lapse.instrument_id].undrawn_usd:
                commands.append((INSTRUMENT, lapse.instrument_id, lapse))
        assert self.world.run(*commands) is None
        self.finished.add(grant_id)

    def fail(self, at):
        incident = build.fail_nodes(nodes=1, at=hour(at))
        assert self.world.run((POOL, build.POOL, incident)) in {None, "incident_exists"}

    def check_money_is_conserved(self):
        accounts = self.world.list_states("acc_").values()
        assert all(account.available_usd >= 0 for account in accounts)
        assert all(hold.left_usd >= 0 for account in accounts for hold in account.holds.values())
        total = sum((account.available_usd + account.held_usd for account in accounts), ZERO)
        assert total == count_deposits(self.world.log)

    def check_the_mandate_keeps_to_its_budget_and_can_pay_what_it_owes(self):
        mandate = self.world.states[MANDATE_ID]
        assert mandate.used_usd <= BUDGET
        assert all(used <= ISSUER_MAX for used in mandate.used_by_issuer_usd.values())
        hold = self.world.states[FUND_ACCOUNT].holds[MANDATE_HOLD]
        assert mandate.used_usd - hold.captured_usd <= hold.left_usd

    def check_capacity_is_never_oversold(self):
        pool = self.world.states[build.POOL]
        for number in range(HOURS):
            at = hour(number)
            assert sum(load.amount for load in pool.reserved() if load.start <= at < load.end) <= NODES

    def check_every_match_has_its_grant_its_capacity_and_no_second(self):
        matched = Counter(event.order_id for event in self.world.log if isinstance(event, OrderMatched))
        assert set(matched.values()) <= {1}
        grants = self.world.list_states("grt_")
        assert {grant.issued.order_id for grant in grants.values()} == set(matched)
        assert set(self.world.states[build.POOL].reservations) == set(grants)

    def check_an_order_holds_what_it_may_cost_and_nothing_once_it_has_ended(self):
        for order in self.world.list_states("ord_").values():
            left = self.world.states[order.placed.account_id].holds[order.hold_id].left_usd
            if order.status in {"open", "locked"}:
                hours = order.terms.nodes * order.terms.gpus_per_node * order.terms.duration_hours
                assert left == ceil_cents(Fraction(order.terms.offers[0].cash_usd_per_gpu_hour) * hours)
            elif order.status != "matched" or order.grant_id in self.finished:
                assert left == 0

    def check_principal_is_what_was_accepted_and_never_over_the_commitment(self):
        for grant_id, grant in self.world.list_states("grt_").items():
            accepted = [each.charges for each in self.list_statements(grant_id) if each.status == "accepted"]
            if grant.issued.equity is not None:
                instrument = self.world.states[grant.issued.equity.instrument_id]
                assert instrument.principal_usd == sum((charges.principal_usd for charges in accepted), ZERO)
                assert instrument.principal_usd <= grant.issued.equity.principal_commitment_usd

    def check_nobody_pays_over_its_offer_and_the_provider_gets_what_is_stated(self):
        received = ZERO
        for grant_id, grant in self.world.list_states("grt_").items():
            issued = grant.issued
            accepted = [each.charges for each in self.list_statements(grant_id) if each.status == "accepted"]
            hours = Fraction(grant.gpu_seconds_granted, SECONDS_PER_HOUR)
            paid = sum((charges.cash_usd for charges in accepted), ZERO)
            assert (
                paid
                <= issued.cash_commitment_usd
                <= ceil_cents(parse_ratio(issued.price_usd_per_gpu_hour) * parse_ratio(issued.cash_share) * hours)
            )
            received += sum((charges.provider_usd for charges in accepted), ZERO)
        provider = self.world.states[build.PROVIDER_ACCOUNT]
        assert provider.available_usd == 1 + received

    def check_a_statement_is_settled_once(self):
        settled = Counter(event.statement_id for event in self.world.log if isinstance(event, StatementAccepted))
        assert set(settled.values()) <= {1}


CHECKS = [check for name, check in vars(Market).items() if name.startswith("check_")]


def steps(act, weight=1, **values):
    """Return a step as often as its weight, so that walks get far enough to be worth walking."""
    return [st.tuples(st.just(act), st.fixed_dictionaries(values))] * weight


startups, moments = st.sampled_from(STARTUPS), st.integers(0, HOURS)
WALKS = st.lists(
    st.one_of(
        *steps(Market.place_and_win, 4, startup=startups, terms=terms, start=starts, theta=thetas),
        *steps(Market.deliver, 4, choice=choices, nodes=st.integers(1, 2)),
        *steps(Market.place, 2, startup=startups, terms=terms),
        *steps(Market.finish, 2, choice=choices),
        *steps(Market.amend, choice=choices, terms=terms),
        *steps(Market.cancel, choice=choices),
        *steps(Market.lock, choice=choices),
        *steps(Market.match, choice=choices, start=starts, theta=thetas),
        *steps(Market.unmatch, choice=choices),
        *steps(Market.report, choice=choices, nodes=st.integers(1, 2), offset=st.integers(0, 3)),
        *steps(Market.state, choice=choices),
        *steps(Market.accept, 3, choice=choices, by=st.sampled_from(["acceptance", "silence"])),
        *steps(Market.dispute_and_resolve, 2, choice=choices, part=st.fractions(0, Fraction(99, 100))),
        *steps(Market.terminate, choice=choices, at=moments),
        *steps(Market.fail, at=moments),
    ),
    min_size=20,
    max_size=50,
)


@settings(max_examples=100, deadline=None)
@given(WALKS)
def test_the_standing_invariants_hold_after_every_step_of_every_life(walk):
    market = Market()
    for act, values in walk:
        act(market, **values)
        for check in CHECKS:
            check(market)
