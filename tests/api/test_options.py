"""OPTIONS names what may be sent to a path, as the OpenAPI document does."""

import re

from marketplace.api.http.known_values import PREFIXED
from marketplace.log.memory import MemoryLog
from tests.api.stage import Stage, open_stage


def fill(path: str) -> str:
    """Return a path with an id of its kind in the place of each parameter."""
    return re.sub(r"\{(\w+?)(?:_id)?\}", lambda one: f"{PREFIXED.get(one[1], 'pty')}_01jdm5v5tze1xa6a4sbz1gk3c4", path)


async def ask(stage: Stage, path: str, method: str = "OPTIONS") -> list[str]:
    answer = await stage.admin.request(method, fill(path))
    assert answer.status_code == (204 if method == "OPTIONS" else 405), (path, answer.text)
    assert len(answer.headers.get_list("allow")) == 1
    return answer.headers["allow"].split(", ")


async def test_options_and_refused_methods_name_what_the_document_has():
    async with open_stage(MemoryLog(), requests_per_minute_max=100_000) as stage:
        paths = (await stage.admin.get("/schema/openapi.json")).json()["paths"]
        assert len(paths) > 90
        for path, item in paths.items():
            heads = {"HEAD"} if "get" in item else set()
            documented = sorted({"OPTIONS", *heads, *(method.upper() for method in item)})
            assert await ask(stage, path) == documented, path
            for method in ("TRACE", "PROPFIND", "QUERY"):
                assert sorted(await ask(stage, path, method)) == documented, path


async def test_who_may_read_may_ask_what_else_there_is(database_url: str):
    async with open_stage(MemoryLog(), database_url) as stage:
        party_id = await stage.register("Acme", "startup")
        reader = await stage.open_tenant(party_id, ("*:read",))
        assert (await reader.options("/v1/orders")).headers["allow"] == "GET, HEAD, OPTIONS, POST"
        stranger = await stage.open_client(None)
        assert (await stranger.options("/v1/orders")).status_code == 401
