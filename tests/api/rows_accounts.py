"""Rows of explanations and statements of account, read once money has moved."""

from decimal import Decimal

from marketplace.core.ids import rename_id
from tests.api.rows import SEEN, Row, World

_SPAN = "start=2020-01-01T00:00:00Z&end=2100-01-01T00:00:00Z"
_EMPTY = ("start=2100-01-01T00:00:00Z&end=2020-01-01T00:00:00Z", 422, "request_invalid")


def _sums(statement) -> bool:
    """Whether opening and lines sum to closing, on every ledger account."""
    sums: dict[str, Decimal] = {}
    for row in [*statement["opening"], *statement["lines"]]:
        sums[row["account"]] = sums.get(row["account"], Decimal(0)) + Decimal(row["amount"])
    return sums == {row["account"]: Decimal(row["amount"]) for row in statement["closing"]}


def build_hold(world: World, **more) -> dict:
    payee = rename_id("acc", world.ids["provider"])
    return {"payee_account_id": payee, "amount_usd": "12.50", "expires_at": world.day(300), **more}


def build_credit(world: World, **more) -> dict:
    return {"provider_id": world.ids["provider"], "startup_id": world.ids["startup"], "limit_usd": "900.00", **more}


async def read_credit_given(world: World) -> None:
    """Read, as the platform, what is taken of the credit that a provider gives."""
    path = f"/v1/credits?party_id={world.ids['provider']}"
    answer = await world.stage.admin.get(path, headers={"Min-Seq": await world.stage.reach()})
    assert [row["taken_usd"] for row in answer.json()["items"]] == ["0.00"]


HOLDS = (
    Row(
        "POST",
        "/v1/accounts/{account}/holds",
        "startup",
        build_hold,
        201,
        (lambda world: build_hold(world, expires_at="2020-01-01T00:00:00Z"), 422, "expiry_passed"),
        save="hold",
    ),
    Row(
        "POST",
        "/v1/accounts/{account}/holds/{hold}/capture",
        "startup",
        {"amount_usd": "2.50"},
        refused=({"amount_usd": "12.51"}, 422, "capture_above_hold"),
    ),
    Row(
        "POST",
        "/v1/accounts/{account}/holds/{hold}/release",
        "platform",
        {"reason": "done for less"},
        refused=({"reason": 1}, 422, "body_invalid"),
    ),
    Row(
        "GET",
        "/v1/accounts/{account}/holds",
        check=lambda page: [row["captured_usd"] for row in page["items"]] == ["2.50"],
    ),
    Row(
        "POST",
        "/v1/credits",
        "provider",
        build_credit,
        refused=(lambda world: build_credit(world, startup_id=world.ids["provider"]), 404, "party_unknown"),
        other=(404, "party_unknown"),
        ask=lambda client, ids: client.accounts.limit_credit(
            provider_id=ids["provider"], startup_id=ids["startup"], limit_usd=Decimal("900.00")
        ),
    ),
    Row(
        "GET",
        "/v1/credits",
        "startup",
        refused=("limit=0", 422, "request_invalid"),
        other=SEEN,
        check=lambda page: [(row["limit_usd"], row["taken_usd"]) for row in page["items"]] == [("900.00", "0.00")],
        ask=lambda client, ids: anext(client.accounts.list_credits(party_id=ids["startup"])),
    ),
    Row(
        "GET",
        "/v1/credits",
        "provider",
        other=SEEN,
        before=read_credit_given,
        check=lambda page: page["items"][0]["taken_usd"] is None,
    ),
    Row(
        "POST",
        "/v1/accounts/{spare_account}/close",
        "platform",
        {"reason": "opened twice"},
        refused=({}, 422, "body_invalid"),
    ),
)
_WIRE = {"amount_usd": "150", "reference": "wire 1"}
_TOO_MUCH = {"amount_usd": "1000000000", "reference": "wire 4"}
APPROVALS = (
    Row(
        "POST",
        "/v1/accounts/{till}/limit",
        "chief",
        {"limit_usd": "100"},
        refused=({"limit_usd": "-1"}, 422, "amount_not_positive"),
        ask=lambda client, ids: client.accounts.set_limit(ids["till"], limit_usd=Decimal(100)),
    ),
    Row(
        "POST",
        "/v1/accounts/{till}/withdrawals",
        "clerk",
        _WIRE,
        202,
        (_TOO_MUCH, 422, "funds_insufficient"),
        save="withdrawn_approval",
    ),
    Row(
        "POST",
        "/v1/accounts/{till}/approvals/{withdrawn_approval}/withdraw",
        "clerk",
        {"reason": "it was typed wrong"},
        refused=({"reason": ""}, 422, "body_invalid"),
        ask=lambda client, ids: client.accounts.withdraw_approval(
            ids["till"], ids["withdrawn_approval"], reason="again"
        ),
    ),
    Row("POST", "/v1/accounts/{till}/withdrawals", "clerk", _WIRE, 202, save="refused_approval"),
    Row(
        "POST",
        "/v1/accounts/{till}/approvals/{refused_approval}/refuse",
        "chief",
        {"reason": "nobody knows the payee"},
        refused=({"reason": ""}, 422, "body_invalid"),
        ask=lambda client, ids: client.accounts.refuse_approval(ids["till"], ids["refused_approval"], reason="again"),
    ),
    Row("POST", "/v1/accounts/{till}/withdrawals", "clerk", _WIRE, 202, save="approval"),
    Row(
        "POST",
        "/v1/accounts/{till}/approvals/{approval}/approve",
        "chief",
        ask=lambda client, ids: client.accounts.approve(ids["till"], ids["approval"]),
    ),
    Row(
        "GET",
        "/v1/accounts/{till}/approvals",
        "clerk",
        check=lambda page: sorted(row["status"] for row in page["items"]) == ["approved", "refused", "withdrawn"],
        ask=lambda client, ids: anext(client.accounts.list_approvals(ids["till"], status="approved")),
    ),
    Row(
        "GET",
        "/v1/approvals?status=approved&status=refused",
        "clerk",
        refused=("party_id={fund}", 404, "party_unknown"),
        other=SEEN,
        check=lambda page: {one["status"] for one in page["items"]} == {"approved", "refused"},
        ask=lambda client, _: anext(client.accounts.list_every_approval(status="approved")),
    ),
)
BOOKS = (
    Row(
        "GET",
        "/v1/market/reliability",
        other=SEEN,
        check=lambda page: [row["provider_id"][:4] for row in page["items"]] == ["pty_"],
    ),
    Row("GET", "/v1/market/reliability/{provider}", other=SEEN, check=lambda one: one["gpu_seconds_due"] > 0),
    Row(
        "GET",
        "/v1/accounts/{account}/explain?limit=50",
        refused=("limit=51", 422, "request_invalid"),
        check=lambda one: one["entries"][0]["event"]["body"]["type"] == "account.deposited.v1",
    ),
    Row(
        "GET",
        "/v1/accounts/{account}/statement?" + _SPAN,
        refused=_EMPTY,
        check=lambda one: one["lines"] and _sums(one),
    ),
    Row(
        "GET",
        "/v1/accounts/{account}/statement.csv?" + _SPAN + "&basis=occurred",
        refused=_EMPTY,
        check=lambda text: text.startswith("sequence,recorded_at,occurred_at,"),
    ),
    Row(
        "GET",
        "/v1/accounts/{account}/statement.html?" + _SPAN,
        refused=_EMPTY,
        check=lambda text: text.startswith("<!doctype html>"),
    ),
)
