"""The AsyncAPI document has no loose end, and its examples are what its own schemas allow."""

import json
import re
from typing import Any

import pytest
from jsonschema import Draft7Validator, FormatChecker
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

from events.registry import AGGREGATES, EVENT_TYPES, render_type
from events.subjects import parse_subject
from marketplace.log.memory import MemoryLog
from scripts.contract_files import FOLDER, load_sample
from tests.api.stage import open_stage

DOCUMENT: dict[str, Any] = json.loads((FOLDER / "asyncapi.json").read_text(encoding="utf-8"))
MESSAGES: dict[str, Any] = DOCUMENT["components"]["messages"]
FEED = ("feed_page", "feed_stream")
SUBJECTS = {name: channel for name, channel in DOCUMENT["channels"].items() if name not in FEED}


def resolve(reference: str) -> Any:
    value: Any = DOCUMENT
    for part in reference.removeprefix("#/").split("/"):
        value = value[part]
    return value


def build_validator(tag: str, part: str) -> Draft7Validator:
    resource = Resource(contents=DOCUMENT, specification=DRAFT7)
    registry: Registry[Any] = Registry().with_resource("urn:document", resource)
    schema = {"$ref": f"urn:document#/components/messages/{render_key(tag)}/{part}"}
    return Draft7Validator(schema, registry=registry, format_checker=FormatChecker(["date-time", "date"]))


def render_key(tag: str) -> str:
    return tag.replace(".", "_")


def test_there_is_a_channel_for_every_aggregate_on_its_literal_subject() -> None:
    addresses = {name: parse_subject(channel["address"]) for name, channel in SUBJECTS.items()}
    assert addresses == {aggregate: (aggregate, f"{{{aggregate}_id}}") for aggregate in AGGREGATES}


def test_every_event_type_is_a_message_of_its_aggregates_channel() -> None:
    named = {
        resolve(message["$ref"])["name"]: name
        for name, channel in SUBJECTS.items()
        for message in channel["messages"].values()
    }
    assert named == {render_type(tag): tag.partition(".")[0] for tag in EVENT_TYPES}


def test_every_channel_has_one_operation_that_receives_all_of_its_messages() -> None:
    for operation in DOCUMENT["operations"].values():
        assert operation["action"] == "receive"
        received = [resolve(message["$ref"]) for message in operation["messages"]]
        assert received == list(resolve(operation["channel"]["$ref"])["messages"].values())
    channels = [operation["channel"]["$ref"] for operation in DOCUMENT["operations"].values()]
    assert channels == [f"#/channels/{aggregate}" for aggregate in (*AGGREGATES, *FEED)]


@pytest.mark.parametrize("name", FEED)
async def test_the_feed_over_http_is_described_as_it_answers(name: str) -> None:
    channel = DOCUMENT["channels"][name]
    assert {resolve(each["$ref"])["protocol"] for each in channel["servers"]} == {"http"}
    assert {each["$ref"] for of in SUBJECTS.values() for each in of["servers"]} == {"#/servers/nats"}
    (message,) = channel["messages"].values()
    (example,) = message["examples"]
    validator = Draft7Validator(message["payload"], format_checker=FormatChecker(["date-time"]))
    validator.validate(example["payload"])
    query = DOCUMENT["operations"][f"receive_{name}"]["bindings"]["http"]["query"]["properties"]
    async with open_stage(MemoryLog()) as stage:
        await stage.register("Acme", "startup")
        operation = (await stage.admin.get("/schema/openapi.json")).json()["paths"][channel["address"]]["get"]
        page = (await stage.admin.get(channel["address"])).json()
    assert set(query) <= {
        each.get("name", each.get("$ref", "").rpartition("/")[2].removesuffix(".query"))
        for each in operation["parameters"]
    }
    for payload in [page] if name == "feed_page" else page["items"]:
        validator.validate(payload)


def test_every_object_has_a_title_so_that_generators_name_its_type() -> None:
    untitled, parts = [], [DOCUMENT]
    while parts:
        part = parts.pop()
        parts += part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
        if isinstance(part, dict) and part.get("type") == "object" and "properties" in part and "title" not in part:
            untitled.append(part["properties"])
    assert untitled == []


def test_every_reference_leads_somewhere_and_no_component_is_idle() -> None:
    references = set(re.findall(r'"\$ref": ?"([^"]+)"', json.dumps(DOCUMENT)))
    assert all(resolve(reference) for reference in references)
    components = {f"#/components/{kind}/{name}" for kind, named in DOCUMENT["components"].items() for name in named}
    assert components <= references


@pytest.mark.parametrize("tag", sorted(EVENT_TYPES))
def test_the_example_of_a_message_is_its_golden_sample_and_valid(tag: str) -> None:
    (example,) = MESSAGES[render_key(tag)]["examples"]
    assert {"headers": example["headers"], "body": example["payload"]} == load_sample(tag)
    build_validator(tag, "payload").validate(example["payload"])
    build_validator(tag, "headers").validate(example["headers"])


@pytest.mark.parametrize(
    ("header", "value"),
    [("ce-type", "marketplace.lot.listed.v2"), ("ce-specversion", "0.3"), ("ce-time", "yesterday"), ("ce-id", "")],
)
def test_wrong_headers_are_invalid(header: str, value: str) -> None:
    headers = {**load_sample("lot.listed.v1")["headers"], header: value}
    assert not build_validator("lot.listed.v1", "headers").is_valid(headers)


@pytest.mark.parametrize("header", ["content-type", "ce-id", "ce-source", "ce-subject", "ce-dataschema", "ce-actor"])
def test_a_missing_header_is_invalid(header: str) -> None:
    headers = load_sample("lot.listed.v1")["headers"]
    del headers[header]
    assert not build_validator("lot.listed.v1", "headers").is_valid(headers)
