"""Tables of market data. Fills keep their startups, curves their orders, ties the parties; no query returns them."""

from typing import Final

from sqlalchemy import Column, Date, Index

from marketplace.projections.engine.schema import Origin, define, document, exact, instant, text, whole

fills: Final = define(
    "fills",
    text("grant_id", key=True),
    text("gpu_class"),
    text("pool_id"),
    text("startup_id"),
    text("seller_id"),
    text("mark", null=True),
    instant("marked_at", null=True),
    Column("day", Date, nullable=True),
    whole("gpu_hours"),
    whole("counted_gpu_hours"),
    exact("charged_usd"),
    exact("credited_usd"),
    text("statement_id", null=True),
    exact("service_credit"),
    text("price_usd_per_gpu_hour"),
    instant("filled_at"),
    Index("ix_fills_class", "gpu_class", "day"),
    origin=Origin("grant", "grant_id"),
)
list_prices: Final = define(
    "list_prices",
    text("gpu_class", key=True),
    text("provider", key=True),
    text("product", key=True),
    text("region", key=True),
    Column("listed_on", Date, primary_key=True),
    exact("usd_per_gpu_hour"),
    text("source"),
    text("pricelist_id"),
    origin=Origin("pricelist", "pricelist_id"),
)
curves: Final = define(
    "curves",
    text("auction_id", key=True),
    text("gpu_class", key=True),
    text("source_id", key=True),
    text("side"),
    exact("price_usd_per_gpu_hour"),
    whole("gpu_hours"),
    instant("locked_at"),
    Index("ix_curves_class", "gpu_class", "locked_at"),
    origin=Origin("auction", "auction_id"),
)
ties: Final = define(
    "ties",
    text("relation_id", key=True),
    text("party_id"),
    text("other"),
    document("words"),
    instant("ended_at", null=True),
    origin=Origin("register"),
)
