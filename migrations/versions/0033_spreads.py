"""Keep how use is spread over grants, and in which order a tenant wants them used."""

import sqlalchemy as sa
from alembic import op

from migrations.columns import bigint, flag, jsonb, key, text, timestamp

revision: str = "0033"
down_revision: str | None = "0032"


def upgrade() -> None:
    """Create the table and the column; a grant of whom nobody said anything has the middle priority."""
    op.create_table(
        "spreads_v1",
        text("usage_id"),
        text("source"),
        text("reading_id"),
        text("startup_id"),
        text("provider_id"),
        text("gpu_class"),
        bigint("reported_sequence"),
        timestamp("start"),
        timestamp("end"),
        bigint("gpus"),
        jsonb("ranks"),
        jsonb("parts"),
        bigint("corrections"),
        flag("voided"),
        text("reason", null=True),
        bigint("last_sequence"),
        key("spreads_v1", "usage_id", "source", "reading_id"),
    )
    op.create_index("ix_spreads_v1_startup", "spreads_v1", ["startup_id", "reported_sequence"])
    op.create_index("ix_spreads_v1_provider", "spreads_v1", ["provider_id", "reported_sequence"])
    op.add_column("grants_v1", sa.Column("priority", sa.BigInteger, nullable=False, server_default="100"))
    op.alter_column("grants_v1", "priority", server_default=None)


def downgrade() -> None:
    """Drop both."""
    op.drop_column("grants_v1", "priority")
    op.drop_table("spreads_v1")
