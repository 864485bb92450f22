"""Offers, reservations, releases, outages and terms of lots: histories, so that any point in the past can be read."""

from typing import Final

from sqlalchemy import Boolean, Column, Index

from marketplace.projections.engine.schema import Origin, define_history, document, exact, instant, text, whole

offers: Final = define_history(
    "capacity_offers",
    text("pool_id", key=True),
    text("lot_id", key=True),
    whole("sequence", key=True),
    whole("nodes", null=True),
    instant("start", null=True),
    instant("end", null=True),
    text("grant_id", null=True),
    instant("occurred_at"),
    origin=Origin("pool", "pool_id"),
)
"""What a lot offers from this event on; `nodes` is NULL if it was recalled."""

reservations: Final = define_history(
    "reservations",
    text("pool_id", key=True),
    text("grant_id", key=True),
    whole("sequence", key=True),
    whole("line", key=True),
    text("lot_id"),
    whole("nodes"),
    instant("start"),
    instant("end"),
    text("resale_lot_id", null=True),
    Column("held", Boolean, nullable=False),
    instant("occurred_at"),
    Index("ix_reservations_lot", "lot_id"),
    Index("ix_reservations_resale_lot", "resale_lot_id"),
    origin=Origin("pool", "pool_id"),
)
"""Nodes of a lot that are reserved for a grant.

`held` marks nodes of a resale lot that are set aside for a quote; meanwhile they stay reserved for the seller.
"""

releases: Final = define_history(
    "releases",
    text("pool_id", key=True),
    text("grant_id", key=True),
    whole("sequence", key=True),
    instant("at", null=True),
    instant("occurred_at"),
    origin=Origin("pool", "pool_id"),
)
"""A grant's reservation is released from `at` on; completely if `at` is NULL."""

outages: Final = define_history(
    "outages",
    text("pool_id", key=True),
    whole("sequence", key=True),
    text("incident_id"),
    whole("nodes"),
    instant("at"),
    instant("occurred_at"),
    origin=Origin("pool", "pool_id"),
)
lot_terms: Final = define_history(
    "lot_terms",
    text("lot_id", key=True),
    whole("sequence", key=True),
    text("pool_id", null=True),
    whole("nodes", null=True),
    text("status", null=True),
    instant("start", null=True),
    instant("end", null=True),
    exact("ask_usd_per_gpu_hour", null=True),
    document("further_asks", null=True),
    instant("occurred_at"),
    origin=Origin("lot", "lot_id"),
)
"""What one event states about a lot. NULL means that it states nothing; the last statement of each column applies."""

TABLES: Final = (offers, reservations, releases, outages, lot_terms)
