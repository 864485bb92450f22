"""The scenario that `marketplace demo` plays: real list prices, real job sizes, real SAFE terms.

`load_scenario` reads five files and returns one `Scenario`, or says which file contradicts itself and where.
"""

from pathlib import Path
from typing import TypeVar

import msgspec

from events.types import Name
from marketplace.cli.scenario.capital import (
    Acquisition,
    DirectInvestment,
    Financing,
    Fund,
    Mandate,
    Safe,
    Startup,
)
from marketplace.cli.scenario.checks import check
from marketplace.cli.scenario.demand import Order
from marketplace.cli.scenario.market import Scenario
from marketplace.cli.scenario.supply import ListPrice, Lot, Pool, Site
from marketplace.cli.scenario.words import DayIndex, Organisation, Shape
from marketplace.core.errors import Refusal

DATA = Path(__file__).parent
FILE_BYTES_MAX = 5_000_000

T = TypeVar("T")


class _ListPrices(Shape, frozen=True, kw_only=True):
    note: str
    prices: tuple[ListPrice, ...]


class _Inventory(Shape, frozen=True, kw_only=True):
    note: str
    horizon_days: DayIndex
    providers: tuple[Organisation, ...]
    sites: tuple[Site, ...]
    pools: tuple[Pool, ...]
    lots: tuple[Lot, ...]


class _Mandates(Shape, frozen=True, kw_only=True):
    note: str
    safes: tuple[Safe, ...]
    funds: tuple[Fund, ...]
    mandates: tuple[Mandate, ...]


class _Startups(Shape, frozen=True, kw_only=True):
    note: str
    startups: tuple[Startup, ...]
    direct_investment: DirectInvestment
    financing: Financing
    acquisition: Acquisition


class _Orders(Shape, frozen=True, kw_only=True):
    note: str
    source: Name
    orders: tuple[Order, ...]


def load_scenario(folder: Path = DATA) -> Scenario:
    """Return the scenario in a folder.

    Raises:
        Refusal: ``scenario_invalid``: a file is missing, has the wrong shape, or contradicts another one.
    """
    prices = _load(folder / "list_prices.json", _ListPrices)
    inventory = _load(folder / "inventory.json", _Inventory)
    mandates = _load(folder / "mandates.json", _Mandates)
    startups = _load(folder / "startups.json", _Startups)
    orders = _load(folder / "orders.json", _Orders)
    scenario = Scenario(
        horizon_days=inventory.horizon_days,
        list_prices=prices.prices,
        providers=inventory.providers,
        sites=inventory.sites,
        pools=inventory.pools,
        lots=inventory.lots,
        safes=mandates.safes,
        funds=mandates.funds,
        mandates=mandates.mandates,
        startups=startups.startups,
        direct_investment=startups.direct_investment,
        financing=startups.financing,
        acquisition=startups.acquisition,
        orders=orders.orders,
    )
    check(scenario)
    return scenario


def _load(path: Path, shape: type[T]) -> T:
    try:
        content = path.read_bytes()
    except OSError as missing:
        raise Refusal("scenario_invalid", f"cannot read {path.name} of the scenario: {missing.strerror}") from None
    if len(content) > FILE_BYTES_MAX:
        raise Refusal("scenario_invalid", f"{path.name} has {len(content)} bytes, at most {FILE_BYTES_MAX} are read")
    try:
        return msgspec.json.decode(content, type=shape)
    except msgspec.DecodeError as fault:
        raise Refusal("scenario_invalid", f"{path.name}: {fault}") from None
