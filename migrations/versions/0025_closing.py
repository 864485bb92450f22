"""Keep when a pool leaves the market."""

from alembic import op

from migrations.columns import timestamp

revision: str = "0025"
down_revision: str | None = "0024"


def upgrade() -> None:
    """Add the column."""
    op.add_column("pools_v1", timestamp("closes_at", null=True))


def downgrade() -> None:
    """Drop it."""
    op.drop_column("pools_v1", "closes_at")
