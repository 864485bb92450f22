"""Add to decisions what is proven about their price to win, the total and the second-best placement."""

from alembic import op

from migrations.columns import jsonb, numeric

revision: str = "0020"
down_revision: str | None = "0019"


def upgrade() -> None:
    """Add the columns."""
    op.add_column("decisions_v1", jsonb("price_to_win_range", null=True))
    op.add_column("decisions_v1", numeric("total_usd", null=True))
    op.add_column("decisions_v1", jsonb("second_best", null=True))


def downgrade() -> None:
    """Drop them."""
    op.drop_column("decisions_v1", "second_best")
    op.drop_column("decisions_v1", "total_usd")
    op.drop_column("decisions_v1", "price_to_win_range")
