"""Create the tables of statements."""

from alembic import op

from migrations.columns import bigint, jsonb, key, text, timestamp

revision: str = "0010"
down_revision: str | None = "0009"


def upgrade() -> None:
    """Create it."""
    op.create_table(
        "statements_v1",
        text("statement_id"),
        text("grant_id"),
        text("startup_id"),
        text("provider_id"),
        timestamp("period_start"),
        timestamp("period_end"),
        jsonb("charges_issued"),
        jsonb("charges"),
        text("status"),
        text("accepted_by", null=True),
        bigint("gpu_seconds_claimed", null=True),
        text("reason", null=True),
        timestamp("accept_until"),
        timestamp("issued_at"),
        timestamp("accepted_at", null=True),
        bigint("last_sequence"),
        key("statements_v1", "statement_id"),
    )
    op.create_index("ix_statements_v1_due", "statements_v1", ["status", "accept_until"])
    op.create_index("ix_statements_v1_grant", "statements_v1", ["grant_id", "statement_id"])
    op.create_index("ix_statements_v1_provider", "statements_v1", ["provider_id", "statement_id"])
    op.create_index("ix_statements_v1_startup", "statements_v1", ["startup_id", "statement_id"])


def downgrade() -> None:
    """Drop what was created."""
    op.drop_table("statements_v1")
