"""Create the tables of auctions."""

from alembic import op

from migrations.columns import bigint, jsonb, key, numeric, text, timestamp

revision: str = "0006"
down_revision: str | None = "0005"


def _create_auctions_v1() -> None:
    op.create_table(
        "auctions_v1",
        text("auction_id"),
        text("status"),
        timestamp("locks_at"),
        timestamp("horizon_start"),
        bigint("period_hours"),
        bigint("periods"),
        bigint("seed"),
        text("book_hash", null=True),
        bigint("book_orders", null=True),
        bigint("locked_sequence", null=True),
        jsonb("certificate", null=True),
        bigint("matched", null=True),
        bigint("unmatched", null=True),
        bigint("impossible", null=True),
        text("reason", null=True),
        bigint("attempts"),
        timestamp("opened_at"),
        timestamp("cleared_at", null=True),
        bigint("last_sequence"),
        key("auctions_v1", "auction_id"),
    )
    op.create_index("ix_auctions_v1_status", "auctions_v1", ["status", "auction_id"])


def _create_prices_v1() -> None:
    op.create_table(
        "prices_v1",
        text("pool_id"),
        timestamp("start"),
        timestamp("end"),
        text("auction_id"),
        bigint("from_period"),
        numeric("price_usd_per_gpu_hour"),
        timestamp("cleared_at"),
        bigint("last_sequence"),
        key("prices_v1", "pool_id", "auction_id", "from_period"),
    )
    op.create_index("ix_prices_v1_auction", "prices_v1", ["auction_id", "pool_id", "from_period"])
    op.create_index("ix_prices_v1_span", "prices_v1", ["pool_id", "start"])


def _create_decisions_v1() -> None:
    op.create_table(
        "decisions_v1",
        text("auction_id"),
        text("order_id"),
        jsonb("match", null=True),
        jsonb("reasons"),
        numeric("price_to_win_usd_per_gpu_hour", null=True),
        numeric("regret_usd"),
        bigint("last_sequence"),
        key("decisions_v1", "auction_id", "order_id"),
    )
    op.create_index("ix_decisions_v1_order", "decisions_v1", ["order_id", "auction_id"])


def upgrade() -> None:
    """Create them."""
    _create_auctions_v1()
    _create_prices_v1()
    _create_decisions_v1()


def downgrade() -> None:
    """Drop what was created."""
    op.drop_table("decisions_v1")
    op.drop_table("prices_v1")
    op.drop_table("auctions_v1")
