"""Keep service lines, their hours, and which statements charge for them."""

import sqlalchemy as sa
from alembic import op

from migrations.columns import bigint, flag, jsonb, key, numeric, text, timestamp

revision: str = "0037"
down_revision: str | None = "0036"
OWNERS = ("grant", "startup", "provider", "holder")


def upgrade() -> None:
    """Create the tables and columns; what was written before had no service lines."""
    op.create_table(
        "service_lines_v1",
        text("service_line_id"),
        text("grant_id"),
        text("startup_id"),
        text("provider_id"),
        text("holder_id", null=True),
        text("name"),
        numeric("price_usd_per_hour"),
        numeric("hours"),
        text("status"),
        text("declined_by", null=True),
        text("reason", null=True),
        timestamp("approved_at", null=True),
        timestamp("agreed_at", null=True),
        numeric("cash_commitment_usd", null=True),
        jsonb("equity", null=True),
        bigint("last_sequence"),
        key("service_lines_v1", "service_line_id"),
    )
    for owner in OWNERS:
        columns = [f"{owner}_id", "service_line_id"]
        op.create_index(f"ix_service_lines_v1_{owner}", "service_lines_v1", columns)
    op.create_table(
        "hours_readings_v1",
        text("service_line_id"),
        text("source"),
        text("reading_id"),
        bigint("reported_sequence"),
        timestamp("start"),
        timestamp("end"),
        numeric("hours"),
        flag("voided"),
        text("reason", null=True),
        bigint("last_sequence"),
        key("hours_readings_v1", "service_line_id", "source", "reading_id"),
    )
    op.add_column("statements_v1", text("service_line_id", null=True))
    op.add_column("statements_v1", numeric("hours_claimed", null=True))
    op.add_column("grants_v1", jsonb("service_lines", null=True))
    op.execute(sa.text("UPDATE grants_v1 SET service_lines = '[]'::jsonb"))
    op.alter_column("grants_v1", "service_lines", nullable=False)


def downgrade() -> None:
    """Drop them."""
    op.drop_column("grants_v1", "service_lines")
    op.drop_column("statements_v1", "hours_claimed")
    op.drop_column("statements_v1", "service_line_id")
    op.drop_table("hours_readings_v1")
    op.drop_table("service_lines_v1")
