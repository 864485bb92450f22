"""The file of requests is sent as it stands, its variables filled in, and again once the test clock has moved on."""

import re
from itertools import count

import httpx

from marketplace.log.memory import MemoryLog
from tests.api.stage import get_id, open_stage

VARIABLE = re.compile(r"{{([^}]+)}}")
CLOCK = count(1_700_000_000)
"""What `$timestamp` stands for: each request is sent in a second of its own."""


async def send(client: httpx.AsyncClient, text: str, operation_id: str, variables: dict[str, str]) -> httpx.Response:
    """Send a request of the file, with the variables that its head declares."""
    declared = dict(re.findall(r"^@(\w+) = (.*)$", text, re.MULTILINE)) | variables
    (request,) = [part for part in text.split("### ")[1:] if part.startswith(f"{operation_id}:")]
    declared["$timestamp"] = str(next(CLOCK))
    filled = VARIABLE.sub(lambda one: declared[one[1]], request)
    head, _, body = filled.partition("\n\n")
    _, line, *headers = head.splitlines()
    method, address = line.split(" ", 1)
    sent = dict(each.split(": ", 1) for each in headers)
    return await client.request(method, address, headers=sent, content=body.strip() or None)


async def test_the_file_uses_no_variable_that_one_editor_alone_knows():
    """JetBrains' editors do not know `$guid`, and VS Code does not know `$uuid`: such a key was sent as it stood."""
    async with open_stage(MemoryLog()) as stage:
        text = (await stage.admin.get("/schema/requests.http")).text
    assert {name for name in VARIABLE.findall(text) if name.startswith("$")} == {"$timestamp"}
    keys = re.findall(r"^Idempotency-Key: (.+)$", text, re.MULTILINE)
    assert len(set(keys)) == len(keys), "two requests of one second are two commands"


async def test_the_main_chain_of_the_file_is_sent_twice_to_one_market(database_url: str):
    async with open_stage(MemoryLog(), database_url, embedded=True) as stage:
        startup, provider = await stage.register("Startup", "startup"), await stage.register("Provider", "provider")
        keys = {}
        for name, party_id in (("startup", startup), ("provider", provider)):
            body = {"name": name, "scopes": ["*"], "party_id": party_id}
            keys[name] = (await stage.post(stage.admin, "/v1/api-keys", body)).json()["token"]
        admin = stage.admin.headers["authorization"].removeprefix("Bearer ")
        variables = {"startup_id": startup, "provider_id": provider, "account_id": f"acc{startup[3:]}"}
        made = []
        async with httpx.AsyncClient(transport=httpx.ASGITransport(stage.application)) as client:
            for _ in range(2):
                text = (await stage.admin.get("/schema/requests.http")).text
                for operation_id, key, name in (
                    ("parties.register", admin, "party_id"),
                    ("parties.clear", admin, None),
                    *[("accounts.deposit", admin, None)] * 24,
                    ("sites.register", keys["provider"], "site_id"),
                    ("pools.open", keys["provider"], "pool_id"),
                    ("lots.offer", keys["provider"], "lot_id"),
                    ("orders.place", keys["startup"], "order_id"),
                    ("orders.cancel", keys["startup"], None),
                ):
                    answer = await send(client, text, operation_id, {**variables, "key": key})
                    assert answer.is_success, (operation_id, answer.text)
                    if name is not None:
                        variables[name] = get_id(answer)
                        made.append(variables[name])
                await stage.post(stage.admin, "/v1/test/clock", {"seconds": 500 * 86_400})
            for operation_id in ("issuers.list_holdings", "statements.sum_earnings"):
                named = {"holder_id": startup, "party_id": provider, "key": admin}
                named |= {"start": "2026-01-01T00:00:00Z", "end": "2026-02-01T00:00:00Z"}
                answer = await send(client, text, operation_id, named)
                assert answer.status_code == 200, "the platform names whose they are"
        assert len(set(made)) == len(made) == 10
