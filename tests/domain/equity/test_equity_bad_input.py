"""Bad input of the equity side: each is a named refusal with its numbers, and nothing changes."""

from datetime import date
from decimal import Decimal

import pytest

from events.types import SafeTerms
from marketplace.core.errors import Refusal
from marketplace.domain.equity.instrument.instrument import INSTRUMENT
from marketplace.domain.equity.issuer.commands import RecordValuation
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.equity.issuer.stock_commands import TransferStock
from tests.domain.equity.test_instrument import ISSUED, accrue, accrued, convert, converted
from tests.domain.equity.test_instrument import issue as sign
from tests.domain.issuer_samples import (
    CAPPED,
    COMPANY,
    FOUNDED,
    FOUNDER,
    NOON,
    OF_ISS,
    OPENED,
    PROVIDER,
    close,
    converting,
    declare,
    issue,
    make_id,
    open_round,
    price,
    signed,
    warrant,
)

TINY, HUGE = Decimal("0.000001"), Decimal(10) ** 15 + 1
STACK = tuple(converting(number, 5_000_000) for number in (1, 2))
SAFE = converting(1, 1_000_000)
PRICED = [*COMPANY, *signed(SAFE), OPENED]
PRICED += ISSUER.decide(price(SAFE), ISSUER.fold(PRICED))
CLOSED = [*PRICED, *ISSUER.decide(close(SAFE), ISSUER.fold(PRICED))]
TOO_MANY = TransferStock(
    **OF_ISS,
    transfer_id=make_id("trf", 1),
    holder_id=FOUNDER,
    holder_id_after=PROVIDER,
    class_id="common",
    shares=8_000_001,
    at=NOON,
)
EARLY = RecordValuation(**OF_ISS, price_usd_per_share=Decimal(1), method="409A", effective_on=date(2024, 4, 30))
ISSUERS = {
    "a cap below the money": (
        "cap_below_principal",
        [*COMPANY, *signed(SAFE), OPENED],
        price(converting(1, 10_000_000)),
    ),
    "a stack that asks for the whole company": (
        "stack_exceeds_company",
        [*COMPANY, *signed(*STACK), OPENED],
        price(*STACK),
    ),
    "a company without shares, priced": ("no_shares", [*FOUNDED, OPENED], price()),
    "a company without shares, sold": ("no_residual_holder", FOUNDED, declare(1_000)),
    "a round of a millionth of a dollar": ("amount_too_precise", COMPANY, open_round(pre_money_usd=TINY)),
    "a round of more than 1e15 dollars": ("amount_too_large", COMPANY, open_round(pre_money_usd=HUGE)),
    "a price of more than a share can cost": ("amount_too_large", FOUNDED, issue(price_usd_per_share=HUGE)),
    "more than 1e15 shares": ("shares_too_many", FOUNDED, issue(shares=10**15 + 1)),
    "a valuation before the formation": ("date_before_formation", COMPANY, EARLY),
    "a warrant that ends before the formation": (
        "date_before_formation",
        COMPANY,
        warrant(expires_at=NOON.replace(year=2020)),
    ),
    "a financing opened while another is open": ("financing_open", [*COMPANY, OPENED], open_round(make_id("fin", 2))),
    "a transfer of more than is held": ("shares_not_held", COMPANY, TOO_MANY),
    "a round priced after it was closed": ("financing_closed", CLOSED, price(SAFE)),
}
INSTRUMENTS = {
    "a discount of the whole price": (
        "discount_whole",
        [],
        sign(terms=SafeTerms(conversion_timing="post_money", discount=Decimal(1), service_consequence="credit")),
    ),
    "a cap below the commitment": ("cap_below_commitment", [], sign(terms=CAPPED, commitment_usd=Decimal(10_000_000))),
    "a commitment of a millionth of a dollar": ("amount_too_precise", [], sign(commitment_usd=TINY)),
    "a commitment of more than 1e15 dollars": ("amount_too_large", [], sign(commitment_usd=HUGE)),
    "a statement accrued twice": (
        "statement_accrued",
        [ISSUED, accrued(1, 10)],
        accrue(2, 10, statement_id=make_id("stm", 1)),
    ),
    "an instrument converted twice": (
        "nothing_to_convert",
        [ISSUED, accrued(1, 10), converted(10)],
        convert(10, cause=make_id("fin", 2)),
    ),
    "more than the commitment": ("commitment_exceeded", [ISSUED], accrue(1, 1_001)),
}


def refuse(decider, events, command):
    state = decider.fold(events)
    with pytest.raises(Refusal) as caught:
        decider.decide(command, state)
    assert state == decider.fold(events)
    return caught.value


@pytest.mark.parametrize("name", ISSUERS)
def test_an_issuer_refuses(name):
    code, events, command = ISSUERS[name]
    assert refuse(ISSUER, events, command).code == code


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_an_instrument_refuses(name):
    code, events, command = INSTRUMENTS[name]
    assert refuse(INSTRUMENT, events, command).code == code


def test_a_stack_that_asks_for_the_whole_company_is_told_the_numbers():
    refusal = refuse(ISSUER, [*COMPANY, *signed(*STACK), OPENED], price(*STACK))
    assert refusal.facts["slope"] == "1"
    assert "raise the caps" in refusal.message


def test_a_statement_that_accrued_is_named_with_its_tranche():
    refusal = refuse(INSTRUMENT, [ISSUED, accrued(1, 10)], accrue(2, 10, statement_id=make_id("stm", 1)))
    assert refusal.facts == {"statement_id": make_id("stm", 1), "tranche_id": make_id("trn", 1)}
