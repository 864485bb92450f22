"""Rows of resale: a grant that is not delivered yet is offered in part, and the offer is taken back."""

from tests.api.rows import Row, World


def build_resale(world: World, **more) -> dict:
    span = {"nodes": 1, "start": world.day(60), "end": world.day(70)}
    return {**span, "ask_usd_per_gpu_hour": "3", **more}


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
)
