"""Every event type has a golden sample that is read, written again and validated, for ever."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_binary
from cloudevents.core.formats.json import JSONFormat
from jsonschema import Draft202012Validator, FormatChecker

from events.envelope import parse_headers, render_headers
from events.registry import EVENT_TYPES, get_tag, parse_body, parse_type, render_body, render_schema_name
from events.rendering.contract import render_json
from events.rendering.json_schema import render_schema_id
from scripts.contract_files import FOLDER, load_sample, load_schema
from tests.contracts.story.book import build_samples

TAGS = sorted(EVENT_TYPES)
FORMATS = FormatChecker(formats=["date-time", "date"])


def render_stored_body(sample: dict[str, Any]) -> bytes:
    """Return the bytes of the body: the sample's, without white space."""
    return json.dumps(sample["body"], separators=(",", ":"), ensure_ascii=False).encode()


def build_validator(tag: str) -> Draft202012Validator:
    return Draft202012Validator(load_schema(tag), format_checker=FORMATS)


def test_there_is_a_sample_for_every_tag_and_no_other() -> None:
    assert {path.name for path in (FOLDER / "samples").iterdir()} == {f"{tag}.json" for tag in TAGS}


@pytest.mark.parametrize("tag", TAGS)
def test_a_sample_is_told_by_the_story(tag: str) -> None:
    text = (FOLDER / "samples" / render_schema_name(tag)).read_text(encoding="utf-8")
    assert text == render_json(build_samples()[tag]), (
        f"the golden sample of {tag} is not what tests/contracts/story tells. A sample of a released tag stays: mend "
        f"the story. Before a release: scripts/render_contracts.py --resample"
    )


@pytest.mark.parametrize("tag", TAGS)
def test_a_sample_decodes_and_encodes_to_the_same_bytes(tag: str) -> None:
    body = render_stored_body(load_sample(tag))
    event = parse_body(tag, body)
    assert get_tag(event) == tag
    assert render_body(event) == body


@pytest.mark.parametrize("tag", TAGS)
def test_the_headers_of_a_sample_are_read_and_written_alike(tag: str) -> None:
    headers = load_sample(tag)["headers"]
    envelope = parse_headers(headers)
    assert render_headers(envelope) == headers
    assert parse_type(envelope.type) == tag
    assert envelope.dataschema == render_schema_id(tag)
    assert envelope.subject.partition("/")[0] == tag.partition(".")[0]


@pytest.mark.parametrize("tag", TAGS)
def test_a_sample_is_valid_under_its_schema(tag: str) -> None:
    build_validator(tag).validate(load_sample(tag)["body"])


@pytest.mark.parametrize(
    ("tag", "field", "value"),
    [
        ("statement.issued.v1", "period_start", "2026-03-09 00:00"),
        ("issuer.formed.v1", "formed_on", "2 June 2025"),
        ("account.deposited.v1", "amount_usd", "1,000.00"),
        ("account.deposited.v1", "amount_usd", 1000),
        ("account.deposited.v1", "account_id", "acc_1"),
        ("lot.listed.v1", "nodes", 0),
        ("order.placed.v1", "terms", {"nodes": 1}),
        ("order.placed.v1", "type", "order.placed.v2"),
    ],
)
def test_a_wrong_value_is_invalid_under_the_schema(tag: str, field: str, value: object) -> None:
    body = {**load_sample(tag)["body"], field: value}
    errors = list(build_validator(tag).iter_errors(body))
    assert [error.absolute_path[0] for error in errors] == [field] * len(errors)
    assert errors


def test_a_field_of_a_later_release_is_ignored_by_schema_and_reader() -> None:
    body = {**load_sample("lot.resumed.v1")["body"], "resumed_by": "somebody"}
    build_validator("lot.resumed.v1").validate(body)
    assert parse_body("lot.resumed.v1", json.dumps(body).encode()) == parse_body(
        "lot.resumed.v1", render_stored_body(load_sample("lot.resumed.v1"))
    )


@pytest.mark.parametrize("tag", TAGS)
def test_an_independent_cloudevents_reader_understands_a_sample(tag: str) -> None:
    sample = load_sample(tag)
    event = from_binary(HTTPMessage(sample["headers"], render_stored_body(sample)), JSONFormat())
    assert event.get_specversion() == "1.0"
    assert event.get_type() == f"marketplace.{tag}"
    assert event.get_datacontenttype() == "application/json"
    assert event.get_data() == sample["body"]
    assert event.get_time() == datetime.fromisoformat(sample["headers"]["ce-time"])
    assert event.get_time().utcoffset() == timedelta(0)
    for name in ("id", "source", "subject", "dataschema", "correlationid", "causationid", "actor", "hash"):
        assert event.get_attributes()[name] == sample["headers"][f"ce-{name}"]
