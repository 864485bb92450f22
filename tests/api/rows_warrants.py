"""Rows of warrants of customers and vendors, and of what they are measured by."""

from tests.api.rows import Row, World
from tests.api.rows_issuers import at

OBSERVED = {"price_usd_per_share": "0.40", "volume": 1_000}
CORRECTED = {"price_usd_per_share": "0.40", "volume": 600, "reason": "a trade was missing"}


def build_programme(world: World) -> dict:
    sides = {"customer_ids": [world.ids["startup"]], "vendor_ids": [world.ids["provider"]]}
    return {"name": "Compute", "counts_outside": True, **sides}


def build_purchases(world: World, **more) -> dict:
    return {
        "customer_id": world.ids["startup"],
        "vendor_id": world.ids["provider"],
        "starts_on": "2025-02-01",
        "ends_on": "2025-02-28",
        "purchased_usd": "100",
        "paid_usd": "100",
        "document": "statement of February",
        "excludes_market": True,
        **more,
    }


def build_warrant(world: World, **more) -> dict:
    works = {"kind": "attested", "name": "works", "description": "it trains"}
    return {
        "holder_id": world.ids["angel"],
        "class_id": "common",
        "shares": 100,
        "exercise_price_usd": "0.10",
        "expires_at": world.day(900),
        "settlement": "cash",
        "programme_id": world.ids["programme"],
        "transfer": "affiliates",
        "affiliate_ids": [world.ids["founder"]],
        "tranches": [{"shares": 100, "conditions": [[works]]}],
        **more,
    }


def is_vested(one: dict) -> bool:
    return [tranche["shares_exercisable"] for tranche in one["tranches"]] == [100] and one["attested"] == ["works"]


ROWS = (
    Row(
        "POST",
        at("/programmes"),
        body=build_programme,
        status=201,
        refused=(lambda world: {**build_programme(world), "vendor_ids": [world.ids["startup"]]}, 422, "sides_overlap"),
        save="programme",
    ),
    Row(
        "POST",
        at("/programmes/{programme}/grants"),
        body=lambda world: {"grant_id": world.ids["late_grant"]},
        refused=({"grant_id": "x"}, 422, "body_invalid"),
    ),
    Row(
        "POST",
        at("/programmes/{programme}/purchases"),
        body=build_purchases,
        status=202,
        refused=(lambda world: build_purchases(world, ends_on="2125-01-01"), 422, "span_impossible"),
    ),
    Row(
        "POST",
        at("/price-sources"),
        "platform",
        {"name": "Exchange"},
        201,
        ({"name": ""}, 422, "body_invalid"),
        save="price_source",
    ),
    Row(
        "POST",
        at("/price-sources/{price_source}/observations"),
        "platform",
        lambda world: {"day": world.stage.services.handler.clock.now().date().isoformat(), **OBSERVED},
        refused=({"day": "2125-01-01", **OBSERVED}, 422, "observation_in_future"),
    ),
    Row(
        "POST",
        at("/price-sources/{price_source}/corrections"),
        "platform",
        lambda world: {"day": world.stage.services.handler.clock.now().date().isoformat(), **CORRECTED},
        refused=({"day": "2125-01-01", **CORRECTED}, 404, "observation_unknown"),
    ),
    Row(
        "POST",
        at("/warrants"),
        "platform",
        build_warrant,
        201,
        (lambda world: build_warrant(world, shares=101), 422, "tranches_differ"),
        save="customer_warrant",
    ),
    Row(
        "POST",
        at("/warrants/{customer_warrant}/attestations"),
        "platform",
        {"milestone": "works", "document": "report"},
        refused=({"milestone": "paid", "document": "report"}, 404, "milestone_unknown"),
    ),
    Row("GET", at("/programmes"), check=lambda page: len(page["items"][0]["grant_ids"]) == 1),
    Row("GET", at("/price-sources"), check=lambda page: page["items"][0]["name"] == "Exchange"),
    Row(
        "GET",
        at("/price-sources/{price_source}/observations"),
        check=lambda page: float(page["items"][0]["price_usd_per_share"]) == 0.4,
    ),
    Row("GET", at("/warrants/{customer_warrant}"), check=is_vested),
    Row("GET", at("/warrants"), check=lambda page: len(page["items"]) > 1),
    Row(
        "POST",
        at("/warrants/{customer_warrant}/transfer"),
        body=lambda world: {"holder_id": world.ids["angel"], "holder_id_after": world.ids["founder"]},
        refused=(
            lambda world: {"holder_id": world.ids["founder"], "holder_id_after": world.ids["angel"]},
            422,
            "warrant_not_held",
        ),
    ),
)
