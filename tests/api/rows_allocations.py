"""Rows of what a tenant used of a class, allocated to its grants."""

from tests.api.rows import Row, World

NOT_MINE = (404, "party_unknown")


def name_use(world: World, **more) -> dict:
    named = {"startup_id": world.ids["startup"], "provider_id": world.ids["provider"], "gpu_class": "H100_SXM"}
    return named | {"source": "fleet"} | more


def build_use(world: World, gpus: int, reading_id: str = "u1") -> dict:
    return {"reading_id": reading_id, "start": world.day(2), "end": world.day(2.05), "gpus": gpus}


ALLOCATIONS = (
    Row(
        "POST",
        "/v1/grants/{grant}/prioritise",
        "startup",
        {"priority": 5},
        refused=({"priority": 1_001}, 422, "body_invalid"),
    ),
    Row(
        "POST",
        "/v1/usage/allocations",
        "provider",
        lambda world: name_use(world, readings=[build_use(world, 9), build_use(world, 900, "u2")]),
        refused=(lambda world: name_use(world, readings=[]), 422, "body_invalid"),
        other=NOT_MINE,
        check=lambda one: (
            [(reading["outcome"], reading.get("code")) for reading in one["readings"]]
            == [("accepted", None), ("rejected", "grants_exhausted")]
            and [part["gpus"] for part in one["readings"][0]["parts"]] == [9]
        ),
    ),
    Row(
        "POST",
        "/v1/usage/allocations",
        "provider",
        lambda world: name_use(world, readings=[build_use(world, 9)]),
        other=NOT_MINE,
        check=lambda one: [reading["outcome"] for reading in one["readings"]] == ["duplicate"],
    ),
    Row(
        "POST",
        "/v1/usage/allocations/corrections",
        "provider",
        lambda world: name_use(world, reading=build_use(world, 4), reason="counted twice"),
        refused=(
            lambda world: name_use(world, reading=build_use(world, 4, "u9"), reason="x"),
            404,
            "allocation_unknown",
        ),
        other=NOT_MINE,
    ),
    Row(
        "GET",
        "/v1/usage/allocations",
        "startup",
        check=lambda page: [(row["gpus"], row["corrections"]) for row in page["items"]] == [(4, 1)],
    ),
    Row(
        "POST",
        "/v1/usage/allocations/voids",
        "provider",
        lambda world: name_use(world, reading_id="u1", reason="another tenant's"),
        refused=(lambda world: name_use(world, reading_id="u9", reason="x"), 404, "allocation_unknown"),
        other=NOT_MINE,
    ),
)
