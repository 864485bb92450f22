"""Keep the further asks of a lot."""

import sqlalchemy as sa
from alembic import op

from migrations.columns import jsonb

revision: str = "0035"
down_revision: str | None = "0034"


def upgrade() -> None:
    """Add the column; what was listed before asks the same for all of its nodes."""
    op.add_column("lots_v1", jsonb("further_asks", null=True))
    op.execute(sa.text("UPDATE lots_v1 SET further_asks = '[]'::jsonb"))
    op.alter_column("lots_v1", "further_asks", nullable=False)


def downgrade() -> None:
    """Drop it."""
    op.drop_column("lots_v1", "further_asks")
