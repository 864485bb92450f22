"""Say of each reading whose meter it is, and which GPUs it names."""

import sqlalchemy as sa
from alembic import op

from migrations.columns import bigint, jsonb

revision: str = "0017"
down_revision: str | None = "0016"


def upgrade() -> None:
    """Add the columns; readings that are there are the provider's."""
    op.add_column("readings_v1", sa.Column("meter", sa.Text(), nullable=False, server_default="provider"))
    op.add_column("readings_v1", jsonb("devices", null=True))
    op.add_column("readings_v1", bigint("gpus", null=True))
    op.execute("UPDATE readings_v1 SET devices = '[]'")
    op.alter_column("readings_v1", "devices", nullable=False)
    op.alter_column("readings_v1", "meter", server_default=None)
    _replace_key("grant_id", "meter", "source", "reading_id")


def downgrade() -> None:
    """Drop them; the tenant's readings go with them."""
    op.execute("DELETE FROM readings_v1 WHERE meter <> 'provider'")
    _replace_key("grant_id", "source", "reading_id")
    for column in ("gpus", "devices", "meter"):
        op.drop_column("readings_v1", column)


def _replace_key(*columns: str) -> None:
    op.drop_constraint("pk_readings_v1", "readings_v1", type_="primary")
    op.create_primary_key("pk_readings_v1", "readings_v1", list(columns))
