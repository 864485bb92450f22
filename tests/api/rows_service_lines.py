"""Rows of service lines: one is approved and declined, one agreed on, worked, corrected and taken back."""

from tests.api.rows import SEEN, Row, World

SHEET = "sheets/engineering"
PROPOSED = {"name": "engineering support", "price_usd_per_hour": "10", "hours": "2", "workers": 3}


async def pass_hours(world: World) -> None:
    await world.move_to(2.2)


def build_hours(world: World, hours: str) -> dict:
    return {"start": world.day(2.125), "end": world.day(2.15), "hours": hours}


def build_correction(world: World, reading_id: str) -> dict:
    reading = {"reading_id": reading_id, **build_hours(world, "1.25")}
    return {"source": SHEET, "reading": reading, "reason": "a break"}


def build_time_sheet(world: World) -> dict:
    named = {"specversion": "1.0", "type": "marketplace.meter.hours.v1", "id": "t1", "source": SHEET}
    return {**named, "subject": world.ids["line"], "data": build_hours(world, "1.5")}


SERVICE_LINES = (
    Row(
        "POST",
        "/v1/service-lines",
        "provider",
        lambda world: {"grant_id": world.ids["grant"], **PROPOSED},
        201,
        (lambda world: {"grant_id": world.ids["grant"], **PROPOSED, "hours": "0"}, 422, "amount_not_positive"),
        (404, "grant_unknown"),
        "declined_line",
    ),
    Row("POST", "/v1/service-lines/{declined_line}/approve", "fund"),
    Row(
        "POST",
        "/v1/service-lines/{declined_line}/decline",
        "startup",
        {"reason": "no help is needed"},
        refused=({"reason": ""}, 422, "body_invalid"),
    ),
    Row(
        "POST",
        "/v1/service-lines",
        "provider",
        lambda world: {"grant_id": world.ids["second_grant"], **PROPOSED},
        201,
        (lambda world: {"grant_id": world.ids["second_grant"], **PROPOSED, "name": ""}, 422, "body_invalid"),
        (404, "grant_unknown"),
        "line",
    ),
    Row("POST", "/v1/service-lines/{line}/agree", "startup"),
    Row(
        "POST",
        "/v1/usage",
        "provider",
        build_time_sheet,
        before=pass_hours,
        refused=(None, 415, "media_type_unsupported"),
        other=SEEN,
        check=lambda one: one["readings"][0]["outcome"] == "accepted",
        media_type="application/cloudevents+json",
    ),
    Row(
        "POST",
        "/v1/service-lines/{line}/hours/corrections",
        "provider",
        lambda world: build_correction(world, "t1"),
        refused=(lambda world: build_correction(world, "t9"), 404, "reading_unknown"),
    ),
    Row(
        "GET",
        "/v1/service-lines/{line}",
        "startup",
        check=lambda one: (one["status"], one["hours"], one["hours_worked"]) == ("agreed", "2", "1.25"),
    ),
    Row(
        "POST",
        "/v1/service-lines/{line}/hours/voids",
        "provider",
        {"source": SHEET, "reading_id": "t1", "reason": "another grant's"},
        refused=({"source": SHEET, "reading_id": "t8", "reason": "x"}, 404, "reading_unknown"),
    ),
    Row(
        "GET",
        "/v1/service-lines/{line}/hours",
        "startup",
        check=lambda page: [(row["hours"], row["voided"]) for row in page["items"]] == [("1.25", True)],
    ),
    Row(
        "GET",
        "/v1/service-lines?status=declined",
        "fund",
        other=SEEN,
        check=lambda page: [row["declined_by"] for row in page["items"]] == ["startup"],
    ),
)
