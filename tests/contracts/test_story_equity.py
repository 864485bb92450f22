"""The story is one that the market's own deciders take, and whose round and sale its own engine computes alike."""

import json
from decimal import Decimal
from typing import Any

import msgspec

from events.envelope import parse_headers
from events.financing import ConvertingInstrument, RoundPricing, Waterfall
from events.issuer import IssuerFinancingPriced, IssuerLiquidityDeclared
from events.registry import parse_body
from events.types import SafeTerms
from marketplace.domain.deciders import DECIDERS
from marketplace.domain.equity.issuer.financing.pricing import list_forfeits, price_instruments
from marketplace.domain.equity.issuer.sale.payouts import share_proceeds
from marketplace.equity.checker import verify
from tests.contracts.story.book import tell_story
from tests.contracts.story.sale import BRIDGE_SAFE
from tests.contracts.story.supply import TIDEWATER
from tests.contracts.story.teller import Told


def compute(event: object, state: Any, told: Told) -> RoundPricing | Waterfall | None:
    """Return what the engine says where the event tells a computed value."""
    at = parse_headers(told.headers).time
    if isinstance(event, IssuerFinancingPriced):
        terms = state.financings[event.financing_id].opened.terms
        return price_instruments(state, terms, event.pricing.instruments, at, list_forfeits(state, terms))
    if isinstance(event, IssuerLiquidityDeclared):
        bridge = ConvertingInstrument(
            instrument_id=BRIDGE_SAFE,
            holder_id=TIDEWATER,
            principal_usd=Decimal("100000.00"),
            terms=SafeTerms(conversion_timing="post_money", valuation_cap_usd=Decimal("80000000.00")),
        )
        proceeds = event.waterfall.proceeds_usd
        return share_proceeds(state, proceeds, (bridge,), at=at, until=event.pay_until, safe_seniority=None)
    return None


def test_deciders_fold_the_story_and_the_engine_computes_the_same_round_and_sale() -> None:
    states: dict[str, Any] = {}
    compared = 0
    for told in tell_story():
        decider, event = DECIDERS[told.tag.partition(".")[0]], parse_body(told.tag, told.body)
        before = states.get(told.subject, decider.initial)
        computed = compute(event, before, told)
        if computed is not None:
            said = event.pricing if isinstance(event, IssuerFinancingPriced) else event.waterfall  # type: ignore[attr-defined]
            assert msgspec.to_builtins(said) == msgspec.to_builtins(computed)
            compared += 1
        states[told.subject] = decider.evolve(before, event)
    assert compared == 3


def test_the_checker_takes_the_certificates_of_the_story() -> None:
    events = [parse_body(told.tag, told.body) for told in tell_story()]
    texts = [event.pricing.certificate_json for event in events if isinstance(event, IssuerFinancingPriced)]
    texts += [event.waterfall.certificate_json for event in events if isinstance(event, IssuerLiquidityDeclared)]
    assert len(texts) == 3
    assert [verify(json.loads(text)) for text in texts] == [[], [], []]
