"""Say of each statement what it adjusts, what the tenant's meter said, and who disputes it."""

from alembic import op

from migrations.columns import bigint, jsonb, text

revision: str = "0021"
down_revision: str | None = "0020"


def upgrade() -> None:
    """Add the columns."""
    op.add_column("statements_v1", text("disputed_by", null=True))
    op.add_column("statements_v1", bigint("tenant_gpu_seconds", null=True))
    op.add_column("statements_v1", jsonb("adjustment", null=True))


def downgrade() -> None:
    """Drop them."""
    for column in ("adjustment", "tenant_gpu_seconds", "disputed_by"):
        op.drop_column("statements_v1", column)
