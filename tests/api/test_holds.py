"""Sixty-four requests on one account at once, over HTTP: what is available is never below zero."""

import asyncio
from decimal import Decimal

from marketplace.core.ids import rename_id
from marketplace.log.jetstream import JetStreamLog
from tests.api.stage import open_stage


async def test_sixty_four_requests_on_one_account_leave_nothing_below_zero(
    jetstream_log: JetStreamLog, database_url: str
):
    async with open_stage(jetstream_log, database_url) as stage:
        payer = await stage.register("Payer", "startup", usd="100")
        payee = await stage.register("Payee", "provider")
        client, other = await stage.open_tenant(payer), await stage.open_tenant(payee)
        path, payee_account = f"/v1/accounts/{rename_id('acc', payer)}", rename_id("acc", payee)
        hold = {"payee_account_id": payee_account, "amount_usd": "10", "expires_at": "2100-01-01T00:00:00Z"}
        first = await stage.post(client, f"{path}/holds", hold)
        capture = f"{path}/holds/{first.json()['id']}/capture"
        requests = [stage.post(client, f"{path}/holds", hold) for _ in range(24)]
        requests += [
            stage.post(client, f"{path}/withdrawals", {"amount_usd": "10", "reference": f"w{number}"})
            for number in range(24)
        ]
        requests += [stage.post(other, capture, {"amount_usd": "3"}) for _ in range(16)]
        answers = await asyncio.gather(*requests)
        told = [(answer.status_code, answer.json().get("code")) for answer in answers]
        assert told[:48].count((201, None)) + told[:48].count((200, None)) == 9
        assert set(told[:48]) <= {(201, None), (200, None), (422, "funds_insufficient")}
        assert sorted(told[48:], key=str) == [(200, None)] * 3 + [(422, "capture_above_hold")] * 13
        headers = {"Min-Seq": await stage.reach()}
        rows = (await client.get("/v1/balances", headers=headers)).json()["items"]
        balances = {row["account"].partition("/")[2]: Decimal(row["amount"]) for row in rows}
        paid = (await other.get("/v1/balances", headers=headers)).json()["items"]
        withdrawn = 10 * told[24:48].count((200, None))
        assert balances["available"] == 0
        assert balances["held"] == 100 - withdrawn - 9
        assert [Decimal(row["amount"]) for row in paid] == [9]
        held = (await client.get(f"{path}/holds", headers=headers)).json()["items"]
        assert sum(Decimal(row["left_usd"]) for row in held) == balances["held"]
