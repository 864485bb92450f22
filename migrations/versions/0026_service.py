"""Keep what is promised of pools, lots and grants, what statement periods came to, and what was given back."""

from alembic import op

from migrations.columns import jsonb

revision: str = "0026"
down_revision: str | None = "0025"

_COLUMNS = (
    ("pools_v1", "service"),
    ("lots_v1", "service"),
    ("grants_v1", "service"),
    ("statements_v1", "service"),
    ("statements_v1", "service_credit"),
)


def upgrade() -> None:
    """Add the columns."""
    for table, column in _COLUMNS:
        op.add_column(table, jsonb(column, null=True))


def downgrade() -> None:
    """Drop them."""
    for table, column in reversed(_COLUMNS):
        op.drop_column(table, column)
