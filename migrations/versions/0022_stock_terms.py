"""Add the terms of stock classes, and create the table of offers."""

import sqlalchemy as sa
from alembic import op

from migrations.columns import bigint, key, numeric, text, timestamp

revision: str = "0022"
down_revision: str | None = "0021"


def _add_terms() -> None:
    """Add the columns; rows that stand are rebuilt from the log, and say so little until then."""
    op.add_column("stock_classes_v1", text("conversion_price_usd", null=True))
    op.add_column("stock_classes_v1", sa.Column("participation", sa.Text(), nullable=False, server_default="none"))
    op.alter_column("stock_classes_v1", "participation", server_default=None)
    op.add_column("stock_classes_v1", numeric("participation_cap_multiple", null=True))
    op.add_column("stock_classes_v1", text("price_protection", null=True))
    op.add_column("stock_classes_v1", text("protection_basis", null=True))
    op.add_column("stock_classes_v1", sa.Column("first_refusal", sa.Boolean(), nullable=False, server_default="false"))
    op.alter_column("stock_classes_v1", "first_refusal", server_default=None)


def upgrade() -> None:
    """Do it."""
    _add_terms()
    op.create_table(
        "stock_offers_v1",
        text("transfer_id"),
        text("issuer_id"),
        text("holder_id"),
        text("holder_id_after"),
        text("class_id"),
        bigint("shares"),
        numeric("price_usd_per_share"),
        timestamp("decide_until"),
        text("status"),
        bigint("last_sequence"),
        key("stock_offers_v1", "transfer_id"),
    )
    op.create_index("ix_stock_offers_v1_issuer", "stock_offers_v1", ["issuer_id", "transfer_id"])


def downgrade() -> None:
    """Drop what was added."""
    op.drop_table("stock_offers_v1")
    for column in (
        "first_refusal",
        "protection_basis",
        "price_protection",
        "participation_cap_multiple",
        "participation",
        "conversion_price_usd",
    ):
        op.drop_column("stock_classes_v1", column)
