"""Create the tables of market data: fills, list prices and the curves of auctions."""

from alembic import op

from migrations.columns import bigint, day, key, numeric, text, timestamp

revision: str = "0023"
down_revision: str | None = "0022"


def upgrade() -> None:
    """Create them."""
    op.create_table(
        "fills_v1",
        text("grant_id"),
        text("gpu_class"),
        text("pool_id"),
        text("startup_id"),
        day("day"),
        bigint("gpu_hours"),
        numeric("paid_usd"),
        text("price_usd_per_gpu_hour"),
        timestamp("filled_at"),
        bigint("last_sequence"),
        key("fills_v1", "grant_id"),
    )
    op.create_index("ix_fills_v1_class", "fills_v1", ["gpu_class", "day"])
    op.create_table(
        "list_prices_v1",
        text("gpu_class"),
        text("provider"),
        text("product"),
        text("region"),
        day("listed_on"),
        numeric("usd_per_gpu_hour"),
        text("source"),
        text("pricelist_id"),
        bigint("last_sequence"),
        key("list_prices_v1", "gpu_class", "provider", "product", "region", "listed_on"),
    )
    op.create_table(
        "curves_v1",
        text("auction_id"),
        text("gpu_class"),
        text("side"),
        numeric("price_usd_per_gpu_hour"),
        bigint("gpu_hours"),
        bigint("count"),
        timestamp("locked_at"),
        bigint("last_sequence"),
        key("curves_v1", "auction_id", "gpu_class", "side", "price_usd_per_gpu_hour"),
    )
    op.create_index("ix_curves_v1_class", "curves_v1", ["gpu_class", "locked_at"])


def downgrade() -> None:
    """Drop what was created."""
    for table in ("curves_v1", "list_prices_v1", "fills_v1"):
        op.drop_table(table)
