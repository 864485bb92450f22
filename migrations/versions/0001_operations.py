"""Create the tables of positions and api keys."""

from alembic import op

from migrations.columns import bigint, binary, flag, jsonb, key, text, timestamp

revision: str = "0001"
down_revision: str | None = None


def _create_projection_positions() -> None:
    op.create_table(
        "projection_positions",
        text("name"),
        bigint("version"),
        flag("live"),
        bigint("position"),
        bigint("epoch"),
        bigint("target", null=True),
        timestamp("updated_at"),
        key("projection_positions", "name", "version", "live"),
    )


def _create_api_keys() -> None:
    op.create_table(
        "api_keys",
        text("key_id"),
        text("party_id", null=True),
        text("name"),
        jsonb("scopes"),
        binary("hmac"),
        timestamp("created_at"),
        timestamp("revoked_at", null=True),
        key("api_keys", "key_id"),
    )
    op.create_index("ix_api_keys_party", "api_keys", ["party_id", "key_id"])


def upgrade() -> None:
    """Create them."""
    _create_projection_positions()
    _create_api_keys()


def downgrade() -> None:
    """Drop what was created."""
    op.drop_table("api_keys")
    op.drop_table("projection_positions")
