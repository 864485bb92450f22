"""Rows of bonds and claims: a provider has ended a grant early, and its bond pays the startup."""

from decimal import Decimal

import pytest

from marketplace.client import ProblemError
from marketplace.core.ids import derive_id, rename_id
from tests.api.rows import ABSENT, SEEN, Row, World
from tests.api.stage import get_id


def build_bond(world: World, **more) -> dict:
    return {"party_id": world.ids["provider"], "amount_usd": "4000.00", "stands_until": world.day(3), **more}


async def fund_bond(world: World) -> None:
    account_id = rename_id("acc", world.ids["provider"])
    transfer = {"amount_usd": "10000.00", "reference": "for a bond"}
    get_id(await world.stage.post(world.stage.admin, f"/v1/accounts/{account_id}/deposits", transfer))


async def name_claim(world: World) -> None:
    world.ids["claim"] = derive_id("bcl", world.ids["second_grant"])


async def claim_again(client, ids) -> None:
    with pytest.raises(ProblemError, match="claim_exists"):
        await client.bonds.claim(ids["second_grant"])


ROWS = (
    Row(
        "POST",
        "/v1/bonds",
        "provider",
        build_bond,
        201,
        (lambda world: build_bond(world, stands_until=world.day(-900)), 422, "term_passed"),
        other=(404, "party_unknown"),
        save="bond",
        before=fund_bond,
        ask=lambda client, ids: client.bonds.post(party_id=ids["provider"], amount_usd=Decimal(9), lot_id=ids["lot"]),
    ),
    Row(
        "POST",
        "/v1/bonds/claims/{second_grant}",
        "startup",
        {},
        refused=({"period_start": "2020-01-01T00:00:00Z"}, 404, "period_unknown"),
        ask=claim_again,
    ),
    Row(
        "GET",
        "/v1/bonds/claims?status=open",
        "startup",
        refused=("limit=0", 422, "request_invalid"),
        other=SEEN,
        check=lambda page: [item["remedy"] for row in page["items"] for item in row["items"]] == ["make_whole"],
        ask=lambda client, ids: anext(client.bonds.list_claims(party_id=ids["startup"])),
    ),
    Row(
        "POST",
        "/v1/bonds/{bond}/claims/{claim}/answer",
        "provider",
        {"reason": "the fibre is cut"},
        refused=({"reason": "the fibre is cut", "amount_usd": "1000000"}, 422, "answer_above_claim"),
        before=name_claim,
        ask=lambda client, ids: client.bonds.answer_claim(ids["bond"], ids["claim"], reason="the fibre is cut"),
    ),
    Row(
        "GET",
        "/v1/bonds",
        "startup",
        refused=("limit=0", 422, "request_invalid"),
        other=SEEN,
        check=lambda page: any(Decimal(row["claims_open_usd"]) > 0 for row in page["items"]),
        ask=lambda client, ids: anext(client.bonds.list(party_id=ids["provider"])),
    ),
)
RELEASE = (
    Row(
        "POST",
        "/v1/bonds/{bond}/release",
        "provider",
        {},
        refused=({"lot_id": f"lot_{ABSENT}"}, 422, "bond_empty"),
        ask=lambda client, ids: client.bonds.release(ids["bond"]),
    ),
)
