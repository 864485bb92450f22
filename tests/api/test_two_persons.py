"""Two persons over HTTP: what one alone may not do, and what a second person of the same party approves."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import httpx
import pytest_asyncio

from marketplace.auditor.report import Audit
from marketplace.auditor.stream import read_stream
from marketplace.core.ids import rename_id
from tests.api.stage import Stage, build_terms, get_id, open_stage
from tests.support.patience import PATIENCE_SECONDS


@dataclass
class Treasury:
    """A fund with a limit of 100 on 1,000 USD, and the keys of its persons."""

    stage: Stage
    party: str
    clerk: httpx.AsyncClient
    chief: httpx.AsyncClient

    @property
    def path(self) -> str:
        return f"/v1/accounts/{rename_id('acc', self.party)}"

    async def withdraw(self, client: httpx.AsyncClient, usd: str, reference: str) -> httpx.Response:
        return await self.stage.post(client, f"{self.path}/withdrawals", {"amount_usd": usd, "reference": reference})

    async def end(self, client: httpx.AsyncClient, verb: str, approval_id: str) -> httpx.Response:
        body = None if verb == "approve" else {"reason": "checked"}
        return await self.stage.post(client, f"{self.path}/approvals/{approval_id}/{verb}", body)

    async def read(self) -> tuple[list[str], dict[str, str]]:
        """Return the statuses of all approvals, and the balances."""
        headers = {"Min-Seq": await self.stage.reach()}
        approvals = (await self.chief.get(f"{self.path}/approvals", headers=headers)).json()["items"]
        balances = (await self.chief.get("/v1/balances", headers=headers)).json()["items"]
        amounts = {row["account"].partition("/")[2]: row["amount"] for row in balances}
        return [row["status"] for row in approvals], amounts


@pytest_asyncio.fixture
async def treasury(jetstream_log, database_url):
    async with open_stage(jetstream_log, database_url, worker=True, embedded=True) as stage:
        party = await stage.register("Treasury", "fund", usd="1000")
        clerk, chief = [await stage.open_tenant(party, person=person) for person in ("p1", "p2")]
        known = Treasury(stage, party, clerk, chief)
        get_id(await stage.post(clerk, f"{known.path}/limit", {"limit_usd": "100"}))
        yield known


async def _wait_for(treasury: Treasury, status: str) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            statuses, _ = await treasury.read()
            if statuses == [status]:
                return
            await asyncio.sleep(0.05)


_PAYMENTS = {"marketplace.account.hold_captured.v1", "marketplace.account.credited.v1"}


def code(answer: httpx.Response) -> tuple[int, str | None]:
    return answer.status_code, answer.json().get("code")


async def test_a_withdrawal_above_the_limit_waits_for_another_person(treasury: Treasury, nats_server):
    asked = await treasury.withdraw(treasury.clerk, "500", "to a mule")
    assert asked.status_code == 202
    approval_id = get_id(asked)
    assert asked.headers["Location"] == f"{treasury.path}/approvals/{approval_id}"
    assert await treasury.read() == (["open"], {"available": "500.00", "held": "500.00"})
    assert code(await treasury.end(treasury.clerk, "approve", approval_id)) == (403, "person_same")
    second_key = await treasury.stage.open_tenant(treasury.party, person="p1")
    assert code(await treasury.end(second_key, "approve", approval_id)) == (403, "person_same")
    nobody = await treasury.stage.open_tenant(treasury.party)
    assert code(await treasury.end(nobody, "approve", approval_id)) == (403, "person_missing")
    assert code(await treasury.end(treasury.chief, "withdraw", approval_id)) == (422, "requester_only")
    assert (await treasury.end(treasury.chief, "approve", approval_id)).status_code == 200
    third = await treasury.stage.open_tenant(treasury.party, person="p3")
    assert (await treasury.end(treasury.chief, "approve", approval_id)).status_code == 200
    for verb in ("approve", "refuse"):
        assert code(await treasury.end(third, verb, approval_id)) == (409, "approval_approved")
    assert code(await treasury.end(treasury.clerk, "withdraw", approval_id)) == (409, "approval_approved")
    assert await treasury.read() == (["approved"], {"available": "500.00", "held": "0.00"})
    feed = (await treasury.stage.admin.get("/v1/events", headers={"Min-Seq": await treasury.stage.reach()})).json()
    acted = {item["event"]["type"]: item["event"].get("actorperson") for item in feed["items"]}
    assert acted["marketplace.account.approval_requested.v1"] == "p1"
    assert acted["marketplace.account.withdrawn.v1"] == "p2"
    audit = Audit()
    await audit.read(read_stream(nats_server.admin_url))
    assert audit.findings.kept == []


async def test_many_small_withdrawals_are_one_large_one(treasury: Treasury):
    answers = [await treasury.withdraw(treasury.clerk, "40", f"wire {number}") for number in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 202]
    assert code(await treasury.withdraw(treasury.clerk, "40", "wire 2")) == (409, "reference_exists")
    payee = await treasury.stage.register("Payee", "provider")
    hold = {"payee_account_id": rename_id("acc", payee), "amount_usd": "21", "expires_at": "2100-01-01T00:00:00Z"}
    asked = await treasury.stage.post(treasury.chief, f"{treasury.path}/holds", hold)
    assert asked.status_code == 202
    assert (await treasury.end(treasury.clerk, "approve", get_id(asked))).status_code == 200
    headers = {"Min-Seq": await treasury.stage.reach()}
    hold = next(
        row
        for row in (await treasury.chief.get(f"{treasury.path}/holds", headers=headers)).json()["items"]
        if row["left_usd"] == "21.00"
    )
    capture = f"{treasury.path}/holds/{hold['hold_id']}/capture"
    assert (await treasury.stage.post(treasury.chief, capture, {"amount_usd": "21"})).status_code == 200
    headers = {"Min-Seq": await treasury.stage.reach()}
    for client, known in ((treasury.chief, {"p2"}), (await treasury.stage.open_tenant(payee), {None})):
        items = (await client.get("/v1/events", headers=headers)).json()["items"]
        paid = [item["event"] for item in items if item["event"]["data"].get("amount_usd") == "21.00"]
        acted = {event.get("actorperson") for event in paid if event["type"] in _PAYMENTS}
        assert acted == known, "a party's persons and keys are its own"
    clock = {"seconds": int(timedelta(hours=25).total_seconds())}
    assert (await treasury.stage.post(treasury.stage.admin, "/v1/test/clock", clock)).is_success
    assert (await treasury.withdraw(treasury.clerk, "100", "tomorrow")).status_code == 200


async def test_a_limit_is_raised_lowered_and_removed_by_two(treasury: Treasury):
    async def limit(client: httpx.AsyncClient, usd: str | None, **more: str) -> httpx.Response:
        return await treasury.stage.post(client, f"{treasury.path}/limit", {"limit_usd": usd, **more})

    asked = [await limit(treasury.clerk, usd) for usd in ("1000000", "1", None)]
    assert [answer.status_code for answer in asked] == [202, 202, 202]
    assert (await treasury.withdraw(treasury.clerk, "100.01", "more")).status_code == 202
    assert (await treasury.end(treasury.chief, "approve", get_id(asked[2]))).status_code == 200
    assert (await treasury.withdraw(treasury.clerk, "200", "all alone")).status_code == 200
    assert code(await limit(treasury.clerk, "-5")) == (422, "amount_not_positive")
    assert code(await limit(treasury.clerk, "10000000000000000")) == (422, "amount_too_large")
    assert code(await limit(treasury.clerk, "5", unit="EUR")) == (422, "unit_unsupported")
    nobody = await treasury.stage.open_tenant(treasury.party)
    assert code(await limit(nobody, "5")) == (403, "person_missing")


async def test_a_request_lapses_and_frees_its_money(treasury: Treasury):
    approval_id = get_id(await treasury.withdraw(treasury.clerk, "500", "late"))
    clock = {"seconds": int(timedelta(hours=72).total_seconds())}
    assert (await treasury.stage.post(treasury.stage.admin, "/v1/test/clock", clock)).is_success
    assert code(await treasury.end(treasury.chief, "approve", approval_id)) == (409, "approval_lapsed")
    await _wait_for(treasury, "lapsed")
    assert (await treasury.read())[1] == {"available": "1000.00", "held": "0.00"}


async def test_an_approval_races_a_refusal_and_one_of_them_counts(treasury: Treasury):
    third = await treasury.stage.open_tenant(treasury.party, person="p3")
    for number in range(8):
        approval_id = get_id(await treasury.withdraw(treasury.clerk, "101", f"race {number}"))
        both = await asyncio.gather(
            treasury.end(treasury.chief, "approve", approval_id), treasury.end(third, "refuse", approval_id)
        )
        assert sorted(answer.status_code for answer in both) == [200, 409]
        if both[1].is_success:
            break
    statuses, amounts = await treasury.read()
    assert float(amounts["available"]) == 1_000 - 101 * statuses.count("approved")
    assert amounts["held"] == "0.00"


async def test_a_revoked_key_and_a_suspended_party_approve_nothing(treasury: Treasury):
    stage = treasury.stage
    approval_id = get_id(await treasury.withdraw(treasury.clerk, "500", "wire"))
    body = {"name": "third", "scopes": ["*"], "party_id": treasury.party, "person": "p3"}
    issued = (await stage.post(stage.admin, "/v1/api-keys", body)).json()
    third = await stage.open_client(issued["token"])
    asked = get_id(await treasury.withdraw(third, "101", "asked by a person who left"))
    assert (await stage.admin.delete(f"/v1/api-keys/{issued['key_id']}")).status_code == 204
    for verb in ("approve", "withdraw"):
        assert code(await treasury.end(third, verb, approval_id)) == (401, "credentials_invalid")
    assert (await treasury.end(treasury.clerk, "approve", asked)).status_code == 200, "two persons agreed"
    get_id(await stage.post(stage.admin, f"/v1/parties/{treasury.party}/suspend", {"reason": "fraud"}))
    assert code(await treasury.end(treasury.chief, "approve", approval_id)) == (422, "party_suspended")
    assert code(await treasury.withdraw(treasury.clerk, "500", "again")) == (422, "party_suspended")
    assert (await treasury.end(treasury.chief, "refuse", approval_id)).status_code == 200


async def test_a_key_issues_none_for_another_person(treasury: Treasury):
    stage = treasury.stage
    other = {"name": "twin", "scopes": ["accounts:approve"], "person": "p9"}
    assert code(await stage.post(treasury.clerk, "/v1/api-keys", other)) == (403, "person_foreign")
    nobody = await stage.open_tenant(treasury.party)
    assert code(await stage.post(nobody, "/v1/api-keys", other)) == (403, "person_foreign")
    own = await stage.post(treasury.clerk, "/v1/api-keys", {"name": "own", "scopes": ["accounts:approve"]})
    assert own.json()["person"] == "p1"
    clerk = await stage.open_client(own.json()["token"])
    approval_id = get_id(await treasury.withdraw(treasury.clerk, "500", "wire"))
    assert code(await treasury.end(clerk, "approve", approval_id)) == (403, "person_same")


async def test_an_operator_is_no_second_person_by_the_keys_that_it_issues(treasury: Treasury):
    stage = treasury.stage

    async def issue(client: httpx.AsyncClient, **more: str) -> httpx.AsyncClient:
        scopes = ["api_keys:write", "accounts:withdraw", "accounts:approve", "rights:decide", "orders:sealed"]
        body = {"name": "operators", "scopes": scopes, **more}
        answer = await stage.post(client, "/v1/api-keys", body)
        assert answer.status_code == 201, answer.text
        return await stage.open_client(answer.json()["token"])

    one, other, nobody = [await issue(stage.admin, **more) for more in ({"person": "o1"}, {"person": "o2"}, {})]
    for operator in (one, nobody):
        twin = {"name": "twin", "scopes": ["accounts:approve"], "person": "o9"}
        assert code(await stage.post(operator, "/v1/api-keys", twin)) == (403, "person_foreign")
        clerk, chief = [await issue(operator, party_id=treasury.party, person=person) for person in ("p7", "p8")]
        again = await issue(await issue(operator), party_id=treasury.party, person="p9")
        for number, asking in enumerate((operator, clerk)):
            approval_id = get_id(await treasury.withdraw(asking, "150", f"mule {operator is one} {number}"))
            for approving in (chief, again):
                assert code(await treasury.end(approving, "approve", approval_id)) == (403, "person_same")
    body = {"name": "p5", "scopes": ["accounts:approve"], "party_id": treasury.party, "person": "p5"}
    repeated = [await stage.post(client, "/v1/api-keys", body, key="first") for client in (stage.admin, one)]
    assert [answer.status_code for answer in repeated] == [201, 422], "the first key's repeat is no key of an operator"
    third = await issue(other, party_id=treasury.party, person="p8")
    assert (await treasury.end(third, "approve", approval_id)).status_code == 200


async def test_a_dear_order_waits_whoever_places_it(treasury: Treasury):
    stage, now = treasury.stage, treasury.stage.services.handler.clock.now()
    startup = await stage.register("Buyer", "startup", usd="100000")
    clerk, chief = [await stage.open_tenant(startup, person=person) for person in ("p1", "p2")]
    path = f"/v1/accounts/{rename_id('acc', startup)}"
    get_id(await stage.post(clerk, f"{path}/limit", {"limit_usd": None, "order_limit_usd": "2000"}))

    def build(cash: str) -> dict:
        return build_terms(lambda days: (now + timedelta(days=days)).isoformat(), cash=cash)

    order_id = get_id(await stage.post(clerk, "/v1/orders", {"startup_id": startup, "terms": build("2")}))
    for client in (clerk, stage.admin):
        answers = [await stage.post(client, "/v1/orders", {"startup_id": startup, "terms": build("3")})]
        headers = {"Idempotency-Key": f"amend-{client is clerk}"}
        answers.append(await client.put(f"/v1/orders/{order_id}", json={"terms": build("3")}, headers=headers))
        for answer in answers:
            assert answer.status_code == 202
            assert answer.headers["Location"] == f"{path}/approvals/{get_id(answer)}"
            assert (await stage.post(chief, f"{path}/approvals/{get_id(answer)}/approve")).status_code == 200
    headers = {"Min-Seq": await stage.reach()}
    for scopes in (["accounts:read"], ["accounts:read", "orders:sealed"]):
        body = {"name": "accountant", "scopes": scopes}
        accountant = await stage.open_client((await stage.post(stage.admin, "/v1/api-keys", body)).json()["token"])
        for listed in ("/v1/approvals", f"{path}/approvals"):
            kinds = {row["act"]["kind"] for row in (await accountant.get(listed, headers=headers)).json()["items"]}
            assert ("order" in kinds) == (len(scopes) > 1), "the terms of an order are sealed"
        holds = (await accountant.get(f"{path}/holds", headers=headers)).json()["items"]
        assert {row["purpose"][:3] for row in holds} == ({"ord", "apv"} if len(scopes) > 1 else set())
    for scopes in (["accounts:read", "events:read"], ["accounts:read", "events:read", "*:read"]):
        body = {"name": "bookkeeper", "party_id": startup, "scopes": scopes}
        bookkeeper = await stage.open_client((await stage.post(stage.admin, "/v1/api-keys", body)).json()["token"])
        for listed in ("/v1/approvals", f"{path}/approvals"):
            kinds = {row["act"]["kind"] for row in (await bookkeeper.get(listed, headers=headers)).json()["items"]}
            assert ("order" in kinds) == ("*:read" in scopes), "who reads no orders reads none that wait"
        events = (await bookkeeper.get("/v1/events", headers=headers)).json()["items"]
        types = {each["event"]["type"] for each in events}
        assert "marketplace.account.opened.v1" in types
        assert ("marketplace.account.approval_requested.v1" in types) == ("*:read" in scopes)
    read = await clerk.get("/v1/orders", headers=headers)
    assert sorted(order["cash_hold_usd"] for order in read.json()["items"]) == ["2304.00"] * 3


async def test_another_party_and_nobody_see_and_approve_nothing(treasury: Treasury):
    stage = treasury.stage
    approval_id = get_id(await treasury.withdraw(treasury.clerk, "500", "wire"))
    foreign = await stage.open_tenant(await stage.register("Other", "fund"), person="p2")
    for verb in ("approve", "refuse", "withdraw"):
        assert code(await treasury.end(foreign, verb, approval_id)) == (404, "account_unknown")
        assert code(await treasury.end(await stage.open_client(None), verb, approval_id)) == (
            401,
            "credentials_missing",
        )
    assert code(await foreign.get(f"{treasury.path}/approvals")) == (404, "account_unknown")
    headers, body = {"Idempotency-Key": "probe", "If-Match": '"1"'}, {"amount_usd": "1", "reference": "probe"}
    for client, refused in ((foreign, (404, "account_unknown")), (treasury.clerk, (412, "version_stale"))):
        assert code(await client.post(f"{treasury.path}/withdrawals", json=body, headers=headers)) == refused
    clerk = await stage.open_tenant(treasury.party, ["accounts:withdraw", "accounts:write"], person="p4")
    assert code(await treasury.end(clerk, "approve", approval_id)) == (403, "scope_missing")


def build_mandate(treasury: Treasury, **rules) -> dict:
    """Return a mandate that lets startups draw cash."""
    terms = {"equity_credit": "1", "budget_usd": "0", "direct_budget_usd": "60", "issuer_usd_max": "60", **rules}
    terms["instrument_kinds"] = ["safe"]
    return {"holder_id": treasury.party, "funding": "cash", "terms": terms}


async def test_a_mandate_above_the_limit_is_granted_and_changed_by_two(treasury: Treasury, nats_server):
    stage, mule = treasury.stage, f"iss_{treasury.party[4:]}"
    clerk = await stage.open_tenant(treasury.party, ["mandates:grant"], person="p1")
    small = await stage.post(clerk, "/v1/mandates", build_mandate(treasury))
    assert small.status_code == 201
    large = build_mandate(treasury, direct_budget_usd="500", issuer_usd_max="500")
    asked = await stage.post(clerk, "/v1/mandates", large)
    assert asked.status_code == 202
    assert (await treasury.read())[1] == {"available": "440.00", "held": "560.00"}
    assert code(await treasury.end(treasury.clerk, "approve", get_id(asked))) == (403, "person_same")
    assert (await treasury.end(treasury.chief, "approve", get_id(asked))).status_code == 200
    assert (await treasury.read())[1] == {"available": "440.00", "held": "560.00"}
    listed = (await treasury.chief.get("/v1/mandates", headers={"Min-Seq": await stage.reach()})).json()["items"]
    mandate = next(row["mandate_id"] for row in listed if row["mandate_id"] != get_id(small))
    terms = {**large["terms"], "issuer_ids": [mule], "uncapped": True}
    answer = await clerk.put(f"/v1/mandates/{mandate}", json={"terms": terms}, headers={"Idempotency-Key": "mule"})
    assert answer.status_code == 202
    terms = build_mandate(treasury, direct_budget_usd="41", issuer_usd_max="41")["terms"]
    answer = await clerk.put(f"/v1/mandates/{mandate}", json={"terms": terms}, headers={"Idempotency-Key": "less"})
    assert answer.status_code == 202, "with the first one it is more than one person may let go in a day"
    assert (await treasury.withdraw(treasury.clerk, "41", "the rest")).status_code == 202
    audit = Audit()
    await audit.read(read_stream(nats_server.admin_url))
    assert audit.findings.kept == []


async def test_a_limit_that_no_second_person_could_change_is_not_set(treasury: Treasury):
    """A clerk with `accounts:limit` locked its party out of the account, because no other key named a person."""
    stage = treasury.stage
    party = await stage.register("Alone", "fund", usd="1000")
    path, limit = f"/v1/accounts/{party.replace('pty', 'acc')}/limit", {"limit_usd": "0.01"}
    clerk = await stage.open_tenant(party, person="p1")
    await stage.open_tenant(party)
    assert code(await stage.post(clerk, path, limit)) == (422, "second_person_missing")
    await stage.open_tenant(party, ("accounts:limit",), person="p2")
    assert code(await stage.post(clerk, path, limit)) == (422, "second_person_missing"), "it may not approve"
    await stage.open_tenant(party, person="p2")
    get_id(await stage.post(clerk, path, limit))


async def test_the_platform_neither_spends_a_partys_money_nor_speaks_for_it(treasury: Treasury, nats_server):
    stage = treasury.stage
    scopes = ["accounts:withdraw", "accounts:approve", "mandates:grant", "rights:decide"]
    body = {"name": "clerk", "scopes": scopes, "person": "p9"}
    platform = await stage.open_client((await stage.post(stage.admin, "/v1/api-keys", body)).json()["token"])
    asked = await treasury.withdraw(treasury.clerk, "500", "to a mule")
    assert code(await treasury.end(platform, "approve", get_id(asked))) == (403, "payer_only")
    assert code(await stage.post(platform, "/v1/mandates", build_mandate(treasury))) == (403, "payer_only")
    body = {"name": "narrow", "scopes": ["accounts:withdraw", "accounts:approve", "accounts:limit"], "person": "p9"}
    narrow = await stage.open_client((await stage.post(stage.admin, "/v1/api-keys", body)).json()["token"])
    limit = {"limit_usd": "0"}
    assert code(await stage.post(narrow, f"{treasury.path}/limit", limit)) == (403, "scope_missing")
    assert code(await treasury.withdraw(narrow, "300", "to block it")) == (403, "scope_missing")
    assert code(await treasury.end(narrow, "refuse", get_id(asked))) == (403, "scope_missing")
    assert (await treasury.end(treasury.clerk, "withdraw", get_id(asked))).status_code == 200
    sent = await treasury.withdraw(platform, "300", "seen at the bank")
    assert sent.status_code == 202
    lifted = await stage.post(stage.admin, f"{treasury.path}/limit", {"limit_usd": None})
    assert lifted.status_code == 202
    for client, asked in ((platform, sent), (stage.admin, sent), (stage.admin, lifted)):
        assert code(await treasury.end(client, "approve", get_id(asked))) == (403, "payer_only")
    assert (await treasury.end(treasury.clerk, "approve", get_id(sent))).status_code == 200
    assert (await treasury.read())[1] == {"available": "700.00", "held": "0.00"}
    get_id(await stage.post(stage.admin, f"/v1/parties/{treasury.party}/suspend", {"reason": "fraud"}))
    assert (await treasury.withdraw(platform, "300", "as the court orders")).status_code == 200
    audit = Audit()
    await audit.read(read_stream(nats_server.admin_url))
    assert audit.findings.kept == []
