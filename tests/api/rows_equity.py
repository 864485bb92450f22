"""Rows of issuers, instruments, financings and liquidity events."""

from tests.api.rows import PLATFORM_ONLY, SEEN, Row, World

SAFE = {"kind": "safe", "conversion_timing": "post_money", "valuation_cap_usd": "10000000"}
APPROVAL = {"document": "board consent 1"}


def at(path: str) -> str:
    return f"/v1/issuers/{{issuer}}{path}"


def build_round(world: World, **more) -> dict:
    terms = {
        "class_id": "series-a",
        "pre_money_usd": "20000000",
        "investments": [{"holder_id": world.ids["fund"], "amount_usd": "5000000"}],
        "pool_post_money": "0.10",
        "pricing_convention": "percent_ownership",
        "share_rounding": "floor",
        "price_places": 4,
        "liquidation_multiple": "1",
        "seniority": 1,
        **more,
    }
    return {"name": "Series A", "terms": terms}


def build_investment(world: World, **more) -> dict:
    return {
        "startup_id": world.ids["startup"],
        "mandate_id": world.ids["mandate"],
        "amount_usd": "1000",
        "terms": SAFE,
        **more,
    }


async def find_tranche(world: World) -> None:
    path = f"/v1/instruments/{world.ids['instrument']}/movements"
    world.ids["tranche"] = await world.find(path, lambda page: page["items"][0]["tranche_id"])


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
        body={"class_id": "common", "kind": "common", "shares_authorised": 20_000_000},
        status=201,
        refused=({"class_id": "common", "kind": "common", "shares_authorised": 10**30}, 422, "body_invalid"),
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
        at("/warrants"),
        body=lambda world: {
            "holder_id": world.ids["angel"],
            "class_id": "common",
            "shares": 1_000,
            "exercise_price_usd": "0.10",
            "expires_at": world.day(900),
        },
        status=201,
        refused=({"class_id": "common"}, 422, "body_invalid"),
        save="warrant",
    ),
    Row(
        "POST",
        at("/warrants/{warrant}/exercise"),
        body={"shares": 600, "shares_surrendered": 400},
        refused=({"shares": 4_000}, 422, "warrant_overdrawn"),
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
    Row("GET", at("/stock-classes"), check=lambda rows: rows[0]["shares_authorised"] == 40_000_000),
    Row("GET", at("/valuations"), check=lambda page: page["items"][0]["method"] == "409A"),
    Row(
        "GET",
        at("/cap-table"),
        refused=("at=x", 422, "request_invalid"),
        check=lambda table: table["fully_diluted_shares"] == sum(row["shares"] for row in table["rows"]) == 17_000_600,
    ),
    Row("GET", "/v1/holdings", other=SEEN, refused=("limit=x", 422, "request_invalid")),
)
INSTRUMENTS = (
    Row(
        "POST",
        "/v1/instruments",
        "startup",
        build_investment,
        201,
        (lambda world: build_investment(world, amount_usd="0"), 422, "amount_not_positive"),
        (404, "party_unknown"),
        "instrument",
    ),
    Row(
        "POST",
        "/v1/instruments/{drawn}/suspend",
        "platform",
        {"reason": "in dispute"},
        refused=({}, 422, "body_invalid"),
        other=PLATFORM_ONLY,
    ),
    Row(
        "POST",
        "/v1/instruments/{drawn}/resume",
        "platform",
        refused=({"a": 1}, 422, "body_invalid"),
        other=PLATFORM_ONLY,
    ),
    Row(
        "PUT",
        "/v1/instruments/{instrument}",
        "platform",
        {"terms": {**SAFE, "discount": "0.20"}, "applies_to_earlier": True},
        refused=({"terms": {**SAFE, "discount": "1"}, "applies_to_earlier": True}, 422, "discount_whole"),
        other=PLATFORM_ONLY,
    ),
    Row("GET", "/v1/instruments/{instrument}", "fund", check=lambda one: one["principal_usd"] == "1000"),
    Row(
        "GET",
        "/v1/instruments/{instrument}/movements",
        "fund",
        check=lambda page: [row["kind"] for row in page["items"]] == ["accrued"],
    ),
    Row("GET", "/v1/instruments", "fund", other=SEEN, check=lambda page: len(page["items"]) >= 2),
    Row("GET", at("/principal"), check=lambda page: page["items"]),
    Row(
        "POST",
        "/v1/instruments/{instrument}/reverse",
        "platform",
        lambda world: {"tranche_id": world.ids["tranche"], "principal_usd": "400", "reason": "refunded"},
        refused=(
            lambda world: {"tranche_id": world.ids["tranche"], "principal_usd": "4000", "reason": "x"},
            422,
            "tranche_settled",
        ),
        other=PLATFORM_ONLY,
        before=find_tranche,
    ),
)


FINANCINGS = (
    Row(
        "POST",
        at("/financings"),
        body=build_round,
        status=201,
        refused=(lambda world: build_round(world, share_rounding="up"), 422, "body_invalid"),
        save="spare_financing",
    ),
    Row(
        "POST",
        at("/financings/{spare_financing}/abandon"),
        body={"reason": "the lead left"},
        refused=({"reason": ""}, 422, "body_invalid"),
    ),
    Row(
        "POST",
        at("/financings"),
        body=build_round,
        status=201,
        refused=(lambda world: build_round(world, class_id="common"), 409, "stock_class_exists"),
        save="financing",
    ),
    Row("POST", at("/financings/{financing}/price"), refused=({"a": 1}, 422, "body_invalid")),
    Row("GET", at("/financings/{financing}"), check=lambda one: one["pricing"]["conversions"]),
    Row(
        "POST",
        at("/financings/{financing}/close"),
        body={"approval": APPROVAL},
        refused=({"approval": {}}, 422, "body_invalid"),
    ),
    Row("GET", at("/financings"), check=lambda page: len(page["items"]) == 2),
    Row(
        "POST",
        at("/liquidity-events"),
        body={"proceeds_usd": "90000"},
        status=201,
        refused=({"proceeds_usd": "0"}, 422, "amount_not_positive"),
        save="liquidity",
    ),
    Row("GET", at("/liquidity-events/{liquidity}"), check=lambda one: one["waterfall"]["payouts"]),
    Row("POST", at("/liquidity-events/{liquidity}/pay"), refused=({"a": 1}, 422, "body_invalid")),
    Row("GET", at("/liquidity-events"), check=lambda page: page["items"][0]["status"] == "paid"),
)
CANCELLED = (
    Row(
        "POST",
        "/v1/instruments/{undrawn}/cancel",
        "platform",
        lambda world: {"reason": "the grant ended before it began", "at": world.day(0)},
        refused=({"reason": "x"}, 422, "body_invalid"),
        other=PLATFORM_ONLY,
    ),
)
