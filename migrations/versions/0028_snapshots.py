"""Keep states of long-lived aggregates, to begin from after a restart."""

import sqlalchemy as sa
from alembic import op

from migrations.columns import bigint, key, text

revision: str = "0028"
down_revision: str | None = "0027"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "snapshots",
        text("subject"),
        text("fingerprint"),
        bigint("sequence"),
        text("hash"),
        sa.Column("content", sa.LargeBinary, nullable=False),
        key("snapshots", "subject"),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("snapshots")
