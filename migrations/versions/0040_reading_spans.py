"""Find the readings of a grant by when they begin."""

from alembic import op

revision: str = "0040"
down_revision: str | None = "0039"


def upgrade() -> None:
    """Create the index."""
    op.create_index("ix_readings_v1_start", "readings_v1", ["grant_id", "start"])


def downgrade() -> None:
    """Drop it."""
    op.drop_index("ix_readings_v1_start", "readings_v1")
