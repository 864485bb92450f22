"""Keep how a drawdown is drawn, as it was signed."""

from alembic import op

from migrations.columns import jsonb

revision: str = "0036"
down_revision: str | None = "0035"


def upgrade() -> None:
    """Add the column; None for what is paid at once."""
    op.add_column("instruments_v1", jsonb("draw", null=True))


def downgrade() -> None:
    """Drop it."""
    op.drop_column("instruments_v1", "draw")
