"""Bad input of the equity side over HTTP: each is a named refusal with its numbers, and the log stays where it was."""

from contextlib import asynccontextmanager
from decimal import Decimal
from fractions import Fraction

import pytest

from marketplace.core.ids import rename_id
from marketplace.domain.delivery.periods import list_periods
from tests.api.rows_equity import build_round as build_round_of
from tests.api.stage import get_id, open_stage
from tests.application.equity.test_equity import deliver_all
from tests.support.market.market import Market

SAFE = {"kind": "safe", "conversion_timing": "post_money", "service_consequence": "credit"}
CAPPED = {**SAFE, "valuation_cap_usd": "10000000"}
CONSENT = {"approval": {"document": "board consent 9"}}


class Company:
    """A startup with founders' stock and accepted compute, behind the API; the platform asks for it."""

    def __init__(self, stage, trade, statement_id):
        self.stage = stage
        self.trade = trade
        self.statement_id = statement_id
        self.ids = {"fund": trade.fund}

    def path(self, rest):
        return f"/v1/issuers/{self.trade.issuer}{rest}"

    def invest(self, terms=CAPPED, amount_usd="1000"):
        return {
            "startup_id": self.trade.startup,
            "mandate_id": self.trade.mandate,
            "amount_usd": amount_usd,
            "terms": terms,
        }

    def round(self, **more):
        return build_round_of(self, **more)

    async def make(self, path, body=None):
        return get_id(await self.stage.post(self.stage.admin, path, body))

    async def open_round(self, **more):
        return self.path(f"/financings/{await self.make(self.path('/financings'), self.round(**more))}")

    async def refuse(self, code, path, body=None):
        """Post what is refused, and return its problem; nothing may have been appended."""
        before = await self.stage.reach()
        answer = await self.stage.post(self.stage.admin, path, body)
        problem = answer.json()
        assert 400 <= answer.status_code < 500, answer.text
        assert problem["code"] == code, answer.text
        assert await self.stage.reach() == before
        return problem


@asynccontextmanager
async def open_company(log, database_url=None):
    market = Market(log)
    trade, grant = await deliver_all(market)
    async with open_stage(log, database_url) as stage:
        yield Company(stage, trade, list_periods(grant)[0].statement_id)


@pytest.fixture
async def company(memory_log):
    async with open_company(memory_log) as company:
        yield company


AMOUNTS = (("0.000001", "amount_too_precise"), ("1000000000000000.01", "amount_too_large"))


async def test_terms_that_cannot_be_are_refused(company):
    low = {**SAFE, "valuation_cap_usd": "1000"}
    refused = await company.refuse("cap_below_commitment", "/v1/instruments", company.invest(low))
    assert "1000" in refused["detail"]
    whole = {**SAFE, "discount": "1"}
    await company.refuse("discount_whole", "/v1/instruments", company.invest(whole))
    for amount, code in AMOUNTS:
        await company.refuse(code, "/v1/instruments", company.invest(amount_usd=amount))
        await company.refuse(code, company.path("/financings"), company.round(pre_money_usd=amount))


async def test_a_stack_that_asks_for_the_whole_company_is_refused_at_signing_with_the_numbers(company):
    dear = {**SAFE, "valuation_cap_usd": "190000"}
    await company.make("/v1/instruments", company.invest(dear, "99000"))
    problem = await company.refuse("stack_exceeds_company", "/v1/instruments", company.invest(dear, "99000"))
    assert Fraction(problem["facts"]["slope"]) >= 1
    assert Decimal(problem["facts"]["principal_usd"]) >= 198_000
    assert problem["facts"]["valuation_caps_usd"] == ["190000.00"]


async def test_a_company_without_shares_is_neither_priced_nor_sold(memory_log, database_url):
    async with open_company(memory_log, database_url) as company:
        stage = company.stage
        startup = await stage.register("Empty", "startup")
        formation = {"party_id": startup, "legal_name": "Empty, Inc.", "jurisdiction": "US", "formed_on": "2025-01-01"}
        issuer = get_id(await stage.post(stage.admin, "/v1/issuers", formation))
        financings = f"/v1/issuers/{issuer}/financings"
        opened = f"{financings}/{await company.make(financings, company.round())}"
        await company.refuse("no_shares", f"{opened}/price")
        await company.make(f"{opened}/abandon", {"reason": "there is nothing to price"})
        await company.refuse("no_residual_holder", f"/v1/issuers/{issuer}/liquidity-events", {"proceeds_usd": "1000"})


async def test_a_date_before_the_formation_is_refused(company):
    early = {"price_usd_per_share": "1", "method": "409A", "effective_on": "2024-12-31"}
    await company.refuse("date_before_formation", company.path("/valuations"), early)


async def test_more_than_is_held_is_not_transferred(company):
    angel = await company.make(company.path("/stakeholders"), {"name": "Angel", "kind": "investor"})
    sale = {"holder_id": company.trade.startup, "holder_id_after": angel, "class_id": "common", "shares": 8_000_001}
    problem = await company.refuse("shares_not_held", company.path("/stock/transfers"), sale)
    assert "8000000" in problem["detail"]


async def test_a_statement_is_accepted_once(company):
    path = f"/v1/statements/{company.statement_id}/accept"
    await company.refuse("statement_accepted", path)


async def test_one_round_is_open_at_a_time_and_converts_an_instrument_once(company):
    await company.make("/v1/instruments", company.invest())
    opened = await company.open_round()
    await company.refuse("financing_unpriced", f"{opened}/close", CONSENT)
    await company.refuse("financing_open", company.path("/financings"), company.round(class_id="series-b"))
    wire = {"amount_usd": "5000000", "reference": "the money of the round"}
    await company.stage.post(company.stage.admin, f"/v1/accounts/{rename_id('acc', company.trade.fund)}/deposits", wire)
    for step, body in (("price", None), ("close", CONSENT)):
        answer = await company.stage.post(company.stage.admin, f"{opened}/{step}", body, key=step)
        assert answer.is_success, answer.text
    again = await company.stage.post(company.stage.admin, f"{opened}/close", CONSENT, key="close")
    assert again.json() == answer.json(), "a repeat is answered as the first time"
    await company.refuse("financing_closed", f"{opened}/close", CONSENT)
    await company.refuse("financing_closed", f"{opened}/price")
