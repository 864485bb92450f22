"""Create the tables of instruments."""

from alembic import op

from migrations.columns import bigint, jsonb, key, numeric, text, timestamp

revision: str = "0012"
down_revision: str | None = "0011"


def _create_instruments_v1() -> None:
    op.create_table(
        "instruments_v1",
        text("instrument_id"),
        text("issuer_id"),
        text("holder_id"),
        jsonb("terms"),
        bigint("terms_version"),
        numeric("commitment_usd"),
        text("funding"),
        text("grant_id", null=True),
        text("mandate_id", null=True),
        text("status"),
        numeric("principal_usd"),
        numeric("lapsed_usd"),
        numeric("converted_usd"),
        numeric("repaid_usd"),
        jsonb("conversion", null=True),
        numeric("repayment_usd", null=True),
        text("reason", null=True),
        timestamp("issued_at"),
        bigint("last_sequence"),
        key("instruments_v1", "instrument_id"),
    )
    op.create_index("ix_instruments_v1_holder", "instruments_v1", ["holder_id", "instrument_id"])
    op.create_index("ix_instruments_v1_issuer", "instruments_v1", ["issuer_id", "instrument_id"])


def _create_principal_movements_v1() -> None:
    op.create_table(
        "principal_movements_v1",
        bigint("sequence"),
        text("instrument_id"),
        text("issuer_id"),
        text("holder_id"),
        text("kind"),
        text("tranche_id", null=True),
        text("statement_id", null=True),
        bigint("terms_version", null=True),
        numeric("amount_usd"),
        timestamp("occurred_at"),
        key("principal_movements_v1", "sequence"),
    )
    op.create_index("ix_principal_movements_v1_instrument", "principal_movements_v1", ["instrument_id", "sequence"])
    op.create_index("ix_principal_movements_v1_issuer", "principal_movements_v1", ["issuer_id", "sequence"])


def upgrade() -> None:
    """Create them."""
    _create_instruments_v1()
    _create_principal_movements_v1()


def downgrade() -> None:
    """Drop what was created."""
    op.drop_table("principal_movements_v1")
    op.drop_table("instruments_v1")
