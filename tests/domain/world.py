"""A whole market in memory, driven by the deciders alone: states by id, and transactions over several aggregates.

A transaction stands for one atomic append: every command is decided on the states that the earlier ones left, and a
refusal of one leaves all as it was.
"""

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from fractions import Fraction

from events.account import AccountDeposited
from events.grant import EquityPart, GrantIssued
from marketplace.core.errors import Refusal
from marketplace.core.ids import rename_id
from marketplace.core.money import ZERO, render_ratio
from marketplace.domain.billing.account import ACCOUNT
from marketplace.domain.billing.account_commands import AdjustHold, CaptureHold, Credit, PlaceHold
from marketplace.domain.billing.draw import build_draw
from marketplace.domain.billing.settlement import build_tariff, compute_totals
from marketplace.domain.delivery.grant import GRANT
from marketplace.domain.delivery.grant_commands import IssueGrant
from marketplace.domain.equity.instrument.commands import AccruePrincipal, IssueInstrument
from marketplace.domain.equity.instrument.instrument import INSTRUMENT
from marketplace.domain.supply.pool import POOL
from marketplace.domain.supply.pool_commands import ReserveCapacity
from marketplace.domain.trading.mandate import MANDATE, CaptureBudget, ReleaseBudget
from marketplace.domain.trading.order import ORDER, MatchOrder
from marketplace.domain.trading.order_terms import compute_budget_hold, compute_cash_hold, compute_value
from tests.domain import build
from tests.domain.build import AUCTION, FUND_ACCOUNT, LOT, PROVIDER_ACCOUNT, hour, id_of, usd
from tests.domain.build import MANDATE as MANDATE_ID

CREDIT = usd("0.7")
BUDGET, ISSUER_MAX, CASH = usd(160), usd(120), usd(250)
NODES, HOURS = 4, 12
MANDATE_HOLD = rename_id("hld", MANDATE_ID)
STARTUPS = (1, 2)


@dataclass
class World:
    states: dict[str, object] = field(default_factory=dict)
    log: list[object] = field(default_factory=list)

    def get(self, decider, key):
        return self.states.get(key, decider.initial)

    def run(self, *commands):
        """Carry out `(decider, id, command)` in turn, all or none; return the code of the refusal if there was one."""
        states, events = dict(self.states), []
        try:
            for decider, key, command in commands:
                new = list(decider.decide(command, states.get(key, decider.initial)))
                states[key] = decider.fold(new, states.get(key, decider.initial))
                events += new
        except Refusal as refusal:
            return refusal.code
        self.states = states
        self.log += events
        for decider, key, command in commands:
            assert list(decider.decide(command, self.get(decider, key))) == [], "a repeated command changes nothing"
        return None

    def list_states(self, prefix):
        return {key: state for key, state in self.states.items() if key.startswith(prefix)}


def account_of(startup):
    return id_of("acc", 10 + startup)


def issuer_of(startup):
    return id_of("iss", 10 + startup)


def open_world():
    """Return a market with a pool of one lot, a funded mandate and two funded startups."""
    world = World()
    accounts = {FUND_ACCOUNT: BUDGET, PROVIDER_ACCOUNT: usd(1)} | {account_of(number): CASH for number in STARTUPS}
    for account_id, amount in accounts.items():
        opening = build.open_account(account_id=account_id, party_id=rename_id("pty", account_id))
        deposit = build.deposit(account_id=account_id, amount_usd=amount)
        assert world.run((ACCOUNT, account_id, opening), (ACCOUNT, account_id, deposit)) is None
    terms = build.mandate_terms(equity_credit=CREDIT, budget_usd=BUDGET, issuer_usd_max=ISSUER_MAX)
    hold = PlaceHold(account_id=FUND_ACCOUNT, hold_id=MANDATE_HOLD, amount_usd=BUDGET, purpose=MANDATE_ID)
    assert not world.run(
        (MANDATE, MANDATE_ID, build.grant_mandate(terms=terms)),
        (ACCOUNT, FUND_ACCOUNT, hold),
        (POOL, build.POOL, build.open_pool(nodes=NODES)),
        (POOL, build.POOL, build.offer(nodes=NODES, start=hour(0), end=hour(HOURS))),
    )
    return world


def hold_commands(startup, order_id, hold_id, terms):
    """Return what sets an order's money aside."""
    account_id, needed = account_of(startup), compute_budget_hold(terms, CREDIT)
    place = PlaceHold(account_id=account_id, hold_id=hold_id, amount_usd=compute_cash_hold(terms), purpose=order_id)
    commands = [(ACCOUNT, account_id, place)]
    if terms.mandate_ids:
        budget = build.hold_budget(hold_id=hold_id, order_id=order_id, issuer_id=issuer_of(startup), amount_usd=needed)
        commands.append((MANDATE, MANDATE_ID, budget))
    return commands


def free_commands(order, cash_usd=ZERO, budget_usd=ZERO):
    """Return what frees an order's money, down to what is kept."""
    account_id, hold_id = order.placed.account_id, order.hold_id
    adjust = AdjustHold(account_id=account_id, hold_id=hold_id, amount_usd=cash_usd, reason="not needed")
    commands = [(ACCOUNT, account_id, adjust)]
    if order.terms.mandate_ids:
        budget = ReleaseBudget(mandate_id=MANDATE_ID, hold_id=hold_id, keep_usd=budget_usd, reason="not needed")
        commands.append((MANDATE, MANDATE_ID, budget))
    return commands


def build_grant(order, start, theta):
    """Return the grant of an order at a price of theta times its offer, with its commitments."""
    terms, offer = order.terms, order.terms.offers[0]
    value = compute_value(offer, CREDIT)
    grant_id, end = rename_id("grt", order.placed.order_id), start + terms.duration_hours
    equity = EquityPart(
        mandate_id=MANDATE_ID,
        holder_id=build.FUND,
        holder_account_id=FUND_ACCOUNT,
        instrument_id=rename_id("ins", grant_id),
        principal_share=render_ratio(Fraction(offer.equity_usd_per_gpu_hour) / Fraction(value)),
        equity_credit=CREDIT,
        principal_commitment_usd=ZERO,
        budget_commitment_usd=ZERO,
    )
    grant = build.grant_issued(
        grant_id=grant_id,
        order_id=order.placed.order_id,
        nodes=terms.nodes,
        start=hour(start),
        end=hour(end),
        lots=(build.share(lot_id=LOT, nodes=terms.nodes, start=hour(start), end=hour(end)),),
        price_usd_per_gpu_hour=render_ratio(theta * Fraction(value)),
        cash_share=render_ratio(Fraction(offer.cash_usd_per_gpu_hour) / Fraction(value)),
        startup_account_id=order.placed.account_id,
        hold_id=order.hold_id,
        equity=equity if terms.mandate_ids else None,
    )
    return _commit(grant)


def _commit(grant: GrantIssued) -> GrantIssued:
    seconds = int((grant.end - grant.start).total_seconds())
    totals = compute_totals(build_tariff(grant), grant.nodes * grant.gpus_per_node * seconds)
    equity = grant.equity
    if equity is not None:
        equity = build.builder(equity)(
            principal_commitment_usd=totals.principal_usd, budget_commitment_usd=totals.holder_usd
        )
    return build.builder(grant)(
        cash_commitment_usd=totals.cash_usd, equity=equity if equity and equity.principal_commitment_usd else None
    )


def match_commands(order, grant):
    """Return a whole match: order, pool, grant, account, mandate and instrument."""
    order_id, hold_id = order.placed.order_id, order.hold_id
    reserve = ReserveCapacity(
        pool_id=build.POOL,
        grant_id=grant.grant_id,
        nodes=grant.nodes,
        start=grant.start,
        end=grant.end,
        lots=grant.lots,
    )
    commands = [
        (ORDER, order_id, MatchOrder(order_id=order_id, auction_id=AUCTION, grant_id=grant.grant_id)),
        (POOL, build.POOL, reserve),
        (GRANT, grant.grant_id, IssueGrant(issued=grant)),
    ]
    kept = ZERO
    if grant.equity is not None:
        kept = grant.equity.budget_commitment_usd
        capture = CaptureBudget(mandate_id=MANDATE_ID, hold_id=hold_id, grant_id=grant.grant_id, amount_usd=kept)
        issue = IssueInstrument(
            instrument_id=grant.equity.instrument_id,
            issuer_id=order.placed.issuer_id,
            holder_id=build.FUND,
            terms=order.terms.instrument,
            commitment_usd=grant.equity.principal_commitment_usd,
            funding="drawdown",
            grant_id=grant.grant_id,
            mandate_id=MANDATE_ID,
            draw=build_draw(grant, None),
        )
        commands += [(MANDATE, MANDATE_ID, capture), (INSTRUMENT, issue.instrument_id, issue)]
    return commands + free_commands(order, grant.cash_commitment_usd, kept)


def settle_commands(grant, statement_id, charges):
    """Return what an accepted statement moves."""
    payers = [(grant.startup_account_id, grant.hold_id, charges.cash_usd)]
    if grant.equity is not None:
        payers.append((FUND_ACCOUNT, MANDATE_HOLD, charges.holder_usd))
    commands = []
    for account_id, hold_id, amount in payers:
        if amount:
            capture = CaptureHold(
                account_id=account_id,
                hold_id=hold_id,
                amount_usd=amount,
                payee_account_id=PROVIDER_ACCOUNT,
                cause=statement_id,
            )
            credit = Credit(
                account_id=PROVIDER_ACCOUNT, amount_usd=amount, payer_account_id=account_id, cause=statement_id
            )
            commands += [(ACCOUNT, account_id, capture), (ACCOUNT, PROVIDER_ACCOUNT, credit)]
    if grant.equity is not None and charges.principal_usd:
        accrue = AccruePrincipal(
            instrument_id=grant.equity.instrument_id,
            tranche_id=rename_id("trn", statement_id),
            principal_usd=charges.principal_usd,
            statement_id=statement_id,
            on_day=date(2026, 3, 1),
        )
        commands.append((INSTRUMENT, accrue.instrument_id, accrue))
    return commands


def count_deposits(log) -> Decimal:
    return sum((event.amount_usd for event in log if isinstance(event, AccountDeposited)), ZERO)
