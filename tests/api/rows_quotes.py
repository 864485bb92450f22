"""Rows of quotes."""

from tests.api.rows import SEEN, Row, World
from tests.api.rows_trading import build_cash_order
from tests.api.stage import get_id


async def hold_spare(world: World) -> None:
    """Hold a small quote at the end of the lot, out of the way of the auction that follows."""
    body = build_cash_order(world, cash="2.5")
    span = {"duration_hours": 24, "start_earliest": world.day(85), "start_latest": world.day(86), "nodes": 1}
    body["terms"] |= span
    client = world.clients["startup"]
    world.ids["taken_quote"] = get_id(await world.stage.post(client, "/v1/quotes/hold", body))


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
    Row(
        "POST",
        "/v1/quotes/hold",
        "startup",
        lambda world: build_cash_order(world, cash="2.5"),
        201,
        (lambda world: build_cash_order(world, cash="0.5"), 422, "price_above_offer"),
        (404, "party_unknown"),
        "quote",
    ),
    Row(
        "POST",
        "/v1/quotes/{quote}/release",
        "startup",
        {"reason": "changed plans"},
        refused=({"because": "x"}, 422, "body_invalid"),
    ),
    Row("GET", "/v1/quotes/{quote}", check=lambda one: one["status"] == "released" and one["reason"]),
    Row(
        "POST",
        "/v1/quotes/{taken_quote}/take",
        "startup",
        status=201,
        refused=({"a": 1}, 422, "body_invalid"),
        before=hold_spare,
        save="quoted_order",
    ),
    Row("GET", "/v1/quotes?status=taken", other=SEEN, check=lambda page: len(page["items"]) == 1),
)
