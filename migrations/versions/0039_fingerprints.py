"""Keep which code made the rows of a projection; of those that are there nobody knows, so they are made anew."""

import sqlalchemy as sa
from alembic import op

from migrations.columns import text

revision: str = "0039"
down_revision: str | None = "0038"


def upgrade() -> None:
    """Add the column, empty."""
    op.add_column("projection_positions", text("fingerprint", null=True))
    op.execute(sa.text("UPDATE projection_positions SET fingerprint = ''"))
    op.alter_column("projection_positions", "fingerprint", nullable=False)


def downgrade() -> None:
    """Drop it."""
    op.drop_column("projection_positions", "fingerprint")
