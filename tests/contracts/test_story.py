"""The story behind the samples holds the market's own rules, so that a subscriber can trust it as test data."""

from collections import Counter, defaultdict
from decimal import Decimal

from events.account import (
    AccountCredited,
    AccountDebited,
    AccountDeposited,
    AccountHoldCaptured,
    AccountHoldExpired,
    AccountHoldPlaced,
    AccountHoldReleased,
    AccountOpened,
    AccountWithdrawn,
)
from events.auction import AuctionBookFrozen, AuctionResultPublished
from events.envelope import parse_headers
from events.instrument import InstrumentConverted, InstrumentPrincipalAccrued, InstrumentPrincipalReversed
from events.issuer import IssuerFinancingPriced, IssuerLiquidityDeclared
from events.registry import EVENT_TYPES, parse_body
from events.statement import StatementAccepted, StatementIssued, StatementResolved
from events.types import Event
from tests.contracts.recipe import chain_hash
from tests.contracts.story.book import tell_story

EVENTS: list[Event] = [parse_body(told.tag, told.body) for told in tell_story()]


def test_the_story_tells_every_event_type() -> None:
    assert {told.tag for told in tell_story()} == set(EVENT_TYPES)


def test_no_event_id_occurs_twice_and_time_never_runs_back() -> None:
    envelopes = [parse_headers(told.headers) for told in tell_story()]
    assert max(Counter(envelope.id for envelope in envelopes).values()) == 1
    times = [envelope.time for envelope in envelopes]
    assert times == sorted(times)


def test_every_chain_begins_empty_and_each_event_vouches_for_the_one_before() -> None:
    heads: dict[str, str] = defaultdict(str)
    for told in tell_story():
        assert told.headers.get("ce-previoushash", "") == heads[told.subject]
        assert told.headers["ce-hash"] == chain_hash(told.subject, told.headers, told.body)
        heads[told.subject] = told.headers["ce-hash"]


def test_no_account_is_ever_overdrawn_and_every_payment_is_received() -> None:
    available: dict[str, Decimal] = {}
    held: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    sent: Counter[tuple[str, str, Decimal]] = Counter()
    for event in EVENTS:
        match event:
            case AccountOpened():
                available[event.account_id] = Decimal(0)
            case AccountDeposited():
                available[event.account_id] += event.amount_usd
            case AccountWithdrawn():
                available[event.account_id] -= event.amount_usd
            case AccountHoldPlaced():
                available[event.account_id] -= event.amount_usd
                held[event.account_id, event.hold_id] += event.amount_usd
            case AccountHoldReleased() | AccountHoldExpired():
                available[event.account_id] += event.amount_usd
                held[event.account_id, event.hold_id] -= event.amount_usd
            case AccountHoldCaptured():
                held[event.account_id, event.hold_id] -= event.amount_usd
                sent[event.account_id, event.cause, event.amount_usd] += 1
            case AccountDebited():
                available[event.account_id] -= event.amount_usd
                sent[event.account_id, event.cause, event.amount_usd] += 1
            case AccountCredited():
                available[event.account_id] += event.amount_usd
                sent[event.payer_account_id, event.cause, event.amount_usd] -= 1
            case _:
                pass
        assert min(available.values(), default=Decimal(0)) >= 0
        assert min(held.values(), default=Decimal(0)) >= 0
    assert not +sent
    assert not -sent


def test_charges_balance_on_every_statement() -> None:
    charged = [event.charges for event in EVENTS if isinstance(event, StatementIssued | StatementResolved)]
    assert charged
    assert all(charges.provider_usd == charges.cash_usd + charges.holder_usd for charges in charged)


def test_principal_that_converts_is_what_was_accepted_less_what_was_reversed() -> None:
    principal: dict[str, Decimal] = defaultdict(Decimal)
    for event in EVENTS:
        if isinstance(event, InstrumentPrincipalAccrued):
            principal[event.instrument_id] += event.principal_usd
        elif isinstance(event, InstrumentPrincipalReversed) and event.became == "outstanding":
            principal[event.instrument_id] -= event.principal_usd
    converted = {event.instrument_id: event.principal_usd for event in EVENTS if isinstance(event, InstrumentConverted)}
    assert converted
    assert {key: principal[key] for key in converted} == converted
    accepted = sum(event.charges.principal_usd for event in EVENTS if isinstance(event, StatementAccepted))
    drawn = [event for event in EVENTS if isinstance(event, InstrumentPrincipalAccrued) and event.statement_id]
    assert sum(event.principal_usd for event in drawn) == accepted


def test_every_order_of_the_book_has_exactly_one_decision() -> None:
    books = [event for event in EVENTS if isinstance(event, AuctionBookFrozen)]
    results = [event for event in EVENTS if isinstance(event, AuctionResultPublished)]
    assert [order.order_id for order in books[0].orders] == [decision.order_id for decision in results[0].decisions]


def test_the_round_and_the_sale_add_up() -> None:
    priced = next(event.pricing for event in EVENTS if isinstance(event, IssuerFinancingPriced))
    new = sum(part.shares for part in (*priced.conversions, *priced.allotments)) + priced.pool_increase_shares
    assert priced.post_money_shares == 9_000_000 + new
    sale = next(event.waterfall for event in EVENTS if isinstance(event, IssuerLiquidityDeclared))
    assert sum(payout.amount_usd for payout in sale.payouts) == sale.proceeds_usd
