"""Every instant and every date of every request body: what no reader could store is refused where it stands."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from events.instants import REQUESTED
from marketplace.log.memory import MemoryLog
from tests.api.documented import read_document
from tests.api.meters import BATCH, HOURS, open_site
from tests.api.stage import open_stage

EDGES = {
    "date-time": (
        "0001-01-01T00:00:00+23:59",
        "0001-01-01T00:00:00Z",
        "1799-12-31T23:59:59Z",
        "1800-01-01T00:00:00+00:01",
        "2200-01-01T00:00:00Z",
        "2199-12-31T23:59:59-00:01",
        "9999-12-31T23:59:59-23:59",
    ),
    "date": ("0001-01-01", "1799-12-31", "2200-01-01", "9999-12-31"),
}
INSIDE = {"date-time": ("2027-03-01T10:00:00+05:30", "1800-01-01T00:00:00Z"), "date": ("1800-01-01", "2199-12-31")}
READINGS = "/v1/usage"
"""Its readings are answered one by one; see below."""


def list_members(document, schema, seen=()) -> Iterator[tuple[tuple[Any, ...], str, tuple[Any, ...]]]:
    """Yield each instant and date below a schema: its path, its format, and the tags of the objects on that path.

    A tag is the place of an object in the path, the tag's name and its value.
    """
    name = schema.get("$ref")
    if name in seen:
        return
    if name is not None:
        schema, seen = document["components"]["schemas"][name.rpartition("/")[2]], (*seen, name)
    if schema.get("format") in EDGES:
        yield (), schema["format"], ()
    for part in (*schema.get("oneOf", ()), *schema.get("anyOf", ()), *schema.get("allOf", ())):
        yield from list_members(document, part, seen)
    fixed = tuple(
        (0, member, each["const"]) for member, each in schema.get("properties", {}).items() if "const" in each
    )
    below = [(member, each) for member, each in schema.get("properties", {}).items()]
    below += [(0, schema["items"])] if isinstance(schema.get("items"), dict) else []
    below += [("any", each) for each in [schema.get("additionalProperties")] if isinstance(each, dict)]
    for member, each in below:
        for path, kind, tags in list_members(document, each, seen):
            yield (member, *path), kind, (*fixed, *((place + 1, tag, value) for place, tag, value in tags))


def build_body(path, tags, value):
    """Return the body that holds a value at a path, with the tags on the way and nothing else."""
    for place in range(len(path) - 1, -1, -1):
        own = {tag: text for at, tag, text in tags if at == place}
        value = [value] if path[place] == 0 else {path[place]: value, **own}
    return value


def fill(route, operation):
    """Return the path of an operation with ids that name nothing."""
    for parameter in operation["parameters"]:
        prefix = re.match(r"\^([a-z]{3}_)", parameter["schema"].get("pattern", ""))
        name = (prefix[1] if prefix else "") + "01jdm5v5tze1xa6a4sbz1gk3c0"
        route = route.replace(f"{{{parameter['name']}}}", name)
    return route


async def test_every_instant_and_date_of_every_body_is_bounded():
    asked, let_in = set(), []
    async with open_stage(MemoryLog()) as stage:
        document = await read_document(stage.admin)
        for route, item in document["paths"].items():
            for method, operation in item.items():
                content = operation.get("requestBody", {}).get("content", {}).get("application/json")
                if content is None or route == READINGS:
                    continue
                for path, kind, tags in set(list_members(document, content["schema"])):
                    pointer = "".join(f"/{step}" for step in path)
                    asked.add((operation["operationId"], pointer))
                    address = fill(route, operation)
                    for text in EDGES[kind] + INSIDE[kind]:
                        body = build_body(path, tags, text)
                        headers = {"Idempotency-Key": f"{operation['operationId']}{pointer}{text}"}
                        answer = await stage.admin.request(method, address, json=body, headers=headers)
                        told = {each["pointer"]: each["detail"] for each in answer.json().get("errors", ())}
                        if (told.get(pointer) == REQUESTED) != (text in EDGES[kind]) or answer.status_code >= 500:
                            let_in.append((operation["operationId"], body, answer.status_code, answer.text[:200]))
    assert not let_in, "\n".join(map(str, let_in))
    assert len(asked) > 80
    assert {("lots.offer", "/end"), ("orders.place", "/terms/start_latest"), ("pools.fail_nodes", "/at")} <= asked


async def test_a_body_out_of_bounds_is_refused_with_all_its_faults():
    async with open_stage(MemoryLog()) as stage:
        body = {"nodes": "two", "at": "0001-01-01T00:00:00+23:59", "incident_id": "i1"}
        answer = await stage.admin.post(
            "/v1/pools/pol_01jdm5v5tze1xa6a4sbz1gk3c0/fail-nodes", json=body, headers={"Idempotency-Key": "k"}
        )
    assert (answer.status_code, answer.json()["code"]) == (422, "body_invalid")
    assert {each["pointer"] for each in answer.json()["errors"]} == {"/nodes", "/at"}


@pytest.mark.parametrize("member", ["start", "end"])
async def test_a_reading_out_of_bounds_is_rejected_alone(member: str):
    async with open_site(MemoryLog()) as site:
        grant_id = await site.grant()
        readings = [site.event(grant_id, f"r{number}", number, number + 1) for number in range(3)]
        readings[1]["data"][member] = EDGES["date-time"][0]
        answer = await site.stage.admin.post(READINGS, json=readings, headers=BATCH)
        told = [(each["outcome"], each.get("pointer")) for each in answer.json()["readings"]]
    assert told == [("accepted", None), ("rejected", f"/1/data/{member}"), ("accepted", None)]
    assert len(readings) < HOURS


@pytest.mark.parametrize("text", EDGES["date-time"])
async def test_a_query_out_of_bounds_is_told_so(text: str):
    async with open_stage(MemoryLog()) as stage:
        answer = await stage.admin.get("/v1/events", params={"from": text})
    assert answer.status_code == 422
    assert answer.json()["detail"] == f"{text} {REQUESTED}; state a time within them"
