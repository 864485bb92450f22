"""Keep what was clawed back after it became shares or money, and what is owed for it."""

import sqlalchemy as sa
from alembic import op

from migrations.columns import numeric

revision: str = "0027"
down_revision: str | None = "0026"
_COLUMNS = (("instruments_v1", "debt_usd"), ("principal_movements_v1", "settled_usd"))


def upgrade() -> None:
    """Add the columns; nothing was owed before."""
    for table, name in _COLUMNS:
        column = numeric(name)
        column.server_default = sa.DefaultClause("0")
        op.add_column(table, column)
        op.alter_column(table, name, server_default=None)


def downgrade() -> None:
    """Drop them."""
    for table, name in _COLUMNS:
        op.drop_column(table, name)
