"""Keep when a note fell due, and what was owed then."""

from alembic import op

from migrations.columns import day, numeric

revision: str = "0031"
down_revision: str | None = "0030"


def upgrade() -> None:
    """Add the columns."""
    op.add_column("instruments_v1", day("matured_on", null=True))
    op.add_column("instruments_v1", numeric("due_usd", null=True))


def downgrade() -> None:
    """Drop them."""
    op.drop_column("instruments_v1", "due_usd")
    op.drop_column("instruments_v1", "matured_on")
