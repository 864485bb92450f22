"""Create the tables of standings."""

from alembic import op

from migrations.columns import bigint, flag, key, text, timestamp

revision: str = "0015"
down_revision: str | None = "0014"


def upgrade() -> None:
    """Create them."""
    op.create_table(
        "standings_v1",
        text("provider_id"),
        bigint("gpu_seconds_due"),
        bigint("gpu_seconds_lost"),
        bigint("grants_completed"),
        bigint("grants_broken"),
        bigint("gpu_seconds_accepted"),
        bigint("gpu_seconds_conceded"),
        bigint("last_sequence"),
        key("standings_v1", "provider_id"),
    )
    op.create_table(
        "standing_courses_v1",
        text("grant_id"),
        text("provider_id"),
        bigint("gpus_per_node"),
        bigint("nodes"),
        bigint("working"),
        timestamp("counted_until"),
        flag("running"),
        bigint("last_sequence"),
        key("standing_courses_v1", "grant_id"),
    )


def downgrade() -> None:
    """Drop what was created."""
    op.drop_table("standing_courses_v1")
    op.drop_table("standings_v1")
