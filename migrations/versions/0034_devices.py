"""Find which readings name a GPU."""

import sqlalchemy as sa
from alembic import op

revision: str = "0034"
down_revision: str | None = "0033"


def upgrade() -> None:
    """Create the index, of readings that name any."""
    op.create_index(
        "ix_readings_v1_devices",
        "readings_v1",
        ["devices"],
        postgresql_using="gin",
        postgresql_where=sa.text("devices <> '[]'::jsonb"),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_index("ix_readings_v1_devices", "readings_v1")
