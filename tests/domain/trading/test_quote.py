"""Held quotes: held, taken, released, expired."""

from datetime import timedelta

import pytest

from events.auction import MatchTerms
from events.quote import QuoteExpired, QuoteHeld, QuoteReleased, QuoteTaken
from marketplace.domain.trading.quote import HOLD_MAX, QUOTE, ExpireQuote, HoldQuote, ReleaseQuote, TakeQuote
from tests.domain import build
from tests.domain.build import NAIVE, NOW, Row, builder, hour, order_terms, usd
from tests.support.spec import Given

UNTIL = NOW + timedelta(minutes=10)
match = builder(
    MatchTerms(
        grant_id=build.GRANT,
        pool_id=build.POOL,
        nodes=4,
        start=hour(10),
        end=hour(20),
        lots=(build.share(),),
        value_usd_per_gpu_hour=usd("2.00"),
        price_usd_per_gpu_hour="39/20",
    )
)
held = builder(
    QuoteHeld(
        quote_id=build.QUOTE,
        startup_id=build.STARTUP,
        issuer_id=build.ISSUER,
        account_id=build.STARTUP_ACCOUNT,
        hold_id=build.HOLD,
        terms=order_terms(),
        cash_hold_usd=usd("192.00"),
        budget_holds=(build.budget_hold(),),
        match=match(),
        expires_at=UNTIL,
    )
)


def hold(**changes):
    return HoldQuote(held=held(**changes), at=NOW)


take = builder(TakeQuote(quote_id=build.QUOTE, order_id=build.ORDER, at=NOW))
expire = builder(ExpireQuote(quote_id=build.QUOTE, at=UNTIL))
RELEASE = ReleaseQuote(quote_id=build.QUOTE, reason="changed plans")
HELD = held()
TAKEN = QuoteTaken(quote_id=build.QUOTE, order_id=build.ORDER, grant_id=build.GRANT)
RELEASED = QuoteReleased(quote_id=build.QUOTE, reason="changed plans")
EXPIRED = QuoteExpired(quote_id=build.QUOTE, at=UNTIL)

REFUSALS = [
    Row("quote_unknown", (), take()),
    Row("quote_exists", (HELD,), hold(cash_hold_usd=usd("193.00"))),
    Row("order_too_small", (), HoldQuote(held=held(), at=NOW, order_usd_min=usd(100_000)), "/terms/offers"),
    Row("time_naive", (), hold(expires_at=NAIVE)),
    Row("span_empty", (), hold(expires_at=NOW), "/hold_seconds"),
    Row("hold_too_long", (), hold(expires_at=NOW + HOLD_MAX + timedelta(seconds=1)), "/hold_seconds"),
    Row("quote_outlasts_start", (), hold(match=match(start=UNTIL - timedelta(seconds=1))), "/hold_seconds"),
    Row("price_above_offer", (), hold(match=match(price_usd_per_gpu_hour="201/100")), "/terms/offers"),
    Row("quote_taken", (HELD, TAKEN), RELEASE),
    Row("quote_taken", (HELD, TAKEN), expire()),
    Row("quote_released", (HELD, RELEASED), take()),
    Row("quote_expired", (HELD, EXPIRED), take()),
    Row("quote_expired", (HELD, EXPIRED), RELEASE),
    Row("quote_lapsed", (HELD,), take(at=UNTIL)),
    Row("quote_not_due", (HELD,), expire(at=UNTIL - timedelta(seconds=1))),
]
PRECEDENCE = [
    Row("quote_exists", (HELD,), hold(expires_at=NAIVE)),
    Row("hold_too_long", (), hold(expires_at=hour(11))),
    Row("quote_outlasts_start", (), hold(match=match(start=NOW, price_usd_per_gpu_hour="201/100"))),
    Row("quote_released", (HELD, RELEASED), take(at=UNTIL)),
]


@pytest.mark.parametrize("row", [*REFUSALS, *PRECEDENCE], ids=lambda row: row.code)
def test_refuses(row):
    build.check(QUOTE, row)


def test_holds_for_at_most_an_hour_at_most_at_the_offer():
    Given(QUOTE).when(hold()).then(HELD)
    longest = hold(expires_at=NOW + HOLD_MAX, match=match(price_usd_per_gpu_hour="2/1", start=NOW + HOLD_MAX))
    assert [event.expires_at for event in QUOTE.decide(longest, None)] == [NOW + HOLD_MAX]


def test_is_taken_until_its_time_is_over():
    Given(QUOTE, HELD).when(take(at=UNTIL - timedelta(seconds=1))).then(TAKEN)


def test_is_released():
    Given(QUOTE, HELD).when(RELEASE).then(RELEASED)


def test_expires_when_it_is_due():
    Given(QUOTE, HELD).when(expire()).then(EXPIRED)


def test_ends_once():
    Given(QUOTE, HELD, TAKEN).when(take()).then_nothing()
    Given(QUOTE, HELD, RELEASED).when(RELEASE).then_nothing()
    Given(QUOTE, HELD, EXPIRED).when(expire()).then_nothing()
    Given(QUOTE, HELD, EXPIRED).when(hold()).then_nothing()
