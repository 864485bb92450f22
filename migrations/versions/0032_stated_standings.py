"""Let a standing count a period by what its statement says that it came to."""

import sqlalchemy as sa
from alembic import op

from migrations.columns import bigint, timestamp

revision: str = "0032"
down_revision: str | None = "0031"


def upgrade() -> None:
    """Add the columns; of what was issued before, nothing was promised."""
    op.add_column("standing_courses_v1", timestamp("stated_until", null=True))
    for column in ("due_since", "lost_since"):
        op.add_column("standing_courses_v1", bigint(column, null=True))
        op.execute(sa.text(f"UPDATE standing_courses_v1 SET {column} = 0"))  # noqa: S608 - a name of this file
        op.alter_column("standing_courses_v1", column, nullable=False)


def downgrade() -> None:
    """Drop them."""
    for column in ("lost_since", "due_since", "stated_until"):
        op.drop_column("standing_courses_v1", column)
