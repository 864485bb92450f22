"""Rows of issuers: stakeholders, classes, stock, options, warrants and the cap table."""

from tests.api.rows import SEEN, Row, World
from tests.api.stage import get_id

APPROVAL = {"document": "board consent 1"}


def at(path: str) -> str:
    return f"/v1/issuers/{{issuer}}{path}"


def build_offer(world: World, **more) -> dict:
    return {
        "holder_id": world.ids["angel"],
        "holder_id_after": world.ids["founder"],
        "class_id": "common",
        "shares": 1_000,
        "price_usd_per_share": "0.02",
        "decide_until": world.day(30),
        **more,
    }


async def ask_without_a_value(world: World) -> None:
    """Require that a net exercise is refused while no value of a share is known."""
    path = f"/v1/issuers/{world.ids['issuer']}/warrants/{world.ids['warrant']}/exercise"
    answer = await world.stage.post(world.clients["startup"], path, {"shares": 900, "settlement": "net"})
    assert answer.json()["code"] == "fair_value_missing"


async def register_fund(world: World) -> None:
    fund = {"holder_id": world.ids["fund"], "name": "Fund", "kind": "investor"}
    get_id(await world.stage.post(world.stage.admin, f"/v1/issuers/{world.ids['issuer']}/stakeholders", fund))


FORMATION = (
    Row(
        "POST",
        "/v1/issuers",
        "startup",
        lambda world: {
            "party_id": world.ids["startup"],
            "legal_name": "Startup, Inc.",
            "jurisdiction": "US",
            "formed_on": "2025-01-01",
        },
        201,
        ({"party_id": "x"}, 422, "body_invalid"),
        (404, "party_unknown"),
        "issuer",
    ),
    Row(
        "POST",
        at("/stakeholders"),
        body={"name": "Founders", "kind": "founder"},
        status=201,
        refused=({"name": "Founders", "kind": "king"}, 422, "body_invalid"),
        save="founder",
    ),
    Row(
        "POST",
        at("/stock-classes"),
        body={"class_id": "common", "kind": "common", "shares_authorised": 10_000_000},
        status=201,
        refused=({"class_id": "common", "kind": "common", "shares_authorised": 10**30}, 422, "body_invalid"),
    ),
    Row(
        "POST",
        at("/authorised-shares"),
        body={"class_id": "common", "shares_authorised": 20_000_000, "approval": APPROVAL},
        refused=({"class_id": "gold", "shares_authorised": 1}, 404, "stock_class_unknown"),
    ),
    Row(
        "POST",
        at("/dilution-limit"),
        body={"dilution_max": "0.90", "valuation_usd": "10000000"},
        refused=({"dilution_max": "1.1"}, 422, "amount_too_large"),
    ),
    Row(
        "POST",
        at("/stock"),
        body=lambda world: {
            "holder_id": world.ids["founder"],
            "class_id": "common",
            "shares": 8_000_000,
            "price_usd_per_share": "0.0001",
        },
        status=201,
        refused=(
            lambda world: {
                "holder_id": world.ids["founder"],
                "class_id": "gold",
                "shares": 1,
                "price_usd_per_share": "1",
            },
            404,
            "stock_class_unknown",
        ),
    ),
    Row(
        "POST",
        at("/stock/transfers"),
        body=lambda world: {
            "holder_id": world.ids["founder"],
            "holder_id_after": world.ids["angel"],
            "class_id": "common",
            "shares": 1_000_000,
        },
        refused=(
            lambda world: {
                "holder_id": world.ids["founder"],
                "holder_id_after": world.ids["founder"],
                "class_id": "common",
                "shares": 1,
            },
            422,
            "transfer_to_self",
        ),
    ),
    Row(
        "POST",
        at("/stock/repurchases"),
        body=lambda world: {
            "holder_id": world.ids["angel"],
            "class_id": "common",
            "shares": 500_000,
            "price_usd_per_share": "0.01",
        },
        refused=(
            lambda world: {
                "holder_id": world.ids["angel"],
                "class_id": "common",
                "shares": 5_000_000,
                "price_usd_per_share": "0.01",
            },
            422,
            "shares_not_held",
        ),
    ),
    Row(
        "POST",
        at("/stock/offers"),
        body=build_offer,
        status=201,
        refused=(lambda world: build_offer(world, shares=10**9), 422, "shares_not_held"),
        save="offer",
    ),
    Row(
        "POST",
        at("/stock/offers/{offer}/waive"),
        body={"approval": APPROVAL},
        refused=({"a": 1}, 422, "body_invalid"),
    ),
    Row(
        "POST",
        at("/stock/offers/{offer}/withdraw"),
        body={"reason": "the angel keeps them"},
        refused=({"reason": ""}, 422, "body_invalid"),
    ),
    Row("POST", at("/stock/offers"), body=build_offer, status=201, refused=({}, 422, "body_invalid"), save="offer"),
    Row(
        "POST",
        at("/stock/offers/{offer}/exercise"),
        body=lambda world: {"holder_id": world.ids["founder"]},
        refused=(lambda world: {"holder_id": world.ids["fund"]}, 404, "stakeholder_unknown"),
    ),
    Row("GET", at("/stock/offers"), check=lambda page: {row["status"] for row in page["items"]} >= {"exercised"}),
    Row(
        "POST",
        at("/stock-classes"),
        body={
            "class_id": "seed",
            "kind": "preferred",
            "shares_authorised": 1_000,
            "price_per_share_usd": "0.50",
            "liquidation_multiple": "1",
            "price_protection": "weighted_average",
            "protection_basis": "fully_diluted",
        },
        status=201,
        refused=(
            {
                "class_id": "seed",
                "kind": "preferred",
                "shares_authorised": 1_000,
                "price_per_share_usd": "0.50",
                "liquidation_multiple": "1",
                "price_protection": "weighted_average",
            },
            422,
            "missing_convention",
        ),
    ),
    Row(
        "POST",
        at("/stock"),
        body=lambda world: {
            "holder_id": world.ids["angel"],
            "class_id": "seed",
            "shares": 300,
            "price_usd_per_share": "0.50",
        },
        status=201,
        refused=({}, 422, "body_invalid"),
    ),
    Row(
        "POST",
        at("/stock/conversions"),
        body=lambda world: {
            "holder_id": world.ids["angel"],
            "class_id": "seed",
            "shares": 300,
            "class_id_after": "common",
        },
        refused=(
            lambda world: {
                "holder_id": world.ids["angel"],
                "class_id": "seed",
                "shares": 301,
                "class_id_after": "common",
            },
            422,
            "shares_not_held",
        ),
    ),
    Row(
        "POST",
        at("/stock/splits"),
        body={"numerator": 2, "denominator": 1},
        refused=({"numerator": 1, "denominator": 1}, 422, "split_changes_nothing"),
    ),
    Row(
        "POST",
        at("/stock-plan"),
        body={"shares_reserved": 2_000_000, "approval": APPROVAL},
        refused=({"shares_reserved": -1}, 422, "body_invalid"),
    ),
    Row(
        "POST",
        at("/options"),
        body=lambda world: {"holder_id": world.ids["angel"], "shares": 1_000, "exercise_price_usd": "0.10"},
        status=201,
        refused=(
            lambda world: {"holder_id": world.ids["angel"], "shares": 10**9, "exercise_price_usd": "0.10"},
            422,
            "pool_exhausted",
        ),
        save="option",
    ),
    Row(
        "POST",
        at("/options/{option}/exercise"),
        body={"class_id": "common", "shares": 400},
        refused=({"class_id": "common", "shares": 4_000}, 422, "option_overdrawn"),
    ),
    Row(
        "POST",
        at("/options/{option}/cancel"),
        body={"shares": 100, "kind": "cancelled", "reason": "by agreement"},
        refused=({"shares": 10_000, "kind": "cancelled", "reason": "x"}, 422, "option_overdrawn"),
    ),
    Row(
        "POST",
        at("/promises"),
        body=lambda world: {"holder_id": world.ids["angel"], "shares": 500},
        status=201,
        refused=(lambda world: {"holder_id": world.ids["angel"], "shares": 10**9}, 422, "pool_exhausted"),
        save="promise",
    ),
    Row(
        "POST",
        at("/promises/{promise}/withdraw"),
        body={"reason": "the candidate declined"},
        refused=({"reason": ""}, 422, "body_invalid"),
    ),
    Row(
        "POST",
        at("/warrants"),
        body=lambda world: {
            "holder_id": world.ids["angel"],
            "class_id": "common",
            "shares": 1_000,
            "exercise_price_usd": "0.10",
            "expires_at": world.day(900),
            "settlement": "either",
            "tranches": [
                {"shares": 900},
                {"shares": 100, "conditions": [[{"kind": "date", "day": "2100-01-01"}]]},
            ],
        },
        status=201,
        refused=({"class_id": "common"}, 422, "body_invalid"),
        save="warrant",
    ),
    Row(
        "POST",
        at("/valuations"),
        body={"price_usd_per_share": "0.30", "method": "409A", "effective_on": "2025-05-01"},
        before=ask_without_a_value,
    ),
    Row(
        "POST",
        at("/warrants/{warrant}/exercise"),
        body={"shares": 900, "settlement": "net"},
        refused=({"shares": 1_000}, 422, "warrant_unvested"),
    ),
    Row(
        "POST",
        at("/valuations"),
        body={"price_usd_per_share": "0.12", "method": "409A", "effective_on": "2025-06-01"},
        refused=(
            {"price_usd_per_share": "0.12", "method": "409A", "effective_on": "2020-06-01"},
            422,
            "date_before_formation",
        ),
    ),
    Row("GET", at(""), check=lambda one: one["plan_shares_reserved"] == 2_000_000),
    Row("GET", "/v1/issuers", other=SEEN, check=lambda page: len(page["items"]) == 1),
    Row("GET", at("/stakeholders"), check=lambda page: len(page["items"]) == 2),
    Row(
        "POST",
        at("/options/{option}/transfer"),
        "platform",
        body=lambda world: {"holder_id": world.ids["angel"], "holder_id_after": world.ids["fund"]},
        refused=(
            lambda world: {"holder_id": world.ids["founder"], "holder_id_after": world.ids["fund"]},
            422,
            "option_not_held",
        ),
        before=register_fund,
    ),
    Row(
        "POST",
        at("/options/{option}/cancel"),
        "platform",
        body={"shares": 500, "kind": "cancelled", "reason": "by agreement"},
        refused=({"shares": 501, "kind": "cancelled", "reason": "x"}, 422, "option_overdrawn"),
    ),
    Row("GET", at("/stock-classes"), check=lambda rows: rows[0]["shares_authorised"] == 40_000_000),
    Row("GET", at("/valuations"), check=lambda page: page["items"][0]["method"] == "409A"),
    Row(
        "GET",
        at("/cap-table"),
        refused=("at=x", 422, "request_invalid"),
        check=lambda table: table["fully_diluted_shares"] == sum(row["shares"] for row in table["rows"]) == 17_001_300,
    ),
    Row("GET", "/v1/holdings", other=SEEN, refused=("limit=x", 422, "request_invalid")),
)
