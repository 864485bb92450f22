"""The scenario's data is what it says it is, and the loader refuses data that contradicts itself."""

import json
import shutil
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from marketplace.cli.scenario import DATA, load_scenario
from marketplace.cli.scenario.market import Scenario
from marketplace.core.errors import Refusal
from marketplace.domain.trading.order_terms import compute_budget_hold, compute_cash_hold, require_terms

CLASSES = {"H100_SXM", "H200_SXM", "B200_SXM", "A100_SXM_80GB"}


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return load_scenario()


def test_inventory_is_as_large_as_promised(scenario: Scenario) -> None:
    assert len(scenario.lots) >= 30
    assert len(scenario.pools) >= 12
    assert len(scenario.providers) >= 5
    assert len(scenario.sites) >= 6
    assert {pool.gpu_class for pool in scenario.pools} == CLASSES
    assert {pool.interconnect for pool in scenario.pools} == {"ethernet", "infiniband"}
    assert len({site.region for site in scenario.sites}) >= 6
    assert {pool.key for pool in scenario.pools} == {lot.pool for lot in scenario.lots}


def test_every_ask_is_its_cited_list_price(scenario: Scenario) -> None:
    prices = {price.key: price for price in scenario.list_prices}
    classes = {pool.key: pool.gpu_class for pool in scenario.pools}
    for lot in scenario.lots:
        cited = prices[lot.list_price]
        assert lot.ask_usd_per_gpu_hour == cited.usd_per_gpu_hour
        assert classes[lot.pool] == cited.gpu_class


def test_every_list_price_says_where_and_when_it_was_seen(scenario: Scenario) -> None:
    for price in scenario.list_prices:
        assert price.source.startswith("https://")
        assert price.seen_in.startswith("https://")
        assert "20" in price.date
        assert Decimal(1) <= price.usd_per_gpu_hour <= Decimal(15)
    assert {price.gpu_class for price in scenario.list_prices} == CLASSES
    providers = {price.provider for price in scenario.list_prices}
    assert len(providers) >= 8
    assert {"Amazon Web Services", "Google Cloud", "Microsoft Azure"} <= providers


def test_list_prices_per_machine_are_an_eighth_of_the_quoted_figure(scenario: Scenario) -> None:
    per_machine = [price for price in scenario.list_prices if "for 8 GPUs" in price.quoted]
    assert len(per_machine) >= 4
    for price in per_machine:
        quoted = Decimal(price.quoted.split("$")[1].split(" ")[0])
        assert abs(quoted / 8 - price.usd_per_gpu_hour) <= Decimal("0.0001")


def test_one_former_mine_is_late(scenario: Scenario) -> None:
    converting = [site for site in scenario.sites if site.conversion]
    assert len(converting) == 1
    site = converting[0]
    assert site.conversion is not None
    assert site.status == "converting"
    assert "mining" in site.conversion.former_use
    assert site.conversion.slipped_ready_day > site.conversion.ready_day
    pools = {pool.key for pool in scenario.pools if pool.site == site.key}
    starts = {lot.from_day for lot in scenario.lots if lot.pool in pools}
    assert starts == {site.conversion.ready_day}


def test_demand_is_as_large_as_promised(scenario: Scenario) -> None:
    assert 200 <= len(scenario.orders) <= 250
    assert len(scenario.startups) == 12
    assert {order.startup for order in scenario.orders} == set(range(12))
    assert scenario.horizon_days == 90
    kinds = Counter(order.offer for order in scenario.orders)
    assert min(kinds["cash"], kinds["equity"], kinds["mixed"]) >= 20
    assert {order.infiniband for order in scenario.orders} == {True, False}
    assert len({order.philly_row for order in scenario.orders}) == len(scenario.orders)
    assert {offer.gpu_class for order in scenario.orders for offer in order.offers} == CLASSES


def test_job_sizes_are_those_of_the_public_trace(scenario: Scenario) -> None:
    assert "Philly" in json.loads((DATA / "orders.json").read_text())["source"]
    sizes = {order.philly_row: (order.nodes, order.duration_hours) for order in scenario.orders}
    assert sizes["order_00001"] == (4, 14 * 24)
    assert {nodes for nodes, _ in sizes.values()} <= {1, 2, 4, 8, 16, 24, 32}


def test_equity_is_offered_only_to_mandates_that_take_it(scenario: Scenario) -> None:
    mandates = {mandate.key: mandate for mandate in scenario.mandates}
    safes = {safe.key: safe for safe in scenario.safes}
    offered = [order for order in scenario.orders if order.offer != "cash"]
    assert offered
    for order in offered:
        startup = scenario.startups[order.startup]
        assert order.mandates
        assert all(mandates[key].accepts(safes[startup.safe], startup.sector) for key in order.mandates)


def test_three_funds_pay_cash_and_one_provider_pays_with_capacity(scenario: Scenario) -> None:
    funding = Counter(mandate.funding for mandate in scenario.mandates)
    assert funding == {"cash": 3, "own_capacity": 1}
    assert len(scenario.funds) == 3


def test_safes_are_capped_discounted_and_both(scenario: Scenario) -> None:
    shapes = {(safe.valuation_cap_usd is not None, safe.discount is not None) for safe in scenario.safes}
    assert shapes == {(True, False), (False, True), (True, True)}
    assert {safe.terms.conversion_timing for safe in scenario.safes} == {"post_money"}
    assert {safe.discount for safe in scenario.safes} == {None, Decimal("0.20")}


def test_a_cap_decides_in_the_priced_round(scenario: Scenario) -> None:
    startup = next(row for row in scenario.startups if row.key == scenario.financing.startup)
    safe = next(row for row in scenario.safes if row.key == startup.safe)
    assert safe.valuation_cap_usd is not None
    assert safe.valuation_cap_usd < scenario.financing.pre_money_usd
    assert scenario.financing.pool_post_money == Decimal("0.10")
    assert scenario.direct_investment.startup == startup.key
    new_money = Fraction(scenario.financing.investment_usd)
    post_money = Fraction(scenario.financing.pre_money_usd) + new_money
    assert Fraction(18, 100) < new_money / post_money < Fraction(21, 100)


def test_the_acquired_startup_has_preferred_stock(scenario: Scenario) -> None:
    startup = next(row for row in scenario.startups if row.key == scenario.acquisition.startup)
    assert {row.kind for row in startup.stock_classes} == {"common", "preferred"}


def test_every_order_is_one_that_the_market_takes(scenario: Scenario) -> None:
    first_day = datetime(2027, 1, 1, tzinfo=UTC)
    safes = {safe.key: safe.terms for safe in scenario.safes}
    held: Counter[tuple[int, str]] = Counter()
    for order in scenario.orders:
        safe = safes[scenario.startups[order.startup].safe]
        ids = tuple(f"mnd_{number:026d}" for number, _ in enumerate(order.mandates))
        terms = order.build_terms(first_day, gpus_per_node=8, mandate_ids=ids, safe=safe)
        require_terms(terms, first_day - timedelta(days=1))
        held[order.startup, "cash"] += compute_cash_hold(terms)
        for mandate in scenario.mandates:
            if mandate.key in order.mandates:
                held[order.startup, mandate.key] += compute_budget_hold(terms, mandate.equity_credit)
    for index, startup in enumerate(scenario.startups):
        assert 0 < held[index, "cash"] <= startup.deposit_usd
    for mandate in scenario.mandates:
        amounts = [held[index, mandate.key] for index in range(len(scenario.startups))]
        assert 0 < sum(amounts) <= mandate.budget_usd
        assert max(amounts) <= mandate.issuer_usd_max


def test_no_scenario_file_holds_a_binary_float() -> None:
    files = sorted(DATA.glob("*.json"))
    assert len(files) == 5
    for file in files:
        json.loads(file.read_text(), parse_float=_no_float)


def _no_float(text: str) -> float:
    raise AssertionError(f"{text} must be a string")


Change = Callable[[dict[str, Any]], None]

BROKEN: dict[str, tuple[str, Change, str]] = {
    "unknown member": ("inventory", lambda data: data["lots"][0].update(colour="red"), "colour"),
    "key used twice": ("inventory", lambda data: data["lots"].append(data["lots"][0]), "twice"),
    "unknown provider": ("inventory", lambda data: data["sites"][0].update(provider="nobody"), "nobody"),
    "operating yet converting": (
        "inventory",
        lambda data: data["sites"][1].update(status="operating"),
        "if and only if",
    ),
    "conversion that does not slip": (
        "inventory",
        lambda data: data["sites"][1]["conversion"].update(slipped_ready_day=1),
        "later day",
    ),
    "too little power": ("inventory", lambda data: data["sites"][0].update(power_energised_kw=10), "10 kW"),
    "unknown site": ("inventory", lambda data: data["pools"][0].update(site="nowhere"), "nowhere"),
    "ask that is not the list price": (
        "inventory",
        lambda data: data["lots"][0].update(ask_usd_per_gpu_hour="0.01"),
        "differs",
    ),
    "list price of another class": (
        "inventory",
        lambda data: data["lots"][0].update(list_price="lambda-b200", ask_usd_per_gpu_hour="6.69"),
        "differs",
    ),
    "span that ends before it starts": ("inventory", lambda data: data["lots"][0].update(to_day=0), "span"),
    "oversold pool": ("inventory", lambda data: data["lots"][0].update(nodes=99), "offer 107 nodes"),
    "lot before its site is ready": ("inventory", lambda data: _first_late_lot(data).update(from_day=0), "ready"),
    "capacity of another provider": (
        "inventory",
        lambda data: data["lots"][-1].update(mandates=["north-own"]),
        "does not own",
    ),
    "fund that pays with capacity": (
        "mandates",
        lambda data: data["mandates"][0].update(funding="own_capacity"),
        "with capacity",
    ),
    "credit above one": ("mandates", lambda data: data["mandates"][0].update(equity_credit="1.5"), "1.5"),
    "safe without terms": (
        "mandates",
        lambda data: data["safes"][0].update(valuation_cap_usd=None),
        "neither",
    ),
    "budget too small": ("mandates", lambda data: data["mandates"][0].update(budget_usd="1"), "budget"),
    "fund too poor": ("mandates", lambda data: data["funds"][0].update(deposit_usd="1"), "brings 1"),
    "shares above the authorised": (
        "startups",
        lambda data: data["startups"][0]["stock_classes"][0].update(shares_authorised=1),
        "authorised",
    ),
    "startup too poor": ("startups", lambda data: data["startups"][0].update(deposit_usd="1"), "brings 1"),
    "investor unknown": ("startups", lambda data: data["financing"].update(investor="nobody"), "nobody"),
    "financed and sold": ("startups", lambda data: data["acquisition"].update(startup="robots"), "priced round"),
    "startup out of range": ("orders", lambda data: data["orders"][0].update(startup=12), "there are 12"),
    "start after the horizon": (
        "orders",
        lambda data: data["orders"][0].update(start_day_latest=89),
        "outside the horizon",
    ),
    "run of five years in a horizon of 90 days": (
        "orders",
        lambda data: data["orders"][0].update(duration_hours=43_920),
        "outside the horizon",
    ),
    "no offers": ("orders", lambda data: data["orders"][0].update(offers=[]), "at least one class"),
    "offer of another kind": ("orders", lambda data: data["orders"][0].update(offer="equity"), "its offers differ"),
    "equity without a mandate": ("orders", lambda data: data["orders"][0].update(mandates=[]), "mandates"),
    "mandate out of its range": (
        "orders",
        lambda data: data["orders"][0].update(mandates=["growth-fund"]),
        "does not accept",
    ),
}


def _first_late_lot(data: dict[str, Any]) -> dict[str, Any]:
    return next(lot for lot in data["lots"] if lot["pool"].startswith("north-2"))


@pytest.mark.parametrize("name", BROKEN)
def test_contradictions_are_refused_by_name(name: str, tmp_path: Path) -> None:
    file, change, expected = BROKEN[name]
    for source in DATA.glob("*.json"):
        shutil.copy(source, tmp_path)
    path = tmp_path / f"{file}.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    with pytest.raises(Refusal) as refused:
        load_scenario(tmp_path)
    assert refused.value.code == "scenario_invalid"
    assert expected in refused.value.message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=r"list_prices\.json"):
        load_scenario(tmp_path)
