"""Rows of quotes and of market data."""

from decimal import Decimal

import msgspec

from marketplace.domain.supply.schedule import STANDARD
from tests.api.rows import ABSENT, PLATFORM_ONLY, SEEN, Row, World
from tests.api.rows_trading import build_cash_order, build_plain_order
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
        build_plain_order,
        refused=(lambda world: build_plain_order(world, cash="0"), 422, "offer_empty"),
        other=(404, "party_unknown"),
        check=lambda quote: (
            (quote["guarantee"], quote["price_to_win_usd_per_gpu_hour"], quote["would_win"]) == ("sure", "2.11", True)
            and quote["placements"][0]["gpu_class"] == "H100_SXM"
            and Decimal(quote["placements"][0]["hold_usd_per_hour"]) > 0
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
    Row(
        "GET",
        "/v1/quotes/{quote}",
        check=lambda one: one["status"] == "released" and one["reason"] and one["fee"]["fee_usd"],
    ),
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


def build_list_prices(_: World, price: str = "3.49") -> dict:
    row = {"gpu_class": "H100_SXM", "provider": "RunPod", "usd_per_gpu_hour": price, "listed_on": "2026-01-01"}
    return {"name": "list prices", "prices": [{**row, "source": "https://www.runpod.io/pricing"}]}


LIST_PRICES = (
    Row(
        "POST",
        "/v1/market/list-prices",
        "platform",
        build_list_prices,
        201,
        (lambda world: build_list_prices(world, "0"), 422, "amount_not_positive"),
        PLATFORM_ONLY,
    ),
    Row("GET", "/v1/market/list-prices", other=SEEN, check=lambda page: page["items"][0]["provider"] == "RunPod"),
)
SCHEDULE = (
    Row(
        "POST",
        "/v1/market/schedule",
        "platform",
        {"terms": msgspec.to_builtins(STANDARD) | {"quotes_max": 15}},
        201,
        (
            {"terms": msgspec.to_builtins(STANDARD) | {"near": [{"hours_max": 9, "multiple": "2"}] * 2}},
            422,
            "steps_unordered",
        ),
        PLATFORM_ONLY,
    ),
    Row("GET", "/v1/market/schedule", other=SEEN, check=lambda terms: terms["quotes_max"] == 15),
)
DATA = (
    *SCHEDULE,
    Row(
        "GET",
        "/v1/orders/{order}/decisions",
        check=lambda page: [one["match"] is None for one in page["items"]] == [False],
    ),
    Row(
        "GET",
        "/v1/market/index?gpu_class=H100_SXM",
        refused=("gpu_class=H100_SXM&start=2026-02-01T00:00:00Z&end=2026-01-01T00:00:00Z", 422, "request_invalid"),
        other=SEEN,
        check=lambda points: len(points) == 30 and points[-1]["list_usd_per_gpu_hour_median"] == "3.49",
    ),
    Row(
        "GET",
        "/v1/market/curves?gpu_class=H100_SXM",
        refused=(f"gpu_class=H100_SXM&auction_id=auc_{ABSENT}", 404, "auction_unknown"),
        other=SEEN,
        check=lambda steps: {step["side"] for step in steps} == {"ask"},
    ),
)
CLOSING = (
    Row(
        "POST",
        "/v1/pools/{pool}/close",
        "provider",
        lambda world: {"closes_at": world.day(400), "reason": "the lease ends"},
        refused=(lambda world: {"closes_at": world.day(0), "reason": "x"}, 422, "notice_too_short"),
    ),
)
