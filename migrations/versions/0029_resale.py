"""Keep what is sold on: lots of grants, the parts that grants lost, and who sold what a grant was bought from."""

import sqlalchemy as sa
from alembic import op

from migrations.columns import jsonb, numeric, text

revision: str = "0029"
down_revision: str | None = "0028"


def upgrade() -> None:
    """Add the columns; what was written before was never resold."""
    op.add_column("lots_v1", text("grant_id", null=True))
    op.add_column("lots_v1", numeric("ask_floor_usd_per_gpu_hour", null=True))
    op.execute(sa.text("UPDATE lots_v1 SET ask_floor_usd_per_gpu_hour = 0"))
    op.alter_column("lots_v1", "ask_floor_usd_per_gpu_hour", nullable=False)
    op.add_column("grants_v1", jsonb("resale", null=True))
    op.add_column("grants_v1", jsonb("resold", null=True))
    op.execute(sa.text("UPDATE grants_v1 SET resold = '[]'::jsonb"))
    op.alter_column("grants_v1", "resold", nullable=False)
    op.add_column("standing_courses_v1", jsonb("resold", null=True))
    op.execute(sa.text("UPDATE standing_courses_v1 SET resold = '[]'::jsonb"))
    op.alter_column("standing_courses_v1", "resold", nullable=False)
    op.add_column("reservations_v1", text("resale_lot_id", null=True))
    op.add_column("capacity_offers_v1", text("grant_id", null=True))


def downgrade() -> None:
    """Drop them."""
    op.drop_column("capacity_offers_v1", "grant_id")
    op.drop_column("reservations_v1", "resale_lot_id")
    op.drop_column("standing_courses_v1", "resold")
    op.drop_column("grants_v1", "resold")
    op.drop_column("grants_v1", "resale")
    op.drop_column("lots_v1", "ask_floor_usd_per_gpu_hour")
    op.drop_column("lots_v1", "grant_id")
