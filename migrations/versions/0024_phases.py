"""Keep the phases of auctions and their indicative prices."""

from alembic import op

from migrations.columns import jsonb, text, timestamp

revision: str = "0024"
down_revision: str | None = "0023"


def upgrade() -> None:
    """Add the columns; an auction that is there is in the phase of its status."""
    op.add_column("auctions_v1", text("phase", null=True))
    op.add_column("auctions_v1", timestamp("indicative_at", null=True))
    op.add_column("auctions_v1", timestamp("no_cancel_at", null=True))
    op.add_column("auctions_v1", jsonb("indicative_prices", null=True))
    op.execute(
        "UPDATE auctions_v1 SET phase = CASE status WHEN 'settled' THEN 'cleared' WHEN 'failed' THEN 'locked'"
        " ELSE status END"
    )
    op.alter_column("auctions_v1", "phase", nullable=False)


def downgrade() -> None:
    """Drop them."""
    for column in ("indicative_prices", "no_cancel_at", "indicative_at", "phase"):
        op.drop_column("auctions_v1", column)
