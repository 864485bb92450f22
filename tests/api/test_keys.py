"""API keys and rate limits: who gets in, how often, and while PostgreSQL is away."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
import structlog
from sqlalchemy import text as sql

from marketplace.api.http.commands import UNLOGGED_SECONDS_MAX
from marketplace.api.http.key_store import SqlKeys
from marketplace.api.http.keys import KeyRing
from marketplace.api.http.rate_limit import RateLimit
from marketplace.core.errors import Refusal, Unavailable
from marketplace.embedded.nats import embedded_nats
from marketplace.log.jetstream import JetStreamLog
from marketplace.log.memory import MemoryLog
from marketplace.projections.engine.database import build_engine
from marketplace.projections.engine.operations import CHAIN_MAX
from tests.api.doors import open_door
from tests.api.stage import ADMIN_KEY, SECRET, Stage, open_stage
from tests.api.test_commands import PARTY, assert_problem
from tests.support.patience import PATIENCE_SECONDS


@pytest_asyncio.fixture
async def stage(database_url: str) -> AsyncIterator[Stage]:
    async with open_stage(MemoryLog(), database_url) as opened:
        yield opened


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer x",
        "Basic " + ADMIN_KEY,
        "Bearer " + ADMIN_KEY + "x",
        "Bearer " + ADMIN_KEY.replace("mkp_01", "mkp_02"),
        "Bearer " + ADMIN_KEY[:-1] + "é",
    ],
)
async def test_a_wrong_key_is_told_nothing(header):
    async with open_stage(MemoryLog()) as stage:
        assert (await stage.admin.get("/v1/events")).status_code == 200, "the right key is remembered"
        client = await stage.open_client(None)
        answer = await client.get("/v1/parties", headers={"Authorization": header.encode()})
        assert_problem(answer, 401, "credentials_invalid")


async def test_few_shown_keys_are_remembered():
    ring = KeyRing(SECRET, ADMIN_KEY, None, known_max=2)
    tokens = [ring.derive_token(f"key_01jdm5v5tze1xa6a4sbz1gk3c{last}") for last in (5, 6, 7, 8)]
    for token in tokens:
        with pytest.raises(Refusal):  # its secret is right, and no such key was issued
            await ring.verify(f"Bearer {token}")
        assert token in ring._shown
        assert len(ring._shown) <= 2


async def test_a_key_does_what_its_scopes_say(stage: Stage):
    startup = await stage.register("Startup", "startup")
    reader = await stage.open_tenant(startup, ["*:read"])
    seller = await stage.open_tenant(startup, ["orders:write", "orders:read"])
    assert (await reader.get("/v1/orders")).status_code == 200
    assert_problem(await stage.post(reader, "/v1/orders", {}), 403, "scope_missing")
    assert_problem(await seller.get("/v1/accounts"), 403, "scope_missing")
    assert_problem(await stage.post(seller, "/v1/orders", {}), 422, "body_invalid")


async def test_a_key_gives_away_no_more_than_it_has(stage: Stage):
    startup = await stage.register("Startup", "startup")
    keeper = await stage.open_tenant(startup, ["api_keys:write", "orders:read"])
    for scope, status in (("orders:read", 201), ("orders:write", 403), ("*", 403), ("*:read", 403)):
        answer = await stage.post(keeper, "/v1/api-keys", {"name": "child", "scopes": [scope]})
        assert answer.status_code == status, answer.text
        assert status != 201 or answer.json()["party_id"] == startup
    scopes = ["api_keys:write", "accounts:withdraw", "orders:read", "rights:decide", "orders:sealed"]
    for lacking in (None, "rights:decide", "orders:sealed"):
        body = {"name": "clerk", "scopes": [scope for scope in scopes if scope != lacking]}
        clerk = await stage.open_client((await stage.post(stage.admin, "/v1/api-keys", body)).json()["token"])
        own = {"name": "own", "scopes": ["accounts:withdraw", "orders:read"], "party_id": startup}
        answer = await stage.post(clerk, "/v1/api-keys", own)
        assert answer.status_code == (201 if lacking is None else 403), answer.text


async def test_a_suspended_party_gets_keys_from_the_platform_alone_and_ends_its_own(stage: Stage):
    """A party that was suspended for fraud gave a mule a key."""
    startup = await stage.register("Startup", "startup")
    keeper = await stage.open_tenant(startup, ["api_keys:write", "orders:read"])
    body = {"name": "mule", "scopes": ["orders:read"]}
    spare = await stage.post(keeper, "/v1/api-keys", body, key="spare")
    await stage.post(stage.admin, f"/v1/parties/{startup}/suspend", {"reason": "fraud"})
    for key in ("another", "spare"):
        assert_problem(await stage.post(keeper, "/v1/api-keys", body, key=key), 422, "party_suspended")
    assert (await stage.post(stage.admin, "/v1/api-keys", {**body, "party_id": startup})).status_code == 201
    answer = await keeper.delete(f"/v1/api-keys/{spare.json()['key_id']}", headers={"Idempotency-Key": "end"})
    assert answer.is_success, answer.text


async def test_a_key_does_not_get_a_longer_one_by_repeating_what_another_key_asked(stage: Stage):
    startup = await stage.register("Startup", "startup")
    lasting = await stage.open_tenant(startup, ["api_keys:write", "orders:read"])
    ends = (datetime.now(UTC) + timedelta(days=2)).isoformat()
    body = {"name": "clerk", "scopes": ["api_keys:write", "orders:read"], "party_id": startup, "expires_at": ends}
    clerk = await stage.open_client((await stage.post(stage.admin, "/v1/api-keys", body)).json()["token"])
    asked = {"name": "nightly", "scopes": ["orders:read"]}
    issued = await stage.post(lasting, "/v1/api-keys", asked, key="nightly")
    assert_problem(await stage.post(clerk, "/v1/api-keys", asked, key="nightly"), 422, "expiry_too_late")
    again = await stage.post(lasting, "/v1/api-keys", asked, key="nightly")
    assert again.json()["token"] == issued.json()["token"]


async def test_a_clerk_of_accounts_neither_invents_a_deposit_nor_moves_a_funds_money_to_a_mule(stage: Stage):
    fund, mule = await stage.register("Fund", "fund", usd="500000"), await stage.register("Mule", "startup")
    account = f"/v1/accounts/acc{fund[3:]}"
    transfer = {"amount_usd": "500000", "reference": "invented"}
    hold = {
        "payee_account_id": f"acc{mule[3:]}",
        "amount_usd": "400000",
        "expires_at": (datetime.now(UTC) + timedelta(days=1)).isoformat(),
    }
    answer = await stage.post(stage.admin, "/v1/api-keys", {"name": "clerk", "scopes": ["accounts:write", "*:write"]})
    broad = ["accounts:write", "mandates:write", "proposals:write", "*:write"]
    clerks = [await stage.open_client(answer.json()["token"]), await stage.open_tenant(fund, broad)]
    capture = f"{account}/holds/hld{fund[3:]}/capture"
    grant = {"holder_id": fund, "funding": "cash"}
    terms = {"instrument_kinds": ["safe"], "equity_credit": "1", "budget_usd": "0", "issuer_usd_max": "400000"}
    grant["terms"] = {**terms, "direct_budget_usd": "400000"}
    sent = {"deposits": transfer, "withdrawals": transfer, "holds": hold}
    for clerk in clerks:
        for path, body in sent.items():
            assert_problem(await stage.post(clerk, f"{account}/{path}", body), 403, "scope_missing")
        assert_problem(await stage.post(clerk, capture, {"amount_usd": "1"}), 403, "scope_missing")
        assert_problem(await stage.post(clerk, f"{account}/close", {"reason": "for good"}), 403, "scope_missing")
        assert_problem(await stage.post(clerk, "/v1/mandates", grant), 403, "scope_missing")
        changed = await clerk.put(f"/v1/mandates/mnd{fund[3:]}", json={"terms": grant["terms"]})
        assert_problem(changed, 403, "scope_missing")
        assert_problem(await stage.post(clerk, f"/v1/proposals/prp{fund[3:]}/agree"), 403, "scope_missing")
        assert_problem(await stage.post(clerk, f"/v1/service-lines/svl{fund[3:]}/approve"), 403, "scope_missing")
        for act in ("refuse", "withdraw-consent"):
            refused = await stage.post(clerk, f"/v1/proposals/prp{fund[3:]}/{act}", {"reason": "no"})
            assert_problem(refused, 403, "scope_missing")
    assert_problem(await stage.post(stage.admin, f"{account}/holds", hold), 403, "payer_only")
    taken = {"amount_usd": "1", "reference": "as a court orders"}
    for scopes, status in ((["accounts:withdraw"], 403), (["accounts:withdraw", "rights:decide"], 200)):
        answer = await stage.post(stage.admin, "/v1/api-keys", {"name": "payments", "scopes": scopes})
        payments = await stage.open_client(answer.json()["token"])
        assert (await stage.post(payments, f"{account}/withdrawals", taken)).status_code == status
    owner = await stage.open_tenant(fund, ["accounts:hold", "accounts:deposit"])
    assert (await stage.post(owner, f"{account}/holds", hold)).status_code == 201
    assert_problem(await stage.post(owner, f"{account}/deposits", transfer), 403, "platform_only")


async def test_a_key_ends_none_that_may_do_more_than_itself(stage: Stage):
    fund = await stage.register("Fund", "fund")
    chief = await stage.post(stage.admin, "/v1/api-keys", {"name": "chief", "scopes": ["*"], "party_id": fund})
    path = f"/v1/api-keys/{chief.json()['key_id']}"
    for party_id in (fund, None):
        body = {"name": "clerk", "scopes": ["api_keys:write", "orders:read"], "party_id": party_id}
        clerk = await stage.open_client((await stage.post(stage.admin, "/v1/api-keys", body)).json()["token"])
        assert_problem(await clerk.delete(path), 403, "key_stronger")
        own = await stage.post(clerk, "/v1/api-keys", {"name": "child", "scopes": ["orders:read"]})
        assert (await clerk.delete(f"/v1/api-keys/{own.json()['key_id']}")).status_code == 204
    assert_problem(await stage.post(clerk, f"{path}/suspend", {"reason": "x"}), 403, "key_stronger")
    assert (await (await stage.open_client(chief.json()["token"])).get("/v1/orders")).status_code == 200


async def issue(stage: Stage, client: httpx.AsyncClient, **body) -> tuple[str, httpx.AsyncClient]:
    answer = await stage.post(client, "/v1/api-keys", {"name": "k", "scopes": ["api_keys:write", "*:read"]} | body)
    assert answer.status_code == 201, answer.text
    return answer.json()["key_id"], await stage.open_client(answer.json()["token"])


async def list_working(*clients: httpx.AsyncClient) -> list[bool]:
    return [(await client.get("/v1/orders")).status_code == 200 for client in clients]


async def test_a_key_ends_with_the_keys_that_led_to_it_in_every_process(stage: Stage, database_url: str):
    party = await stage.register("Startup", "startup")
    clerk_id, clerk = await issue(stage, stage.admin, scopes=["*"])
    owner_id, owner = await issue(stage, clerk, party_id=party)
    robot_id, robot = await issue(stage, owner)
    last_id, last = await issue(stage, robot)
    other_id, other = await issue(stage, stage.admin, party_id=party)
    listed = {each["key_id"]: each["issued_by"] for each in (await other.get("/v1/api-keys")).json()["items"]}
    assert listed == {owner_id: None, robot_id: owner_id, last_id: robot_id, other_id: None}
    seen = {each["key_id"]: each["issued_by"] for each in (await stage.admin.get("/v1/api-keys")).json()["items"]}
    assert seen == listed | {owner_id: clerk_id, clerk_id: None}
    engine = build_engine(database_url)
    elsewhere, ended = KeyRing(SECRET, ADMIN_KEY, SqlKeys(engine)), []
    elsewhere.list_streaming, elsewhere.end_streams = lambda: [last_id], ended.append
    assert (await elsewhere.admit(last_id)).party_id == party
    assert await list_working(owner, robot, last, other) == [True] * 4
    path = f"/v1/api-keys/{owner_id}"
    suspended = await stage.post(stage.admin, f"{path}/suspend", {"reason": "leaked"})
    assert suspended.json()["status"] == "suspended"
    assert await list_working(owner, robot, last, other, clerk) == [False, False, False, True, True]
    await elsewhere.confirm()
    assert ended == [last_id]
    statuses = {each["key_id"]: each["status"] for each in (await other.get("/v1/api-keys")).json()["items"]}
    assert statuses == {owner_id: "suspended", robot_id: "suspended", last_id: "suspended", other_id: "active"}
    await stage.post(stage.admin, f"/v1/api-keys/{robot_id}/suspend", {"reason": "this one too"})
    assert (await stage.post(stage.admin, f"{path}/resume", {"reason": "not leaked"})).json()["status"] == "active"
    assert await list_working(owner, robot, last) == [True, False, False], "each resumes for itself"
    await stage.post(stage.admin, f"/v1/api-keys/{robot_id}/resume", {"reason": "found"})
    assert await list_working(owner, robot, last) == [True] * 3
    assert (await stage.admin.delete(f"/v1/api-keys/{clerk_id}")).status_code == 204
    assert await list_working(clerk, owner, robot, last, other) == [False] * 4 + [True]
    with pytest.raises(Refusal, match="not valid"):
        await elsewhere.verify(f"Bearer {elsewhere.derive_token(last_id)}")
    assert (await stage.admin.delete(f"/v1/api-keys/{clerk_id}?keep_issued=true")).status_code == 204
    assert await list_working(owner, last) == [False, False], "what ended is not handed on"
    await engine.dispose()


async def test_a_key_is_rotated_by_its_successor_and_what_it_issued_may_be_kept(stage: Stage):
    party = await stage.register("Startup", "startup")
    old_id, old = await issue(stage, stage.admin, party_id=party)
    _, robot = await issue(stage, old)
    middle_id, middle = await issue(stage, old)
    new_id, new = await issue(stage, middle)
    assert (await new.delete(f"/v1/api-keys/{old_id}")).status_code == 204
    assert await list_working(old, robot, middle, new) == [False, False, False, True]
    rows = (await new.get("/v1/api-keys")).json()["items"]
    listed = {each["key_id"]: (each["issued_by"], each["descends_from"]) for each in rows}
    assert (listed[old_id], listed[middle_id], listed[new_id]) == ((None, None), (old_id, old_id), (None, middle_id))
    robot_id, robot = await issue(stage, new)
    next_id, following = await issue(stage, new)
    assert (await following.delete(f"/v1/api-keys/{new_id}?keep_issued=true")).status_code == 204
    assert await list_working(new, robot, following) == [False, True, True]
    _, child = await issue(stage, following)
    assert (await following.delete(f"/v1/api-keys/{next_id}")).status_code == 204
    assert await list_working(following, child, robot) == [False, False, True], (
        "who ends its own key ends what it issued"
    )
    assert (await stage.admin.delete(f"/v1/api-keys/{robot_id}")).status_code == 204


async def test_a_leaked_key_does_not_escape_by_rotating_itself(stage: Stage):
    """Its successor took its place, and whoever revoked the leaked key was answered that it had ended."""
    party = await stage.register("Startup", "startup")
    owner_id, owner = await issue(stage, stage.admin, party_id=party)
    leaked_id, leaked = await issue(stage, owner)
    _, robot = await issue(stage, leaked)
    thief_id, thief = await issue(stage, leaked)
    path = f"/v1/api-keys/{leaked_id}"
    assert (await thief.delete(f"{path}?keep_issued=true")).status_code == 204
    _, further = await issue(stage, thief)
    assert (await further.delete(f"/v1/api-keys/{thief_id}")).status_code == 204
    for repeats in (thief, further):
        await repeats.delete(path)
    assert (await owner.delete(f"{path}?keep_issued=true")).status_code == 204
    assert await list_working(leaked, thief, robot, further) == [False, False, True, True]
    assert (await owner.delete(path)).status_code == 204
    assert await list_working(owner, robot, further) == [True, False, False]
    listed = {each["key_id"]: each["status"] for each in (await owner.get("/v1/api-keys")).json()["items"]}
    assert {key_id for key_id, status in listed.items() if status == "active"} == {owner_id}


async def test_a_leaked_key_does_not_escape_by_revoking_a_key_above_it(stage: Stage):
    """Its child revoked the owner's first key, went on as the platform's, and outlived the leaked key's revocation."""
    party = await stage.register("Startup", "startup")
    root_id, root = await issue(stage, stage.admin, party_id=party)
    leaked_id, leaked = await issue(stage, root)
    _, child = await issue(stage, leaked)
    assert (await child.delete(f"/v1/api-keys/{root_id}")).status_code == 204
    _, further = await issue(stage, child)
    assert await list_working(root, leaked, child, further) == [False, False, True, True]
    _, owner = await issue(stage, stage.admin, party_id=party)
    assert (await further.delete(f"/v1/api-keys/{leaked_id}")).status_code == 204
    assert await list_working(child, further) == [True, True], "what descends from it ends nothing that was handed on"
    assert (await owner.delete(f"/v1/api-keys/{leaked_id}")).status_code == 204
    assert await list_working(owner, child, further) == [True, False, False]


async def test_no_key_ends_one_of_a_colleague_unless_it_issued_it(stage: Stage):
    """One of the two persons that an act takes locked the other out, also where only one key had leaked."""
    party = await stage.register("Startup", "startup")
    persons = {
        person: await issue(stage, stage.admin, scopes=["*"], party_id=party, **({"person": person} if person else {}))
        for person in ("p1", "p2", "")
    }
    for person, (_, client) in persons.items():
        for other, (key_id, _) in persons.items():
            if other != person:
                assert_problem(await client.delete(f"/v1/api-keys/{key_id}"), 403, "person_foreign")
    assert await list_working(*(client for _, client in persons.values())) == [True] * 3
    second_id, second = await issue(stage, persons["p1"][1], scopes=["*"])
    assert (await second.delete(f"/v1/api-keys/{persons['p1'][0]}")).status_code == 204, "a rotation"
    for key_id in (second_id, persons["p2"][0], persons[""][0]):
        assert (await stage.admin.delete(f"/v1/api-keys/{key_id}")).status_code == 204
    clerks = [
        await issue(stage, stage.admin, scopes=["*"], **named) for named in ({"person": "o1"}, {"person": "o2"}, {}, {})
    ]
    for number, (_, client) in enumerate(clerks):
        path = f"/v1/api-keys/{clerks[number - 1][0]}"
        assert_problem(await client.delete(path), 403, "person_foreign")
        assert_problem(await stage.post(client, f"{path}/suspend", {"reason": "x"}), 403, "person_foreign")
    child_id, _ = await issue(stage, clerks[2][1], scopes=["*:read"])
    for client, key_id in ((clerks[2][1], child_id), (stage.admin, clerks[0][0])):
        assert (await client.delete(f"/v1/api-keys/{key_id}")).status_code == 204


async def test_a_row_of_keys_that_issue_each_other_is_short_and_a_changed_issuer_ends_the_key(
    stage: Stage, database_url: str
):
    party = await stage.register("Startup", "startup")
    ids, client = [], stage.admin
    for _ in range(CHAIN_MAX):
        key_id, client = await issue(stage, client, party_id=party)
        ids.append(key_id)
    assert await list_working(client) == [True]
    body = {"name": "k", "scopes": ["*:read"]}
    assert_problem(await stage.post(client, "/v1/api-keys", body), 422, "keys_in_a_row")
    engine = build_engine(database_url)
    async with engine.begin() as connection:
        changed = {"key": ids[-1], "issuer": ids[0]}
        await connection.execute(sql("UPDATE api_keys SET issued_by = :issuer WHERE key_id = :key"), changed)
    ring = KeyRing(SECRET, ADMIN_KEY, SqlKeys(engine))
    with structlog.testing.capture_logs() as told, pytest.raises(Refusal, match="not valid"):
        await ring.admit(ids[-1])
    assert [line["key_id"] for line in told if line["event"] == "api_key_tampered"] == [ids[-1]]
    await ring.revoke(ids[0], by=ring.admin_key_id, keeps=True)
    with pytest.raises(Refusal, match="not valid"):
        await ring.admit(ids[-1])
    assert (await ring.admit(ids[1])).party_id == party
    await engine.dispose()


async def test_events_name_the_key_that_acted(stage: Stage):
    body = {"name": "clerk", "scopes": ["parties:write"]}
    issued = (await stage.post(stage.admin, "/v1/api-keys", body)).json()
    answer = await stage.post(await stage.open_client(issued["token"]), "/v1/parties", PARTY)
    feed = (await stage.admin.get("/v1/events", headers={"Min-Seq": await stage.reach()})).json()["items"]
    acted = {item["event"]["actorkey"] for item in feed if item["event"]["subject"] == f"party/{answer.json()['id']}"}
    assert acted == {issued["key_id"]}


async def test_every_key_ends_within_a_year_also_one_whose_end_nobody_states(stage: Stage):
    body = {"name": "robot", "scopes": ["orders:read"]}
    first, again = [await stage.post(stage.admin, "/v1/api-keys", body, key="k") for _ in range(2)]
    assert first.json() == again.json()
    days = (datetime.fromisoformat(first.json()["expires_at"]) - datetime.now(UTC)) / timedelta(days=1)
    assert days == pytest.approx(365, abs=0.1)
    later = {**body, "expires_at": (datetime.now(UTC) + timedelta(days=366)).isoformat()}
    assert_problem(await stage.post(stage.admin, "/v1/api-keys", later), 422, "expiry_too_late", "/expires_at")


async def test_a_clerk_of_the_platform_reads_no_sealed_offers(stage: Stage):
    body = {"name": "clerk", "scopes": ["*:read"]}
    clerk = await stage.open_client((await stage.post(stage.admin, "/v1/api-keys", body)).json()["token"])
    paths = ["orders", "orders/book", "quotes", "events", "auctions/auc_01jdm5v5tze1xa6a4sbz1gk3c4/book"]
    paths.append(paths[-1].replace("book", "decisions"))
    for path in paths:
        refused = await clerk.get(f"/v1/{path}")
        assert_problem(refused, 403, "scope_missing")
        assert "orders:sealed" in refused.text
    body = {"name": "auctioneer", "scopes": ["orders:read", "orders:sealed"]}
    auctioneer = await stage.open_client((await stage.post(stage.admin, "/v1/api-keys", body)).json()["token"])
    assert (await auctioneer.get("/v1/orders")).status_code == 200
    startup = await stage.register("Startup", "startup")
    assert (await (await stage.open_tenant(startup, ["*:read"])).get("/v1/orders")).status_code == 200


async def test_a_repeated_issue_answers_the_same_key_and_keeps_only_its_hmac(stage: Stage):
    body = {"name": "robot", "scopes": ["*"]}
    first = await stage.post(stage.admin, "/v1/api-keys", body, key="k")
    again = await stage.post(stage.admin, "/v1/api-keys", body, key="k")
    assert first.json() == again.json()
    assert again.headers["idempotent-replayed"] == "true"
    other = await stage.post(stage.admin, "/v1/api-keys", {**body, "name": "other"}, key="k")
    assert_problem(other, 422, "idempotency_key_reused")
    token = first.json()["token"]
    stored = await stage.services.keys.store.find(first.json()["key_id"])
    assert token.rsplit("_", 1)[1].encode() not in stored.hmac
    assert token not in (await stage.admin.get("/v1/api-keys")).text


async def test_a_revoked_key_is_shut_out_here_at_once_and_elsewhere_soon(stage: Stage, database_url: str):
    answer = await stage.post(stage.admin, "/v1/api-keys", {"name": "robot", "scopes": ["*"]})
    key_id, token = answer.json()["key_id"], answer.json()["token"]
    robot = await stage.open_client(token)
    assert (await robot.get("/v1/parties")).status_code == 200
    engine = build_engine(database_url)
    elsewhere = KeyRing(SECRET, ADMIN_KEY, SqlKeys(engine))
    assert (await elsewhere.verify(f"Bearer {token}")).key_id == key_id
    assert (await stage.admin.delete(f"/v1/api-keys/{key_id}")).status_code == 204
    assert_problem(await robot.get("/v1/parties"), 401, "credentials_invalid")
    await elsewhere.confirm()
    assert elsewhere._known == {}
    with pytest.raises(Refusal, match="not valid"):
        await elsewhere.verify(f"Bearer {token}")
    await engine.dispose()


async def test_known_keys_command_while_postgresql_is_away_and_reads_say_so(database_url: str):
    async with open_door(database_url) as door, open_stage(MemoryLog(), door.url) as stage:
        startup = await stage.register("Startup", "startup", usd="1000")
        tenant = await stage.open_tenant(startup)
        assert (await tenant.get(f"/v1/parties/{startup}", headers={"Min-Seq": "3"})).status_code == 200
        await door.shut()
        away = await tenant.get(f"/v1/parties/{startup}")
        assert_problem(away, 503, "postgresql_unavailable")
        assert int(away.headers["retry-after"]) >= 1
        account = f"/v1/accounts/acc{startup[3:]}/withdrawals"
        landed = await stage.post(tenant, account, {"amount_usd": "10", "reference": "a"})
        assert landed.status_code == 200, landed.text
        unknown = await stage.open_client(stage.services.keys.derive_token("key_01jdm5v5tze1xa6a4sbz1gk3c5"))
        assert_problem(await unknown.get("/v1/orders"), 503, "postgresql_unavailable")
        forged = await stage.open_client("mkp_01jdm5v5tze1xa6a4sbz1gk3c5_abcdefghijklmnopqrstuvwxyz")
        assert_problem(await forged.get("/v1/orders"), 401, "credentials_invalid")
        ready = await stage.admin.get("/health/ready")
        assert (ready.status_code, ready.json()["reads"]) == (200, False)
        await door.open()
        headers = {"Min-Seq": landed.headers["commit-seq"]}
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                answer = await tenant.get("/v1/balances?unit=USD", headers=headers)
                if answer.status_code == 200:
                    break
                await asyncio.sleep(0.1)
        assert any(row["amount"] == "990.00" for row in answer.json()["items"]), answer.text


async def test_known_keys_go_on_without_postgresql_for_a_bounded_time(stage: Stage, database_url: str):
    answer = await stage.post(stage.admin, "/v1/api-keys", {"name": "robot", "scopes": ["*"]})
    async with open_door(database_url) as door:
        engine = build_engine(door.url)
        ring = KeyRing(SECRET, ADMIN_KEY, SqlKeys(engine), offline_seconds_max=3.0)
        ended = []
        ring.list_streaming, ring.end_streams = lambda: [answer.json()["key_id"]], ended.append
        authorization = f"Bearer {answer.json()['token']}"
        await ring.verify(authorization)
        await door.shut()
        await asyncio.sleep(1.0)
        with pytest.raises(Unavailable):
            await ring.confirm()
        assert (await ring.verify(authorization)).key_id == answer.json()["key_id"]
        assert ended == []
        await asyncio.sleep(2.5)
        with pytest.raises(Unavailable, match="cannot be confirmed"):
            await ring.verify(authorization)
        with pytest.raises(Unavailable):
            await ring.confirm()
        assert ended == [answer.json()["key_id"]]
        assert (await ring.verify(f"Bearer {ADMIN_KEY}")).party_id is None
        await engine.dispose()


async def test_a_suspended_key_is_resumed_and_a_retried_command_does_nothing_more(stage: Stage):
    answer = await stage.post(stage.admin, "/v1/api-keys", {"name": "robot", "scopes": ["*"]})
    path, robot = f"/v1/api-keys/{answer.json()['key_id']}", await stage.open_client(answer.json()["token"])
    suspended = await stage.post(stage.admin, f"{path}/suspend", {"reason": "leaked"}, key="s")
    assert suspended.json()["suspended_at"] is not None
    assert_problem(await robot.get("/v1/parties"), 401, "credentials_invalid")
    resumed = await stage.post(stage.admin, f"{path}/resume", {"reason": "not leaked"}, key="r")
    assert resumed.json()["suspended_at"] is None
    again = await stage.post(stage.admin, f"{path}/suspend", {"reason": "leaked"}, key="s")
    assert (again.status_code, again.json()["suspended_at"]) == (200, None)
    assert (await robot.get("/v1/parties")).status_code == 200
    other = await stage.post(stage.admin, f"{path}/suspend", {"reason": "other"}, key="s")
    assert_problem(other, 422, "idempotency_key_reused")
    assert (await stage.admin.delete(path)).status_code == 204
    refused = await stage.post(stage.admin, f"{path}/resume", {"reason": "again"})
    assert_problem(refused, 409, "key_revoked")
    startup = await stage.register("Startup", "startup")
    tenant = await stage.open_tenant(startup)
    assert_problem(await stage.post(tenant, f"{path}/suspend", {"reason": "x"}), 403, "platform_only")


async def test_a_key_that_ends_issues_none_that_lasts_longer(stage: Stage):
    def after(hours: float) -> str:
        return (datetime.now(UTC) + timedelta(hours=hours)).isoformat()

    past = {"name": "a", "scopes": ["*"], "expires_at": after(-1)}
    assert_problem(await stage.post(stage.admin, "/v1/api-keys", past), 422, "expiry_past", "/expires_at")
    ending = await stage.post(stage.admin, "/v1/api-keys", {"name": "a", "scopes": ["*"], "expires_at": after(1)})
    keeper = await stage.open_client(ending.json()["token"])
    body = {"name": "b", "scopes": ["*"], "expires_at": after(2)}
    assert_problem(await stage.post(keeper, "/v1/api-keys", body), 422, "expiry_too_late", "/expires_at")
    unstated = await stage.post(keeper, "/v1/api-keys", {"name": "b", "scopes": ["*"]})
    assert unstated.json()["expires_at"] == ending.json()["expires_at"]
    body = {"name": "b", "scopes": ["*"], "expires_at": after(0.5)}
    first, again = [await stage.post(keeper, "/v1/api-keys", body, key="k") for _ in range(2)]
    assert first.json() == again.json()
    assert again.headers["idempotent-replayed"] == "true"


async def test_a_changed_row_is_named_in_the_log_and_the_admin_key_needs_its_secret(stage: Stage, database_url: str):
    answer = await stage.post(stage.admin, "/v1/api-keys", {"name": "robot", "scopes": ["orders:read"]})
    engine = build_engine(database_url)
    async with engine.begin() as connection:
        await connection.execute(sql("""UPDATE api_keys SET scopes = '["*"]'"""))
    ring = KeyRing(SECRET, ADMIN_KEY, SqlKeys(engine))
    with structlog.testing.capture_logs() as told, pytest.raises(Refusal, match="not valid"):
        await ring.verify(f"Bearer {answer.json()['token']}")
    assert [(line["event"], line["key_id"]) for line in told] == [("api_key_tampered", answer.json()["key_id"])]
    derived = ring.derive_token("key_01jdm5v5tze1xa6a4sbz1gk3c4")
    with pytest.raises(Refusal, match="not valid"):
        await ring.verify(f"Bearer {derived}")
    await engine.dispose()


async def test_more_requests_at_once_than_a_key_may_have_are_refused():
    async with open_stage(MemoryLog(), requests_at_once_max=2) as stage:
        answers = await asyncio.gather(*(stage.post(stage.admin, "/v1/parties", PARTY) for _ in range(6)))
        codes = sorted(answer.status_code for answer in answers)
        assert codes == [201, 201, 429, 429, 429, 429]
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert_problem(refused, 429, "requests_exhausted")
        assert refused.headers["retry-after"] == "1"
        assert (await stage.post(stage.admin, "/v1/parties", PARTY)).status_code == 201


async def test_a_key_is_held_to_its_rate():
    async with open_stage(MemoryLog(), requests_per_minute_max=3) as limited:
        answers = [await limited.post(limited.admin, "/v1/parties", PARTY) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [201, 201, 201, 429, 429]
        assert [answer.headers["ratelimit-remaining"] for answer in answers[:3]] == ["2", "1", "0"]
        assert answers[0].headers["ratelimit-limit"] == "3"
        assert answers[0].headers["ratelimit-policy"] == "3;w=60"
        assert_problem(answers[4], 429, "rate_limited")
        assert 1 <= int(answers[4].headers["retry-after"]) <= 120


async def test_guesses_from_one_address_are_held_to_a_rate():
    async with open_stage(MemoryLog(), anonymous_requests_per_minute_max=2) as stage:
        anybody = await stage.open_client(None)
        assert (await anybody.get("/v1/market/public")).status_code == 401, "it is closed by default"
        client = await stage.open_client("mkp_01jdm5v5tze1xa6a4sbz1gk3c5_abcdefghijklmnopqrstuvwxyz")
        assert [(await client.get("/v1/parties")).status_code for _ in range(3)] == [401, 429, 429]
        assert (await stage.admin.get("/v1/events")).status_code == 200


def test_a_ring_without_a_proper_secret_or_first_key_does_not_start():
    with pytest.raises(ValueError, match="32 or more"):
        KeyRing(b"short", ADMIN_KEY, None)
    with pytest.raises(ValueError, match="must be mkp_"):
        KeyRing(SECRET, "admin", None)


def test_each_caller_has_a_window_of_its_own():
    limit, answer = RateLimit(2), []
    for _ in range(2):
        limit.hit("a", [])
    with pytest.raises(Refusal) as caught:
        limit.hit("a", [])
    assert caught.value.code == "rate_limited"
    assert 1 <= caught.value.facts["retry_after_seconds"] <= 60
    limit.hit("b", answer)
    assert dict(answer)[b"ratelimit-remaining"] == b"1"


async def test_ready_tells_that_the_tables_are_not_there(database_url: str):
    async with open_stage(MemoryLog(), database_url) as stage:
        async with stage.services.get_engine().begin() as connection:
            await connection.execute(sql("DROP TABLE projection_positions CASCADE"))
        ready = await stage.admin.get("/health/ready")
        assert (ready.status_code, ready.json()["reads"]) == (200, False)
        assert "marketplace migrate" in ready.json()["reason"]


async def test_a_key_is_suspended_and_revoked_while_nats_is_away(database_url: str, tmp_path: Path):
    async with embedded_nats(tmp_path / "nats") as servers:
        log = await JetStreamLog.open(servers.url, admin_url=servers.admin_url)
        async with open_stage(log, database_url) as stage:
            answer = await stage.post(stage.admin, "/v1/api-keys", {"name": "robot", "scopes": ["*"]})
            path, robot = f"/v1/api-keys/{answer.json()['key_id']}", await stage.open_client(answer.json()["token"])
            assert (await robot.get("/v1/parties")).status_code == 200
            servers.kill(0)
            body = {"name": "Acme", "roles": ["startup"], "jurisdiction": "US"}
            begun = time.monotonic()
            suspend = asyncio.create_task(stage.post(stage.admin, f"{path}/suspend", {"reason": "leaked"}, key="s"))
            while (await robot.get("/v1/parties")).status_code == 200:  # noqa: ASYNC110 - each turn asks the API
                await asyncio.sleep(0.05)
            assert time.monotonic() - begun < UNLOGGED_SECONDS_MAX + 1
            suspended = await suspend
            assert suspended.json()["suspended_at"] is not None
            again = await stage.post(stage.admin, f"{path}/suspend", {"reason": "leaked"}, key="s")
            assert (again.status_code, again.json()) == (200, suspended.json())
            other = await stage.post(stage.admin, f"{path}/suspend", {"reason": "other"}, key="s")
            assert_problem(other, 422, "idempotency_key_reused")
            for _ in range(2):
                assert (await stage.admin.delete(path, headers={"Idempotency-Key": "d"})).status_code == 204
            assert_problem(await robot.get("/v1/parties"), 401, "credentials_invalid")
            await servers.start(0)
            assert (await stage.admin.delete(path, headers={"Idempotency-Key": "d"})).status_code == 204
            assert_problem(await stage.post(stage.admin, "/v1/parties", body, key="d"), 422, "idempotency_key_reused")
        await log.close()
