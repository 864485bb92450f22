"""Rows of resale and of backstops: a grant is offered in part, a fund promises to take what is left, and both end."""

from tests.api.rows import Row, World
from tests.api.rows_trading import build_cash_order


def build_resale(world: World, **more) -> dict:
    span = {"nodes": 1, "start": world.day(60), "end": world.day(70)}
    return {**span, "ask_usd_per_gpu_hour": "3", **more}


def build_backstop(world: World, **more) -> dict:
    terms = build_cash_order(world, cash="0.5", latest=60)["terms"]
    span = {"start_earliest": world.day(50), "duration_hours": 24, "nodes_min": 1, "backstop": True}
    return {"startup_id": world.ids["fund"], "terms": {**terms, **span, **more}}


RESALE = (
    Row(
        "POST",
        "/v1/grants/{late_grant}/resell",
        "startup",
        build_resale,
        201,
        (lambda world: build_resale(world, ask_usd_per_gpu_hour="0.01"), 422, "ask_below_principal"),
        save="resale_lot",
    ),
    Row(
        "POST",
        "/v1/lots/{resale_lot}/withdraw",
        "startup",
        {"reason": "needed after all"},
        refused=({"because": "x"}, 422, "body_invalid"),
    ),
    Row(
        "POST",
        "/v1/orders",
        "fund",
        build_backstop,
        201,
        (lambda world: build_backstop(world, group="a"), 422, "backstop_linked"),
        (404, "party_unknown"),
        "backstop",
    ),
    Row(
        "POST",
        "/v1/orders/{backstop}/cancel",
        "fund",
        {"reason": "the fund is drawn"},
        refused=({"because": "x"}, 422, "body_invalid"),
    ),
)
