"""Consistency checks across the files of a scenario, so that a typing error of ours is found before playing.

The checks run in this order: sites and their power, pools, lots, mandates, startups, the investment, the round and the
sale, orders, and whether cash and budgets cover the orders. Each also checks that keys are unique and that what it
names exists. Every refusal has the code ``scenario_invalid`` and names the object.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import NoReturn, Protocol, TypeVar

from marketplace.cli.scenario.capital import Mandate
from marketplace.cli.scenario.demand import Offer, Order
from marketplace.cli.scenario.market import Scenario
from marketplace.cli.scenario.supply import Lot, Pool, Site
from marketplace.core.errors import Refusal


class _Keyed(Protocol):
    @property
    def key(self) -> str: ...


K = TypeVar("K", bound=_Keyed)


def check(scenario: Scenario) -> None:
    """Check the scenario, and refuse the first contradiction.

    Raises:
        Refusal: ``scenario_invalid``.
    """
    _check_sites(scenario)
    _check_pools(scenario)
    _check_lots(scenario)
    _check_mandates(scenario)
    _check_startups(scenario)
    _check_events(scenario)
    _check_orders(scenario)
    _check_cover(scenario)


def gpu_hours(order: Order, pools: Iterable[Pool]) -> int:
    """Return the GPU-hours of an order, on the largest nodes that could serve it."""
    classes = {offer.gpu_class for offer in order.offers}
    gpus = max((pool.gpus_per_node for pool in pools if pool.gpu_class in classes), default=0)
    return order.nodes * order.duration_hours * gpus


def _refuse(where: str, what: str) -> NoReturn:
    raise Refusal("scenario_invalid", f"{where}: {what}")


def _index(kind: str, rows: Iterable[K]) -> Mapping[str, K]:
    found: dict[str, K] = {}
    for row in rows:
        if row.key in found:
            _refuse(f"{kind} {row.key}", "the key is used twice")
        found[row.key] = row
    return found


def _get(found: Mapping[str, K], kind: str, key: str, where: str) -> K:
    if key not in found:
        _refuse(where, f"names the {kind} {key!r}, which is not in the scenario")
    return found[key]


def _check_sites(scenario: Scenario) -> None:
    providers = _index("provider", scenario.providers)
    for site in _index("site", scenario.sites).values():
        where = f"site {site.key}"
        _get(providers, "provider", site.provider, where)
        if (site.status == "converting") != (site.conversion is not None):
            _refuse(where, f"is {site.status}; a site is converting if and only if it names a conversion")
        if site.conversion and not (
            site.conversion.ready_day < site.conversion.slipped_ready_day < scenario.horizon_days
        ):
            _refuse(where, "its conversion must slip to a later day inside the horizon")
        _check_power(site, [pool for pool in scenario.pools if pool.site == site.key])


def _check_power(site: Site, pools: list[Pool]) -> None:
    draw_kw = sum(pool.nodes * pool.power_per_node_kw for pool in pools) * site.power_usage_effectiveness
    limit_kw = site.power_contracted_kw if site.conversion else site.power_energised_kw
    if draw_kw > limit_kw:
        _refuse(f"site {site.key}", f"its pools draw {draw_kw} kW at its PUE, it has {limit_kw} kW")


def _check_pools(scenario: Scenario) -> None:
    sites = _index("site", scenario.sites)
    for pool in _index("pool", scenario.pools).values():
        _get(sites, "site", pool.site, f"pool {pool.key}")


def _check_lots(scenario: Scenario) -> None:
    pools = _index("pool", scenario.pools)
    prices = _index("list price", scenario.list_prices)
    mandates = _index("mandate", scenario.mandates)
    sites = _index("site", scenario.sites)
    for lot in _index("lot", scenario.lots).values():
        where = f"lot {lot.key}"
        pool = _get(pools, "pool", lot.pool, where)
        price = _get(prices, "list price", lot.list_price, where)
        if (price.gpu_class, price.usd_per_gpu_hour) != (pool.gpu_class, lot.ask_usd_per_gpu_hour):
            _refuse(where, f"asks {lot.ask_usd_per_gpu_hour} for {pool.gpu_class}, cites {price.key}, which differs")
        if not lot.from_day < lot.to_day <= scenario.horizon_days:
            _refuse(where, f"its days {lot.from_day} to {lot.to_day} are not a span inside the horizon")
        for key in lot.mandates:
            mandate = _get(mandates, "mandate", key, where)
            if mandate.funding == "own_capacity" and mandate.holder != sites[pool.site].provider:
                _refuse(where, f"the mandate {key} pays with capacity of {mandate.holder}, which does not own the lot")
    for pool in pools.values():
        _check_offered(pool, sites[pool.site], [lot for lot in scenario.lots if lot.pool == pool.key])


def _check_offered(pool: Pool, site: Site, lots: list[Lot]) -> None:
    for day in sorted({lot.from_day for lot in lots}):
        offered = sum(lot.nodes for lot in lots if lot.from_day <= day < lot.to_day)
        if offered > pool.nodes:
            _refuse(f"pool {pool.key}", f"its lots offer {offered} nodes on day {day}, it has {pool.nodes}")
    if site.conversion and any(lot.from_day < site.conversion.ready_day for lot in lots):
        _refuse(f"pool {pool.key}", f"a lot begins before its site is ready on day {site.conversion.ready_day}")


def _check_mandates(scenario: Scenario) -> None:
    holders = {fund.key for fund in scenario.funds} | {provider.key for provider in scenario.providers}
    funds = {fund.key for fund in scenario.funds}
    for mandate in _index("mandate", scenario.mandates).values():
        if mandate.holder not in holders:
            _refuse(f"mandate {mandate.key}", f"names the holder {mandate.holder!r}, which is not in the scenario")
        if (mandate.funding == "cash") != (mandate.holder in funds):
            _refuse(f"mandate {mandate.key}", "funds pay cash and providers pay with capacity")
        if not 0 < mandate.equity_credit <= 1:
            _refuse(f"mandate {mandate.key}", f"its equity credit {mandate.equity_credit} is not in (0, 1]")


def _check_startups(scenario: Scenario) -> None:
    safes = _index("safe", scenario.safes)
    for safe in safes.values():
        if safe.valuation_cap_usd is None and safe.discount is None:
            _refuse(f"safe {safe.key}", "has neither cap nor discount")
    for startup in _index("startup", scenario.startups).values():
        where = f"startup {startup.key}"
        _get(safes, "safe", startup.safe, where)
        classes = _index(f"stock class of {startup.key}", startup.stock_classes)
        for holding in startup.holdings:
            _get(classes, "stock class", holding.stock_class, where)
        for stock_class in classes.values():
            issued = sum(row.shares for row in startup.holdings if row.stock_class == stock_class.key)
            if issued > stock_class.shares_authorised:
                _refuse(where, f"{issued} shares of {stock_class.name} are more than authorised")


def _check_events(scenario: Scenario) -> None:
    startups = _index("startup", scenario.startups)
    funds = _index("fund", scenario.funds)
    direct, financing, acquisition = scenario.direct_investment, scenario.financing, scenario.acquisition
    _get(startups, "startup", direct.startup, "direct_investment")
    _get(funds, "fund", direct.holder, "direct_investment")
    _get(_index("safe", scenario.safes), "safe", direct.safe, "direct_investment")
    _get(startups, "startup", financing.startup, "financing")
    _get(funds, "fund", financing.investor, "financing")
    _get(startups, "startup", acquisition.startup, "acquisition")
    if acquisition.startup == financing.startup:
        _refuse("acquisition", f"{acquisition.startup} also closes the priced round")


def _check_orders(scenario: Scenario) -> None:
    mandates = _index("mandate", scenario.mandates)
    safes = _index("safe", scenario.safes)
    for order in _index("order", scenario.orders).values():
        where = f"order {order.key}"
        if order.startup >= len(scenario.startups):
            _refuse(where, f"names startup {order.startup}, there are {len(scenario.startups)}")
        last_day = order.start_day_latest + -(-order.duration_hours // 24)
        if not order.start_day_earliest <= order.start_day_latest or last_day > scenario.horizon_days:
            _refuse(where, "its start window or its end is outside the horizon")
        _check_offers(order)
        startup = scenario.startups[order.startup]
        for key in order.mandates:
            if not _get(mandates, "mandate", key, where).accepts(safes[startup.safe], startup.sector):
                _refuse(where, f"the mandate {key} does not accept {startup.safe} of {startup.key}")


def _check_offers(order: Order) -> None:
    where = f"order {order.key}"
    if not order.offers or len({offer.gpu_class for offer in order.offers}) != len(order.offers):
        _refuse(where, "must offer for at least one class, and once for each")
    if any(_kind(offer) != order.offer for offer in order.offers):
        _refuse(where, f"states that it pays with {order.offer}, its offers differ")
    if (order.offer == "cash") != (not order.mandates):
        _refuse(where, "must name mandates if and only if it offers equity")


def _kind(offer: Offer) -> str:
    match offer.cash_usd_per_gpu_hour > 0, offer.equity_usd_per_gpu_hour > 0:
        case True, False:
            return "cash"
        case False, True:
            return "equity"
        case True, True:
            return "mixed"
        case _:
            return "nothing"


def _check_cover(scenario: Scenario) -> None:
    for index, startup in enumerate(scenario.startups):
        held = sum((_cash_hold(order, scenario) for order in scenario.orders if order.startup == index), Decimal(0))
        if held > startup.deposit_usd:
            _refuse(f"startup {startup.key}", f"its orders hold {held} USD, it brings {startup.deposit_usd}")
    for mandate in scenario.mandates:
        holds = [_budget_hold(mandate, index, scenario) for index in range(len(scenario.startups))]
        if sum(holds, Decimal(0)) > mandate.budget_usd or max(holds) > mandate.issuer_usd_max:
            _refuse(f"mandate {mandate.key}", "the orders that name it would hold more than its budget or its maximum")
    for fund in scenario.funds:
        owed = sum((row.budget_usd for row in scenario.mandates if row.holder == fund.key), Decimal(0))
        owed += scenario.direct_investment.amount_usd if scenario.direct_investment.holder == fund.key else 0
        owed += scenario.financing.investment_usd if scenario.financing.investor == fund.key else 0
        if owed > fund.deposit_usd:
            _refuse(f"fund {fund.key}", f"needs {owed} USD, it brings {fund.deposit_usd}")


def _cash_hold(order: Order, scenario: Scenario) -> Decimal:
    return max(offer.cash_usd_per_gpu_hour for offer in order.offers) * gpu_hours(order, scenario.pools)


def _budget_hold(mandate: Mandate, index: int, scenario: Scenario) -> Decimal:
    total = Decimal(0)
    for order in scenario.orders:
        if order.startup == index and mandate.key in order.mandates:
            equity = max(offer.equity_usd_per_gpu_hour for offer in order.offers)
            total += equity * gpu_hours(order, scenario.pools) * mandate.equity_credit
    return total
