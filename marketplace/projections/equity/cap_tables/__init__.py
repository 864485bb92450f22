"""Cap tables: who owns what of each startup, as of any sequence or instant."""

from marketplace.projections.equity.cap_tables.projection import PROJECTION
from marketplace.projections.equity.cap_tables.queries import (
    find_depth,
    find_financing,
    find_issuer,
    find_liquidity_event,
    find_warrant,
    is_stakeholder,
    list_financings,
    list_holdings,
    list_issuers,
    list_liquidity_events,
    list_offers,
    list_price_observations,
    list_price_sources,
    list_programmes,
    list_stakeholders,
    list_stock_classes,
    list_valuations,
    list_warrants,
    load_cap_table,
)
from marketplace.projections.equity.cap_tables.shown import show_waterfall

__all__ = [
    "PROJECTION",
    "find_depth",
    "find_financing",
    "find_issuer",
    "find_liquidity_event",
    "find_warrant",
    "is_stakeholder",
    "list_financings",
    "list_holdings",
    "list_issuers",
    "list_liquidity_events",
    "list_offers",
    "list_price_observations",
    "list_price_sources",
    "list_programmes",
    "list_stakeholders",
    "list_stock_classes",
    "list_valuations",
    "list_warrants",
    "load_cap_table",
    "show_waterfall",
]
