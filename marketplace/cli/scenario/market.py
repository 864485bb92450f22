"""The whole scenario as one value."""

import msgspec

from marketplace.cli.scenario.capital import Acquisition, DirectInvestment, Financing, Fund, Mandate, Safe, Startup
from marketplace.cli.scenario.demand import Order
from marketplace.cli.scenario.supply import ListPrice, Lot, Pool, Site
from marketplace.cli.scenario.words import Organisation


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """A whole market to play.

    Attributes:
        horizon_days: Length of the auction's horizon.
        list_prices: Public list prices that asks are taken from.
        providers: Sellers.
        sites: Their data centers.
        pools: Their fabrics.
        lots: What is for sale.
        safes: Terms of equity.
        funds: Holders of equity.
        mandates: What holders take.
        startups: Buyers.
        direct_investment: Cash that goes in beside compute.
        financing: The priced round that closes.
        acquisition: The sale that pays holders.
        orders: Demand.
    """

    horizon_days: int
    list_prices: tuple[ListPrice, ...]
    providers: tuple[Organisation, ...]
    sites: tuple[Site, ...]
    pools: tuple[Pool, ...]
    lots: tuple[Lot, ...]
    safes: tuple[Safe, ...]
    funds: tuple[Fund, ...]
    mandates: tuple[Mandate, ...]
    startups: tuple[Startup, ...]
    direct_investment: DirectInvestment
    financing: Financing
    acquisition: Acquisition
    orders: tuple[Order, ...]
