"""What was offered, taken, given back and asked: histories alone, so that any point in the past is a bound on them."""

from typing import Final

from sqlalchemy import Boolean, Column, Index

from marketplace.projections.engine.schema import Origin, define_history, document, exact, instant, text, whole

offers: Final = define_history(
    "capacity_offers_v2",
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
"""What a lot offers from then on; no nodes where it was recalled."""

reservations: Final = define_history(
    "reservations_v2",
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
    Index("ix_reservations_v2_lot", "lot_id"),
    Index("ix_reservations_v2_resale_lot", "resale_lot_id"),
    origin=Origin("pool", "pool_id"),
)
"""Nodes taken of a lot for a grant; `held`: of a lot of resale for a quote, while they are their seller's."""

releases: Final = define_history(
    "releases_v2",
    text("pool_id", key=True),
    text("grant_id", key=True),
    whole("sequence", key=True),
    instant("at", null=True),
    instant("occurred_at"),
    origin=Origin("pool", "pool_id"),
)
"""What was reserved for a grant before is free from `at` on, all of it where `at` is NULL."""

outages: Final = define_history(
    "outages_v2",
    text("pool_id", key=True),
    whole("sequence", key=True),
    text("incident_id"),
    whole("nodes"),
    instant("at"),
    instant("occurred_at"),
    origin=Origin("pool", "pool_id"),
)
lot_terms: Final = define_history(
    "lot_terms_v2",
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
"""What an event said of a lot; NULL where it said nothing, so that the last word on each counts."""

TABLES: Final = (offers, reservations, releases, outages, lot_terms)
