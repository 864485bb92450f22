"""Books of every holder over companies' lives at random: they hold what the register says, and lose nothing."""

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from events.issuer import IssuerDistributionPaid
from marketplace.captable.portfolio import build_portfolio
from marketplace.captable.positions import HeldIssuer, Prices, list_positions
from marketplace.captable.tax_lots import TaxLots
from tests.ocf.random_deals import live_at_random
from tests.ocf.random_life import HOLDERS

AT = datetime(2400, 1, 1, tzinfo=UTC)
CENT = Decimal("0.01")


def sum_lots(lots):
    sums = {}
    for lot in lots:
        sums[lot.class_id] = sums.get(lot.class_id, Fraction(0)) + lot.shares
    return sums


@settings(max_examples=25)
@given(st.integers(0, 10**6))
def test_a_portfolio_holds_what_the_register_says_and_its_gains_are_its_money(seed):
    history = live_at_random(Random(seed), 100).history
    issuer = history.get_issuer()
    received = Decimal(0)
    for holder_id in HOLDERS:
        registered = {name: shares for (holder, name), shares in issuer.holdings.items() if holder == holder_id}
        assert sum_lots(TaxLots(holder_id, history, {}).lots) == registered
        portfolio = build_portfolio(
            holder_id, AT, list_positions(holder_id, [HeldIssuer(history, None)], {}, {}, Prices())
        )
        for line in portfolio.positions:
            gain = line.mark_usd + line.distributed_usd - line.cost_usd
            assert abs(line.realised_usd + line.unrealised_usd - gain) <= 2 * CENT, line
            assert line.mark_usd >= 0
            assert line.status == "open" or (line.mark_usd, line.undrawn_usd, line.unrealised_usd) == (0, 0, 0)
        received += portfolio.sums.distributed_usd
    if any(isinstance(act.event, IssuerDistributionPaid) for act in history.acts):
        payouts = issuer.sales[issuer.liquidity_id].declared.waterfall.payouts
        assert received >= sum(each.amount_usd for each in payouts if each.holder_id in HOLDERS) - len(HOLDERS) * CENT
