"""The tables that the demonstration prints."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Final

import msgspec
from rich.table import Table

from events.auction import Certificate
from events.order import OrderTerms
from marketplace.clearing.money import say_rate
from marketplace.cli.demo.play import Play
from marketplace.cli.output import CONSOLE, mark
from marketplace.cli.price_loss import render_price_loss
from marketplace.core.money import ZERO
from marketplace.projections.views.equity import CapTableView, FinancingView, LiquidityView

Say = Callable[[str], None]
LOSERS_SHOWN: Final = 8
WINNERS_SHOWN: Final = 12
HOLDERS_SHOWN: Final = 30


def _usd(amount: Decimal | Fraction) -> str:
    return f"{float(amount):,.2f}"


async def show_inventory(play: Play) -> None:
    """Show what is for sale, one line per pool."""
    lots = defaultdict(list)
    async for lot in play.platform.lots.list():
        lots[lot.pool_id].append(lot)
    table = Table("pool", "region", "class", "fabric", "nodes", "lots", "asks, USD per GPU-hour", title="Inventory")
    async for pool in play.platform.pools.list():
        asks = sorted({lot.ask_usd_per_gpu_hour for lot in lots[pool.pool_id]})
        table.add_row(
            play.names[pool.pool_id],
            pool.region,
            pool.gpu_class,
            pool.interconnect,
            str(pool.nodes),
            str(len(lots[pool.pool_id])),
            ", ".join(str(ask) for ask in asks),
        )
    CONSOLE.print(table)


def _render_offer(terms: OrderTerms, gpu_class: str) -> str:
    offer = next(offer for offer in terms.offers if offer.gpu_class == gpu_class)
    return f"{offer.cash_usd_per_gpu_hour} cash + {offer.equity_usd_per_gpu_hour} equity"


async def show_auction(play: Play) -> None:
    """Show prices, winners with their prices, and why others lost."""
    auction = await play.platform.auctions.get(play.auction_id)
    decisions = [decision async for decision in play.platform.auctions.list_decisions(play.auction_id)]
    orders = {order.order_id: order async for order in play.platform.orders.list()}
    certificate = msgspec.convert(auction.certificate, Certificate, from_attributes=True)
    CONSOLE.print(
        mark("bold", "Auction"),
        f"{auction.matched} matched, {auction.unmatched} unmatched, {auction.impossible} impossible;"
        f" welfare {_usd(certificate.welfare_usd)} USD, bound {_usd(certificate.lp_bound_usd)} USD,"
        f" gap {float(certificate.gap):.2%}, uniform prices cost"
        f" {render_price_loss(certificate)};"
        f" book {certificate.book_hash[:16]}…",
    )
    prices = defaultdict(list)
    async for price in play.platform.market.list_prices(auction_id=play.auction_id):
        prices[price.gpu_class or "?"].append(price.price_usd_per_gpu_hour)
    table = Table("class", "lowest", "highest", title="Prices, USD per GPU-hour")
    for gpu_class, found in sorted(prices.items()):
        table.add_row(gpu_class, str(min(found)), str(max(found)))
    CONSOLE.print(table)
    classes = {pool.pool_id: pool.gpu_class async for pool in play.platform.pools.list()}
    won = [decision for decision in decisions if decision.match is not None]
    table = Table("order", "pool", "nodes", "offer", "worth", "pays", title=f"Winners, {WINNERS_SHOWN} of {len(won)}")
    for decision in won[:WINNERS_SHOWN]:
        match = decision.match
        assert match is not None, "winners have a match"
        table.add_row(
            play.names[decision.order_id],
            play.names[match.pool_id],
            str(match.nodes),
            _render_offer(orders[decision.order_id].terms, classes[match.pool_id]),
            str(match.value_usd_per_gpu_hour),
            f"{float(Fraction(match.price_usd_per_gpu_hour)):.4f}",
        )
    CONSOLE.print(table)
    lost = [decision for decision in decisions if decision.match is None]
    codes = Counter(decision.reasons[0].code for decision in lost)
    CONSOLE.print("Lost: " + ", ".join(f"{count} {code}" for code, count in codes.most_common()))
    table = Table("order", "why", "price to win", title=f"Why they lost, {LOSERS_SHOWN} of {len(lost)}")
    for decision in _pick(lost):
        price = decision.price_to_win_usd_per_gpu_hour
        table.add_row(
            play.names[decision.order_id],
            decision.reasons[0].text,
            "none would" if price is None else say_rate(f"{price:f}"),
        )
    CONSOLE.print(table)


def _pick(lost: list) -> list:  # type: ignore[type-arg]
    """Return some losers, including every decisive reason."""
    first = {decision.reasons[0].code: decision for decision in reversed(lost)}
    rest = [decision for decision in lost if decision not in first.values()]
    return [*first.values(), *rest][:LOSERS_SHOWN]


async def show_delivery(play: Play) -> None:
    """Show what was delivered, paid and owed, per startup."""
    totals: dict[str, list[Decimal]] = defaultdict(lambda: [ZERO] * 5)
    async for statement in play.platform.statements.list(status="accepted"):
        row, charges = totals[statement.startup_id], statement.charges
        money = (charges.provider_usd, charges.cash_usd, charges.holder_usd, charges.principal_usd)
        amounts: tuple[Decimal, ...] = (Decimal(charges.gpu_seconds), *money)
        for index, amount in enumerate(amounts):
            row[index] += amount
    counts = Counter([grant.startup_id async for grant in play.platform.grants.list()])
    table = Table(
        "startup", "grants", "GPU-hours", "providers got", "startup paid", "holders paid", "principal accrued",
        title="Grants, usage accepted and principal accrued (USD)",
    )  # fmt: skip
    for startup_id, row in sorted(totals.items(), key=lambda item: -item[1][1]):
        hours = f"{float(row[0] / 3600):,.0f}"
        table.add_row(play.names[startup_id], str(counts[startup_id]), hours, *(_usd(amount) for amount in row[1:]))
    CONSOLE.print(table)


def show_round(play: Play, before: CapTableView, closed: FinancingView, after: CapTableView) -> None:
    """Show a cap table before and after its financing."""
    pricing = closed.pricing
    assert pricing is not None, "a closed round has its price"
    table = Table(
        "holder", "security", "before", "after", "owned",
        title=f"{play.scenario.financing.startup}: cap table around {closed.name}",
    )  # fmt: skip
    old = {(row.holder_id, row.security): row for row in before.rows}
    new = {(row.holder_id, row.security): row for row in after.rows}
    for key in [*old, *(key for key in new if key not in old)][:HOLDERS_SHOWN]:
        row = new.get(key) or old[key]
        shares = new[key].shares if key in new else 0
        table.add_row(
            row.name or ("unissued pool" if row.kind == "pool" else row.holder_id),
            row.security,
            f"{old[key].shares:,}" if key in old else "",
            f"{shares:,}",
            f"{shares / after.fully_diluted_shares:.2%}",
        )
    table.add_section()
    total_before, total_after = sum(r.shares for r in before.rows), sum(r.shares for r in after.rows)
    table.add_row("total", "", f"{total_before:,}", f"{total_after:,}", "100.00%")
    CONSOLE.print(table)
    CONSOLE.print(
        f"Price {pricing.price_usd_per_share} USD a share; {len(pricing.conversions)} SAFEs converted: "
        + ", ".join(
            f"{count} at the {branch.replace('_', ' ')}"
            for branch, count in Counter(conversion.branch for conversion in pricing.conversions).items()
        )
    )


def show_sale(play: Play, paid: LiquidityView, stakeholders: Mapping[str, str]) -> None:
    """Show the payouts of an acquisition."""
    table = Table(
        "holder", "security", "USD", "as converted",
        title=f"{play.scenario.acquisition.startup}: sold for {_usd(paid.waterfall.proceeds_usd)} USD",
    )  # fmt: skip
    for payout in paid.waterfall.payouts[:HOLDERS_SHOWN]:
        name = play.names.get(payout.holder_id) or stakeholders.get(payout.holder_id, payout.holder_id)
        security = "SAFE" if payout.security.startswith("ins_") else payout.security
        table.add_row(name, security, _usd(payout.amount_usd), "yes" if payout.as_converted else "no")
    table.add_section()
    table.add_row("total", "", _usd(sum((payout.amount_usd for payout in paid.waterfall.payouts), ZERO)), "")
    CONSOLE.print(table)


async def show_balances(play: Play) -> None:
    """Show account balances, which sum to zero per unit."""
    table = Table("unit", "kind of account", "accounts", "balance", title="Trial balance")
    sums: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for row in await play.platform.accounts.get_trial_balance():
        unit = "principal-USD, all instruments" if row.unit.startswith("principal-USD") else row.unit
        sums[unit] += row.amount
        if not row.unit.startswith("principal-USD"):
            table.add_row(row.unit, row.kind, str(row.accounts), f"{row.amount:,}")
    table.add_section()
    for unit, total in sorted(sums.items()):
        table.add_row(unit, "sum", "", f"{total:,}")
    CONSOLE.print(table)
