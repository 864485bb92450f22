"""Tables of issuers and their cap tables. Share entries are the history; holdings are their sums."""

from typing import Final

from sqlalchemy import Boolean, Column, Date, Index, Integer

from marketplace.projections.engine.schema import Origin, define, define_history, document, exact, instant, text, whole

_ISSUER: Final = Origin("issuer", "issuer_id")

issuers: Final = define(
    "issuers",
    text("issuer_id", key=True),
    text("party_id"),
    text("legal_name"),
    text("jurisdiction"),
    Column("formed_on", Date, nullable=False),
    text("status"),
    whole("plan_shares_reserved"),
    exact("dilution_max", null=True),
    exact("dilution_valuation_usd", null=True),
    document("holder_terms", null=True),
    Index("ix_issuers_party", "party_id", "issuer_id"),
    origin=_ISSUER,
)
imports: Final = define(
    "issuer_imports",
    text("issuer_id", key=True),
    text("source"),
    text("package_hash"),
    instant("imported_at"),
    origin=_ISSUER,
)
stakeholders: Final = define(
    "stakeholders",
    text("issuer_id", key=True),
    text("holder_id", key=True),
    text("name"),
    text("kind"),
    Index("ix_stakeholders_holder", "holder_id", "issuer_id"),
    origin=_ISSUER,
)
stock_classes: Final = define(
    "stock_classes",
    text("issuer_id", key=True),
    text("class_id", key=True),
    text("kind"),
    whole("shares_authorised"),
    text("price_per_share_usd", null=True),
    exact("liquidation_multiple", null=True),
    whole("seniority"),
    text("conversion_price_usd", null=True),
    text("participation"),
    exact("participation_cap_multiple", null=True),
    text("price_protection", null=True),
    text("protection_basis", null=True),
    Column("first_refusal", Boolean, nullable=False),
    origin=_ISSUER,
)
offers: Final = define(
    "stock_offers",
    text("transfer_id", key=True),
    text("issuer_id"),
    text("holder_id"),
    text("holder_id_after"),
    text("class_id"),
    whole("shares"),
    exact("price_usd_per_share"),
    instant("decide_until"),
    text("status"),
    Index("ix_stock_offers_issuer", "issuer_id", "transfer_id"),
    origin=_ISSUER,
)
holdings: Final = define(
    "holdings",
    text("issuer_id", key=True),
    text("kind", key=True),
    text("holder_id", key=True),
    text("security", key=True),
    text("class_id", null=True),
    whole("shares"),
    text("exercise_price_usd", null=True),
    instant("expires_at", null=True),
    Index("ix_holdings_holder", "holder_id", "issuer_id"),
    origin=_ISSUER,
)
share_entries: Final = define_history(
    "share_entries",
    whole("sequence", key=True),
    Column("line", Integer, primary_key=True, autoincrement=False),
    text("issuer_id"),
    text("kind"),
    text("holder_id"),
    text("security"),
    text("class_id", null=True),
    whole("shares"),
    instant("occurred_at"),
    Index("ix_share_entries_issuer", "issuer_id", "sequence"),
    origin=_ISSUER,
)
financings: Final = define(
    "financings",
    text("financing_id", key=True),
    text("issuer_id"),
    text("name"),
    text("status"),
    document("terms"),
    document("pro_rata"),
    instant("pro_rata_until", null=True),
    document("pricing", null=True),
    whole("priced_sequence", null=True),
    document("approval", null=True),
    text("reason", null=True),
    instant("opened_at"),
    instant("closed_at", null=True),
    Index("ix_financings_issuer", "issuer_id", "financing_id"),
    origin=_ISSUER,
)
pro_rata_answers: Final = define(
    "pro_rata_answers",
    text("financing_id", key=True),
    text("holder_id", key=True),
    text("issuer_id"),
    exact("amount_usd"),
    origin=_ISSUER,
)
liquidity_events: Final = define(
    "liquidity_events",
    text("liquidity_id", key=True),
    text("issuer_id"),
    text("kind"),
    text("status"),
    document("waterfall"),
    exact("paid_usd", null=True),
    document("payouts", null=True),
    document("later"),
    text("reason", null=True),
    instant("declared_at"),
    instant("pay_until"),
    instant("paid_at", null=True),
    Index("ix_liquidity_events_issuer", "issuer_id", "liquidity_id"),
    origin=_ISSUER,
)
valuations: Final = define(
    "valuations",
    text("issuer_id", key=True),
    whole("recorded_sequence", key=True),
    exact("price_usd_per_share"),
    text("method"),
    Column("effective_on", Date, nullable=False),
    instant("recorded_at"),
    origin=_ISSUER,
)
warrants: Final = define(
    "warrants",
    text("issuer_id", key=True),
    text("warrant_id", key=True),
    text("holder_id"),
    text("class_id"),
    text("status"),
    instant("expires_at"),
    text("exercise_price_usd"),
    document("terms"),
    document("attested"),
    document("tranches"),
    Index("ix_warrants_holder", "holder_id", "warrant_id"),
    origin=_ISSUER,
)
programmes: Final = define(
    "programmes",
    text("issuer_id", key=True),
    text("programme_id", key=True),
    text("name"),
    document("customer_ids"),
    document("vendor_ids"),
    Column("counts_outside", Boolean, nullable=False),
    document("grant_ids"),
    document("purchases"),
    origin=_ISSUER,
)
price_sources: Final = define(
    "price_sources",
    text("issuer_id", key=True),
    text("source_id", key=True),
    text("name"),
    text("recorder_id", null=True),
    origin=_ISSUER,
)
price_observations: Final = define(
    "price_observations",
    text("issuer_id", key=True),
    text("source_id", key=True),
    Column("day", Date, primary_key=True),
    exact("price_usd_per_share"),
    whole("volume"),
    origin=_ISSUER,
)
TABLES: Final = (
    issuers,
    imports,
    stakeholders,
    stock_classes,
    offers,
    holdings,
    share_entries,
    financings,
    pro_rata_answers,
    liquidity_events,
    valuations,
    warrants,
    programmes,
    price_sources,
    price_observations,
)
