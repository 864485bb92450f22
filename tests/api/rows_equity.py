"""Rows of instruments, financings and liquidity events."""

from collections.abc import Awaitable, Callable

from marketplace.core.ids import rename_id
from tests.api.rows import PLATFORM_ONLY, SEEN, Row, World
from tests.api.rows_issuers import APPROVAL, at

CAP = {"valuation_cap_usd": "10000000"}
SAFE = {
    "kind": "safe",
    "conversion_timing": "post_money",
    "valuation_cap_usd": "10000000",
    "service_consequence": "credit",
}


def build_round(world: World, **more) -> dict:
    terms = {
        "class_id": "series-a",
        "pre_money_usd": "20000000",
        "investments": [{"holder_id": world.ids["fund"], "amount_usd": "5000000"}],
        "pool_post_money": "0.10",
        "pool_timing": "pre_money",
        "pricing_convention": "percent_ownership",
        "capitalization_definition": "yc_standard",
        "share_rounding": "floor",
        "price_places": 4,
        "price_rounding": "half_even",
        "liquidation_multiple": "1",
        "seniority": 1,
        "participation": "none",
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


def build_clawback(world: World, **more) -> dict:
    return {"tranche_id": world.ids["tranche"], "principal_usd": "100", "reason": "an audit", **more}


NOTE = {
    "kind": "note",
    "annual_rate": "0.08",
    "interest": "simple",
    "day_count": "actual_365",
    "valuation_cap_usd": "10000000",
}
FAVOURED = {"kind": "safe", "conversion_timing": "post_money", "most_favoured_nation": True, **CAP}


def build_notice(world: World) -> dict:
    return {"later_instrument_id": world.ids["later"], "elect_until": world.day(42)}


def build_note(world: World, days: int, **more) -> dict:
    """Return a note that falls due after some days."""
    return build_investment(world, terms={**NOTE, "matures_on": world.day(days)[:10], **more})


def build_due(world: World, **more) -> dict:
    """Return a note that falls due while the story goes on."""
    return build_note(world, 3, **more)


async def await_maturity(world: World) -> None:
    path = f"/v1/instruments/{world.ids['due_note']}"
    await world.find(path, lambda one: one["matured_on"], seconds=60)


MATURITY = (
    Row(
        "POST",
        "/v1/instruments/{due_note}/mature",
        "fund",
        refused=({"a": 1}, 422, "body_invalid"),
        before=await_maturity,
    ),
    Row("GET", "/v1/instruments/{due_note}", "fund", check=lambda one: float(one["due_usd"]) >= 1000),
    Row("POST", "/v1/instruments/{due_note}/repay", "startup", refused=({"a": 1}, 422, "body_invalid")),
)


STOCK = {"kind": "stock", "class_id": "common", "price_usd_per_share": "1.50"}
MOST_FAVOURED = (
    Row(
        "POST",
        "/v1/instruments",
        "startup",
        lambda world: build_investment(world, terms=STOCK),
        201,
        (lambda world: build_investment(world, terms={**STOCK, "class_id": "gold"}), 404, "stock_class_unknown"),
        (404, "party_unknown"),
        "stock",
    ),
    Row("GET", "/v1/instruments/{stock}", "fund", check=lambda one: float(one["converted_usd"]) == 1000),
    Row(
        "POST",
        "/v1/instruments/{stock}/issue-shares",
        "startup",
        status=422,  # shares are issued as they are paid for
        refused=({"a": 1}, 422, "body_invalid"),
    ),
    Row(
        "POST",
        "/v1/instruments",
        "startup",
        build_due,
        201,
        (lambda world: build_due(world, annual_rate="2"), 422, "amount_too_large"),
        (404, "party_unknown"),
        "due_note",
    ),
    Row(
        "POST",
        "/v1/instruments",
        "startup",
        lambda world: build_note(world, 3_000),
        201,
        (lambda world: build_note(world, 3_000, day_count=None), 422, "body_invalid"),
        (404, "party_unknown"),
        "note",
    ),
    Row(
        "POST",
        "/v1/instruments/{note}/repay",
        "startup",
        status=202,
        refused=({"a": 1}, 422, "body_invalid"),
        save="prepayment",
    ),
    Row("POST", "/v1/proposals/{prepayment}/agree", "fund", refused=({"a": 1}, 422, "body_invalid")),
    Row(
        "POST",
        "/v1/instruments",
        "startup",
        lambda world: build_investment(world, terms=FAVOURED),
        201,
        (lambda world: build_investment(world, amount_usd="0"), 422, "amount_not_positive"),
        (404, "party_unknown"),
        "favoured",
    ),
    Row(
        "POST",
        "/v1/instruments",
        "startup",
        build_investment,
        201,
        (lambda world: build_investment(world, amount_usd="-1"), 422, "amount_not_positive"),
        (404, "party_unknown"),
        "later",
    ),
    Row(
        "POST",
        "/v1/instruments/{favoured}/mfn-notices",
        "startup",
        build_notice,
        refused=(lambda world: {**build_notice(world), "elect_until": "2020-01-01T00:00:00Z"}, 409, "notice_exists"),
    ),
    Row(
        "GET",
        "/v1/instruments/{favoured}/mfn-notices",
        "fund",
        check=lambda page: page["items"][0]["elected"] is None,
    ),
    Row(
        "POST",
        "/v1/instruments/{favoured}/mfn-election",
        "fund",
        lambda world: {"later_instrument_id": world.ids["later"]},
        refused=({}, 422, "body_invalid"),
    ),
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
        "GET",
        "/v1/instruments/{drawn}",
        "fund",
        check=lambda one: (
            (one["draw"]["unit"], one["draw"]["source"]["kind"], one["draw"]["acceptance_hours"])
            == ("gpu_hour", "auction", 168)
        ),
    ),
    Row(
        "PUT",
        "/v1/instruments/{instrument}",
        "platform",
        {"terms": {**SAFE, "discount": "0.20"}, "applies_to_earlier": True},
        refused=({"terms": {**SAFE, "discount": "1"}, "applies_to_earlier": True}, 422, "discount_whole"),
    ),
    Row("GET", "/v1/instruments/{instrument}", "fund", check=lambda one: one["principal_usd"] == "1000.00"),
    Row(
        "GET",
        "/v1/instruments/{instrument}/movements",
        "fund",
        check=lambda page: [row["kind"] for row in page["items"]] == ["accrued"],
    ),
    Row(
        "GET",
        "/v1/instruments/{instrument}/movements?order=newest&created_from=2026-01-01T00:00:00Z",
        "fund",
        refused=("created_before=tomorrow", 422, "request_invalid"),
        check=lambda page: [row["kind"] for row in page["items"]] == ["accrued"],
        ask=lambda client, ids: anext(client.instruments.list_movements(ids["instrument"], order="newest")),
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
            "tranche_exceeded",
        ),
        other=PLATFORM_ONLY,
        before=find_tranche,
    ),
)


BUYER = {"buyer": "Larger, Inc.", "price_usd_per_share": "37.50"}


def is_paid_in_stock(sale: dict) -> bool:
    """Tell whether a sale pays whole shares of the buyer, and cash under the price of one, to every holder."""
    payouts = sale["waterfall"]["payouts"]
    whole = all(payout["buyer_shares"] is not None and 0 <= float(payout["cash_usd"]) < 37.5 for payout in payouts)
    return sale["kind"] == "stock_acquisition" and "/" in sale["waterfall"]["stock"]["exchange_ratio_exact"] and whole


async def pay_in(world: World) -> None:
    """Bring the investor's money into its account."""
    account = rename_id("acc", world.ids["fund"])
    body = {"amount_usd": "5000000", "reference": "the money of Series A"}
    answer = await world.stage.post(world.stage.admin, f"/v1/accounts/{account}/deposits", body)
    assert answer.is_success, answer.text


def find_sale(name: str) -> Callable[[World], Awaitable[None]]:
    """Return what looks for a sale that is declared and has no name yet."""

    async def find(world: World) -> None:
        path, known = f"/v1/issuers/{world.ids['issuer']}/liquidity-events", set(world.ids.values())
        sales = await world.find(path, lambda page: [row["liquidity_id"] for row in page["items"]])
        (world.ids[name],) = set(sales) - known

    return find


def build_holder_terms(world: World, **changes) -> dict:
    terms = {"sale_share_needed": "0.6", "pro_rata": [world.ids["fund"]], "depth": "full"}
    return {"terms": terms | changes, "approval": APPROVAL}


def agree(proposal: str, actor: str = "fund") -> Row:
    """Return the row of an agreement."""
    path = f"/v1/proposals/{{{proposal}}}/agree"
    return Row("POST", path, actor, refused=({"a": 1}, 422, "body_invalid"))


def build_transfer(world: World) -> dict:
    return {
        "holder_id": world.ids["fund"],
        "holder_id_after": world.ids["provider"],
        "class_id": "series-a",
        "shares": 1,
    }


def propose_transfer(name: str) -> Row:
    """Return the row of a fund that proposes to give a share to a provider."""
    no_class = {"class_id": "gold"}
    return Row(
        "POST",
        at("/stock/transfers"),
        "fund",
        build_transfer,
        202,
        (lambda world: {**build_transfer(world), **no_class}, 404, "stock_class_unknown"),
        save=name,
    )


def adds_up(changes: dict) -> bool:
    """Tell whether the rows that change sum to the change of the whole, which grows."""
    added = sum(row["after"] - row["before"] for row in changes["shares"])
    return 0 < added == changes["fully_diluted_after"] - changes["fully_diluted_before"]


PROPOSALS = (
    Row(
        "GET",
        "/v1/proposals/{closing}",
        "fund",
        check=lambda one: {vote["vote"] for vote in one["votes"]} == {"asked"},
    ),
    Row("GET", "/v1/proposals/{closing}/changes", "fund", check=adds_up),
    Row("GET", "/v1/proposals", "fund", other=SEEN, check=lambda page: len(page["items"]) == 2),
    Row(
        "GET",
        "/v1/rights",
        "fund",
        other=SEEN,
        check=lambda table: (
            {"issue", "withdrawal", "mandate", "statement", "role"} <= {right["name"] for right in table["rights"]}
        ),
    ),
    agree("closing"),
    Row("GET", "/v1/proposals/{closing}", "startup", check=lambda one: one["status"] == "effective"),
    Row(
        "POST",
        at("/stakeholders"),
        body=lambda world: {"name": "Provider", "kind": "provider", "holder_id": world.ids["provider"]},
        status=201,
        refused=(
            {"name": "Provider", "kind": "provider", "holder_id": "iss_01jdm5v5tze1xa6a4sbz1gk3c4"},
            404,
            "party_unknown",
        ),
    ),
    propose_transfer("transfer"),
    agree("transfer", "provider"),
    Row(
        "POST",
        "/v1/proposals/{transfer}/withdraw-consent",
        "provider",
        {"reason": "second thoughts"},
        refused=({"reason": ""}, 422, "body_invalid"),
    ),
    Row(
        "POST",
        "/v1/proposals/{transfer}/refuse",
        "provider",
        {"reason": "one share is not worth the work"},
        refused=({"reason": ""}, 422, "body_invalid"),
    ),
    propose_transfer("spare_transfer"),
    Row(
        "POST",
        "/v1/proposals/{spare_transfer}/withdraw",
        "fund",
        {"reason": "nobody wants it"},
        refused=({"reason": ""}, 422, "body_invalid"),
    ),
)
HOLDER_TERMS = (
    Row(
        "POST",
        at("/holder-terms"),
        body=build_holder_terms,
        status=202,
        refused=(lambda world: build_holder_terms(world, sale_share_needed="0.5"), 422, "share_not_majority"),
        save="terms_proposal",
    ),
    agree("terms_proposal"),
    Row("GET", "/v1/issuers/{issuer}", "fund", check=lambda one: one["holder_terms"]["sale_share_needed"] == "0.6"),
    Row(
        "POST",
        at("/financings"),
        body=lambda world: build_round(
            world,
            class_id="series-b",
            investments=[{"holder_id": world.ids["provider"], "amount_usd": "1000000"}],
        ),
        status=201,
        refused=(lambda world: build_round(world, class_id="common"), 409, "stock_class_exists"),
        save="next_financing",
    ),
    Row(
        "POST",
        at("/financings/{next_financing}/pro-rata"),
        "fund",
        {"amount_usd": "0"},
        refused=({"amount_usd": "-1"}, 422, "amount_not_positive"),
    ),
    Row(
        "POST",
        at("/financings/{next_financing}/abandon"),
        body={"reason": "a buyer came"},
        refused=({"reason": ""}, 422, "body_invalid"),
    ),
)
FINANCINGS = (
    Row(
        "POST",
        at("/financings"),
        body=build_round,
        status=201,
        refused=(lambda world: build_round(world, price_rounding=None), 422, "missing_convention"),
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
        status=202,
        refused=({"approval": {}}, 422, "body_invalid"),
        save="closing",
        before=pay_in,
    ),
    *PROPOSALS,
    Row("GET", at("/financings"), check=lambda page: len(page["items"]) == 2),
    *HOLDER_TERMS,
    Row(
        "POST",
        "/v1/instruments/{instrument}/reverse",
        "platform",
        lambda world: build_clawback(world, reduction="debt"),
        refused=(build_clawback, 422, "missing_convention"),
        other=PLATFORM_ONLY,
    ),
    Row(
        "POST",
        "/v1/instruments/{instrument}/pay-debt",
        "fund",
        {"amount_usd": "100"},
        refused=({"amount_usd": "100.01"}, 422, "debt_exceeded"),
    ),
    Row("GET", "/v1/instruments/{instrument}", "fund", check=lambda one: float(one["debt_usd"]) == 0),
    Row(
        "POST",
        at("/liquidity-events"),
        body={"proceeds_usd": "90000", "stock": BUYER},
        status=202,
        refused=(
            {"proceeds_usd": "90000", "stock": {**BUYER, "price_usd_per_share": "0"}},
            422,
            "amount_not_positive",
        ),
        save="stock_sale_proposal",
    ),
    Row(
        "GET",
        "/v1/proposals/{stock_sale_proposal}/waterfall",
        "fund",
        check=lambda paid: paid["payouts"] and paid["stock"]["buyer"],
    ),
    agree("stock_sale_proposal"),
    Row("GET", at("/liquidity-events/{stock_sale}"), check=is_paid_in_stock, before=find_sale("stock_sale")),
    Row(
        "POST",
        at("/liquidity-events/{stock_sale}/withdraw"),
        body={"reason": "another buyer"},
        status=202,
        refused=({"reason": ""}, 422, "body_invalid"),
        save="withdrawal",
    ),
    agree("withdrawal"),
    Row(
        "POST",
        at("/liquidity-events"),
        body={"proceeds_usd": "90000"},
        status=202,
        refused=({"proceeds_usd": "0"}, 422, "amount_not_positive"),
        save="sale_proposal",
    ),
    agree("sale_proposal"),
    Row(
        "GET",
        at("/liquidity-events/{liquidity}"),
        check=lambda one: one["waterfall"]["payouts"],
        before=find_sale("liquidity"),
    ),
    Row("POST", at("/liquidity-events/{liquidity}/pay"), refused=({"a": 1}, 422, "body_invalid")),
    Row(
        "GET",
        at("/liquidity-events"),
        check=lambda page: {row["status"] for row in page["items"]} == {"withdrawn", "paid"},
    ),
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
