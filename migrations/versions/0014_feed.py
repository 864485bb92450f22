"""Create the tables of feed."""

from alembic import op

from migrations.columns import bigint, jsonb, key, text, timestamp

revision: str = "0014"
down_revision: str | None = "0013"


def _create_event_index_v1() -> None:
    op.create_table(
        "event_index_v1",
        bigint("sequence"),
        text("aggregate"),
        text("aggregate_id"),
        text("tag"),
        text("command_id"),
        text("fingerprint"),
        timestamp("occurred_at"),
        key("event_index_v1", "sequence"),
    )
    op.create_index("ix_event_index_v1_aggregate", "event_index_v1", ["aggregate_id", "sequence"])
    op.create_index("ix_event_index_v1_command", "event_index_v1", ["command_id"])
    op.create_index("ix_event_index_v1_time", "event_index_v1", ["occurred_at"])


def _create_event_parties_v1() -> None:
    op.create_table(
        "event_parties_v1",
        text("party_id"),
        bigint("sequence"),
        key("event_parties_v1", "party_id", "sequence"),
    )


def _create_event_owners_v1() -> None:
    op.create_table(
        "event_owners_v1",
        text("id"),
        jsonb("parties"),
        bigint("last_sequence"),
        key("event_owners_v1", "id"),
    )


def upgrade() -> None:
    """Create them."""
    _create_event_index_v1()
    _create_event_parties_v1()
    _create_event_owners_v1()


def downgrade() -> None:
    """Drop what was created."""
    op.drop_table("event_owners_v1")
    op.drop_table("event_parties_v1")
    op.drop_table("event_index_v1")
