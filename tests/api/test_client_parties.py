"""The typed client on parties, keys, accounts and health: each method asks a running API, and its answer is right."""

import csv
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal

import httpx
import pytest

from marketplace.client import MarketplaceClient, ProblemError
from marketplace.core.ids import rename_id
from marketplace.embedded.nats import NatsServers
from marketplace.log.jetstream import JetStreamLog
from marketplace.log.memory import MemoryLog
from marketplace.log.port import Limits
from tests.api.doors import open_door
from tests.api.rows import ABSENT
from tests.api.stage import ADMIN_KEY, Stage, open_stage
from tests.support.servers import open_log

STARTUP = {"name": "Acme", "roles": ("startup",), "jurisdiction": "US"}
PROVIDER = {"name": "Plant", "roles": ("provider",), "jurisdiction": "US"}


@asynccontextmanager
async def speak(stage: Stage, token: str = ADMIN_KEY) -> AsyncIterator[MarketplaceClient]:
    async with MarketplaceClient("http://test", token, httpx.ASGITransport(stage.application)) as client:
        yield client


async def refuse(asked) -> str:
    """Return the code under which the market says no."""
    with pytest.raises(ProblemError) as caught:
        await asked
    return caught.value.code


async def test_parties_are_listed_and_one_is_suspended(database_url: str):
    async with open_stage(MemoryLog(), database_url) as stage, speak(stage) as client:
        startup, provider = await client.parties.register(**STARTUP), await client.parties.register(**PROVIDER)
        assert [each.name async for each in client.parties.list()] == ["Acme", "Plant"]
        assert [each.name async for each in client.parties.list_names(party_id=[provider.id])] == ["Plant"]
        assert [each.party_id async for each in client.parties.list(role="provider")] == [provider.id]
        seen = await client.parties.get(startup.id)
        assert (seen.name, seen.roles, seen.status, seen.last_sequence) == (
            "Acme",
            ("startup",),
            "registered",
            startup.version,
        )
        await client.parties.clear(startup.id, checks=("sanctions",))
        assert (
            await refuse(client.parties.suspend(startup.id, reason="x", if_match=seen.last_sequence)) == "version_stale"
        )
        suspended = await client.parties.suspend(startup.id, reason="sanctions", key="suspend")
        assert await client.parties.suspend(startup.id, reason="sanctions", key="suspend") == suspended
        (found,) = [each async for each in client.parties.list(status="suspended")]
        assert (found.party_id, found.reason, found.last_sequence) == (startup.id, "sanctions", suspended.version)
        assert await refuse(client.parties.get(f"pty_{ABSENT}")) == "party_unknown"


async def test_a_key_speaks_for_its_party_until_it_is_revoked(database_url: str):
    async with open_stage(MemoryLog(), database_url) as stage, speak(stage) as client:
        startup, other = await client.parties.register(**STARTUP), await client.parties.register(**STARTUP)
        issued = await client.api_keys.issue(name="ours", scopes=("*",), party_id=startup.id)
        async with speak(stage, issued.token) as tenant:
            tenant.last_sequence = client.last_sequence
            assert (await tenant.parties.get(startup.id)).party_id == startup.id
            assert [each.party_id async for each in tenant.parties.list()] == [startup.id]
            assert await refuse(tenant.parties.get(other.id)) == "party_unknown"
            assert await refuse(tenant.parties.suspend(startup.id, reason="we stop")) == "platform_only"
            assert [(each.key_id, each.name, each.revoked_at) async for each in tenant.api_keys.list()] == [
                (issued.key_id, "ours", None)
            ]
            assert await refuse(tenant.api_keys.revoke(f"key_{ABSENT}")) == "key_unknown"
            assert (await client.api_keys.suspend(issued.key_id, reason="leaked")).suspended_at is not None
            assert (await client.api_keys.resume(issued.key_id, reason="not leaked")).suspended_at is None
            assert await refuse(tenant.api_keys.suspend(issued.key_id, reason="mine")) == "platform_only"
            assert await refuse(client.api_keys.resume(f"key_{ABSENT}", reason="x")) == "key_unknown"
            assert await client.api_keys.revoke(issued.key_id) is None
            assert await refuse(tenant.parties.get(startup.id)) == "credentials_invalid"
        assert await client.api_keys.revoke(issued.key_id) is None, "a repeat changes nothing"
        (gone,) = [each async for each in client.api_keys.list()]
        assert gone.revoked_at is not None


async def test_accounts_tell_their_entries_and_statements_in_every_form(database_url: str):
    async with open_stage(MemoryLog(), database_url) as stage, speak(stage) as client:
        party_id = (await client.parties.register(**STARTUP)).id
        await client.parties.clear(party_id, checks=("sanctions",))
        account_id, now = rename_id("acc", party_id), (await client.clock.get()).now
        booked = now - timedelta(days=3)
        deposited = await client.accounts.deposit(
            account_id, amount_usd=Decimal(100), reference="wire 1", booked_at=booked
        )
        await client.accounts.withdraw(account_id, amount_usd=Decimal("40.50"), reference="wire 2")
        account = await client.accounts.get(account_id)
        assert account.reserved_usd == 0
        assert (account.party_id, account.unit, account.closed_at) == (party_id, "USD", None)
        assert [each async for each in client.accounts.list()] == [account]
        assert await refuse(client.accounts.get(f"acc_{ABSENT}")) == "account_unknown"
        entries = [each async for each in client.accounts.list_entries(account_id=account_id)]
        assert [(each.amount, each.cause) for each in entries] == [(100, "wire 1"), (Decimal("-40.50"), "wire 2")]
        assert (entries[0].occurred_at, entries[0].sequence) == (booked, deposited.sequence - 1)
        (ledger,) = {each.account for each in entries}
        assert [each async for each in client.accounts.list_entries(account=ledger)] == entries
        assert len([each async for each in client.accounts.list_entries(party_id=party_id)]) == 2
        assert len([each async for each in client.accounts.list_entries()]) == 4, (
            "two lines outside the market balance them"
        )
        (balance,) = [each async for each in client.accounts.list_balances(party_id=party_id, at=deposited.sequence)]
        assert balance.amount == 100
        recorded = {"start": now - timedelta(days=1), "end": now + timedelta(days=1)}
        statement = (await client.accounts.get_statement_csv(account_id, **recorded)).decode()
        lines = list(csv.DictReader(io.StringIO(statement)))
        assert [(line["event"], line["amount"], line["balance"]) for line in lines if line["sequence"]] == [
            ("account.deposited.v1", "100.00", "100.00"),
            ("account.withdrawn.v1", "-40.50", "59.50"),
        ]
        occurred = (await client.accounts.get_statement_csv(account_id, **recorded, basis="occurred")).decode()
        assert "wire 2" in occurred
        assert "wire 1" not in occurred, "it was booked before the span"
        page = (await client.accounts.get_statement_html(account_id, **recorded)).decode()
        assert page.startswith("<!doctype html>")
        assert "59.50" in page
        assert await refuse(client.accounts.get_statement_html(f"acc_{ABSENT}", **recorded)) == "account_unknown"


async def test_a_hold_is_captured_and_released_and_an_account_closes(database_url: str):
    async with open_stage(MemoryLog(), database_url) as stage, speak(stage) as client:
        payer, payee = [rename_id("acc", await stage.register(name, "startup")) for name in ("Acme", "Heir")]
        await client.accounts.deposit(payer, amount_usd=Decimal(100), reference="wire 1")
        until = (await client.clock.get()).now + timedelta(days=1)
        body = {"payee_account_id": payee, "amount_usd": Decimal(60), "expires_at": until}
        assert await refuse(client.accounts.place_hold(payer, **body)) == "payer_only"
        owner = (await stage.open_tenant(rename_id("pty", payer))).headers["authorization"].removeprefix("Bearer ")
        async with speak(stage, owner) as paying:
            hold_id = (await paying.accounts.place_hold(payer, **body)).id
        assert await refuse(client.accounts.close(payer, reason="leaves")) == "holds_left"
        await client.accounts.capture_hold(payer, hold_id, amount_usd=Decimal(25))
        await client.accounts.release_hold(payer, hold_id, reason="delivered less")
        (hold,) = [each async for each in client.accounts.list_holds(payer)]
        assert (hold.hold_id, hold.left_usd, hold.captured_usd) == (hold_id, 0, 25)
        await client.accounts.withdraw(payer, amount_usd=Decimal(75), reference="wire 2")
        await client.accounts.close(payer, reason="leaves")
        assert (await client.accounts.get(payer)).closed_at is not None
        paid = [each async for each in client.accounts.list_balances(party_id=rename_id("pty", payee))]
        assert [each.amount for each in paid] == [25]


async def test_health_is_told_to_whoever_asks(database_url: str):
    async with open_stage(MemoryLog(), database_url) as stage, speak(stage) as client:
        sequence = (await client.parties.register(**STARTUP)).sequence
        _ = [each async for each in client.parties.list()]
        async with speak(stage, "mkp_of_nobody") as anyone:
            assert (await anyone.operation.get_liveness()).status == "live"
            ready = await anyone.operation.get_readiness()
        assert (ready.commands, ready.reads) == (True, True)
        assert ready.log_sequence == ready.projected_sequence == sequence


async def test_readiness_is_told_at_once_where_nats_is_away(nats_server: NatsServers):
    limits = Limits(append_seconds_max=3.0, ack_seconds_max=1.0)
    async with open_log(nats_server), open_door(nats_server.url) as door:
        log = await JetStreamLog.open(door.url, limits=limits)
        async with open_stage(log) as stage, speak(stage) as client:
            assert (await client.operation.get_readiness()).commands
            await door.shut()
            away = await client.operation.get_readiness()
            assert (away.commands, away.reads, away.log_sequence) == (False, False, None)
            assert (await client.operation.get_liveness()).status == "live"
            await door.open()
        await log.close()
