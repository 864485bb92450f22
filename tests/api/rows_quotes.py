"""Rows of quotes."""

from tests.api.rows import Row
from tests.api.rows_trading import build_cash_order

QUOTES = (
    Row(
        "POST",
        "/v1/quotes",
        "startup",
        lambda world: build_cash_order(world, cash="0.5"),
        refused=(lambda world: build_cash_order(world, cash="0"), 422, "offer_empty"),
        other=(404, "party_unknown"),
        check=lambda quote: (
            (quote["guarantee"], quote["price_to_win_usd_per_gpu_hour"], quote["would_win"]) == ("sure", "2.11", False)
            and quote["placements"][0]["gpu_class"] == "H100_SXM"
        ),
    ),
)
