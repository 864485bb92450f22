"""Create the tables of cap tables."""

from alembic import op

from migrations.columns import bigint, day, integer, jsonb, key, numeric, text, timestamp

revision: str = "0013"
down_revision: str | None = "0012"


def _create_issuers_v1() -> None:
    op.create_table(
        "issuers_v1",
        text("issuer_id"),
        text("party_id"),
        text("legal_name"),
        text("jurisdiction"),
        day("formed_on"),
        text("status"),
        bigint("plan_shares_reserved"),
        bigint("last_sequence"),
        key("issuers_v1", "issuer_id"),
    )
    op.create_index("ix_issuers_v1_party", "issuers_v1", ["party_id", "issuer_id"])


def _create_issuer_imports_v1() -> None:
    op.create_table(
        "issuer_imports_v1",
        text("issuer_id"),
        text("source"),
        text("package_hash"),
        timestamp("imported_at"),
        bigint("last_sequence"),
        key("issuer_imports_v1", "issuer_id"),
    )


def _create_stakeholders_v1() -> None:
    op.create_table(
        "stakeholders_v1",
        text("issuer_id"),
        text("holder_id"),
        text("name"),
        text("kind"),
        bigint("last_sequence"),
        key("stakeholders_v1", "issuer_id", "holder_id"),
    )
    op.create_index("ix_stakeholders_v1_holder", "stakeholders_v1", ["holder_id", "issuer_id"])


def _create_stock_classes_v1() -> None:
    op.create_table(
        "stock_classes_v1",
        text("issuer_id"),
        text("class_id"),
        text("kind"),
        bigint("shares_authorised"),
        text("price_per_share_usd", null=True),
        numeric("liquidation_multiple", null=True),
        bigint("seniority"),
        bigint("last_sequence"),
        key("stock_classes_v1", "issuer_id", "class_id"),
    )


def _create_holdings_v1() -> None:
    op.create_table(
        "holdings_v1",
        text("issuer_id"),
        text("kind"),
        text("holder_id"),
        text("security"),
        text("class_id", null=True),
        bigint("shares"),
        text("exercise_price_usd", null=True),
        timestamp("expires_at", null=True),
        bigint("last_sequence"),
        key("holdings_v1", "issuer_id", "kind", "holder_id", "security"),
    )
    op.create_index("ix_holdings_v1_holder", "holdings_v1", ["holder_id", "issuer_id"])


def _create_share_entries_v1() -> None:
    op.create_table(
        "share_entries_v1",
        bigint("sequence"),
        integer("line"),
        text("issuer_id"),
        text("kind"),
        text("holder_id"),
        text("security"),
        text("class_id", null=True),
        bigint("shares"),
        timestamp("occurred_at"),
        key("share_entries_v1", "sequence", "line"),
    )
    op.create_index("ix_share_entries_v1_issuer", "share_entries_v1", ["issuer_id", "sequence"])


def _create_financings_v1() -> None:
    op.create_table(
        "financings_v1",
        text("financing_id"),
        text("issuer_id"),
        text("name"),
        text("status"),
        jsonb("terms"),
        jsonb("pricing", null=True),
        bigint("priced_sequence", null=True),
        jsonb("approval", null=True),
        text("reason", null=True),
        timestamp("opened_at"),
        timestamp("closed_at", null=True),
        bigint("last_sequence"),
        key("financings_v1", "financing_id"),
    )
    op.create_index("ix_financings_v1_issuer", "financings_v1", ["issuer_id", "financing_id"])


def _create_liquidity_events_v1() -> None:
    op.create_table(
        "liquidity_events_v1",
        text("liquidity_id"),
        text("issuer_id"),
        text("kind"),
        text("status"),
        jsonb("waterfall"),
        numeric("paid_usd", null=True),
        timestamp("declared_at"),
        timestamp("paid_at", null=True),
        bigint("last_sequence"),
        key("liquidity_events_v1", "liquidity_id"),
    )
    op.create_index("ix_liquidity_events_v1_issuer", "liquidity_events_v1", ["issuer_id", "liquidity_id"])


def _create_valuations_v1() -> None:
    op.create_table(
        "valuations_v1",
        text("issuer_id"),
        bigint("recorded_sequence"),
        numeric("price_usd_per_share"),
        text("method"),
        day("effective_on"),
        timestamp("recorded_at"),
        bigint("last_sequence"),
        key("valuations_v1", "issuer_id", "recorded_sequence"),
    )


def upgrade() -> None:
    """Create them."""
    _create_issuers_v1()
    _create_issuer_imports_v1()
    _create_stakeholders_v1()
    _create_stock_classes_v1()
    _create_holdings_v1()
    _create_share_entries_v1()
    _create_financings_v1()
    _create_liquidity_events_v1()
    _create_valuations_v1()


def downgrade() -> None:
    """Drop what was created."""
    op.drop_table("valuations_v1")
    op.drop_table("liquidity_events_v1")
    op.drop_table("financings_v1")
    op.drop_table("share_entries_v1")
    op.drop_table("holdings_v1")
    op.drop_table("stock_classes_v1")
    op.drop_table("stakeholders_v1")
    op.drop_table("issuer_imports_v1")
    op.drop_table("issuers_v1")
