"""The schemas are what the classes say, stand alone, and do not change under a tag that is locked."""

import json
import re
import sys
from pathlib import Path

import msgspec
import pytest
from jsonschema import Draft202012Validator

from events import types
from events.financing import ClassId
from events.registry import EVENT_TYPES
from events.rendering import json_schema
from events.rendering.contract import REMEDY, ChangedSchema, check_lock, extend_lock, render_files
from scripts.contract_files import FOLDER, README, load_lock, load_sample, load_schema

SCHEMAS = FOLDER / "schemas"
TAGS = sorted(EVENT_TYPES)


def test_generated_files_equal_the_files_in_the_repository() -> None:
    samples = {tag: load_sample(tag) for tag in EVENT_TYPES}
    rendered = render_files(samples, README.read_text(encoding="utf-8"))
    stale = [path for path, text in rendered.items() if (FOLDER / path).read_text(encoding="utf-8") != text]
    assert not stale, f"{stale} are not what the classes say: run scripts/render_contracts.py and commit the result"


def test_there_is_a_schema_for_every_tag_and_no_other() -> None:
    assert {path.name for path in SCHEMAS.glob("*.json")} == {f"{tag}.json" for tag in TAGS} | {"lock.json"}


@pytest.mark.parametrize("tag", TAGS)
def test_a_schema_is_valid_draft_2020_12_and_stands_alone(tag: str) -> None:
    schema = load_schema(tag)
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    assert schema["$id"] == json_schema.render_schema_id(tag)
    references = set(re.findall(r'"\$ref": "([^"]+)"', json.dumps(schema)))
    assert references == {f"#/$defs/{name}" for name in schema.get("$defs", {})}
    text = json.dumps(schema)
    assert set(re.findall(r'"format": "([^"]+)"', text)) <= {"date-time", "date"}, "strict validators refuse others"
    assert "(?" not in text, "RE2 and Go know no such patterns"
    assert list_keywords(schema) <= KEYWORDS, "strict validators refuse keywords of other dialects"


KEYWORDS = {*Draft202012Validator.VALIDATORS, "$schema", "$id", "$defs", "title", "description", "default"}


def list_keywords(schema: object, *, names: bool = False) -> set[str]:
    """Return the keywords of a schema; below `properties` and `$defs` the keys are names."""
    if isinstance(schema, list):
        return set().union(*map(list_keywords, schema))
    if not isinstance(schema, dict):
        return set()
    values = schema.items() if names else ((key, value) for key, value in schema.items() if key != "default")
    below = [list_keywords(value, names=not names and key in {"properties", "$defs"}) for key, value in values]
    return set().union(() if names else schema, *below)


@pytest.mark.parametrize("tag", TAGS)
def test_every_field_is_described_in_words_for_readers_of_json(tag: str) -> None:
    schema = load_schema(tag)
    for shape in (schema, *schema.get("$defs", {}).values()):
        texts = [shape["description"], *(field["description"] for field in shape["properties"].values())]
        assert all(texts)
        assert not [text for text in texts if "Attributes:" in text or "``" in text or re.search(r"\bNone\b", text)]


def test_every_tag_is_locked_and_no_locked_schema_has_changed() -> None:
    lock = load_lock()
    check_lock(lock)
    missing = sorted(set(EVENT_TYPES) - set(lock))
    assert not missing, f"{missing} are not locked: run scripts/render_contracts.py and commit schemas/lock.json"


def test_a_changed_schema_is_refused_with_the_remedy() -> None:
    with pytest.raises(ChangedSchema, match=re.escape("order.placed.v1 has changed")) as refused:
        check_lock({**load_lock(), "order.placed.v1": "0" * 64})
    assert REMEDY in str(refused.value)


def test_a_locked_tag_that_vanished_is_refused() -> None:
    with pytest.raises(ChangedSchema, match=re.escape("order.whispered.v1 is locked")):
        check_lock({"order.whispered.v1": "0" * 64})


def test_a_tag_is_locked_anew_only_when_it_is_named() -> None:
    lock = load_lock()
    edited = {**lock, "order.placed.v1": "0" * 64}
    with pytest.raises(ChangedSchema):
        extend_lock(edited)
    assert extend_lock(edited, frozenset({"order.placed.v1"})) == lock


def test_a_new_tag_is_added_to_the_lock() -> None:
    lock = load_lock()
    assert extend_lock({tag: locked for tag, locked in lock.items() if tag != "lot.listed.v1"}) == lock


def test_words_do_not_count_as_a_change_but_a_bound_does() -> None:
    schema = load_schema("lot.listed.v1")
    reworded = json.loads(json.dumps(schema).replace("The seller", "Who sells"))
    bounded = json.loads(json.dumps(schema).replace("100000", "99999"))
    assert reworded != schema
    assert json_schema.fingerprint(reworded) == json_schema.fingerprint(schema)
    assert json_schema.fingerprint(bounded) != json_schema.fingerprint(schema)


def test_a_field_named_like_an_annotation_counts_as_a_change() -> None:
    schema = load_schema("lot.listed.v1")
    with_title = {**schema, "properties": {**schema["properties"], "title": {"type": "string"}}}
    assert json_schema.fingerprint(with_title) != json_schema.fingerprint(schema)


def test_the_contract_imports_msgspec_and_the_standard_library_only() -> None:

    imported = {
        match
        for path in Path(FOLDER).glob("*.py")
        for match in re.findall(r"^(?:from|import) ([a-z_0-9]+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert imported - set(sys.stdlib_module_names) == {"msgspec", "events"}


@pytest.mark.parametrize("kind", [types.Id, types.Region, types.GpuClass, types.Country, types.Ratio, ClassId])
def test_no_text_of_an_event_ends_with_a_line_feed(kind) -> None:
    """`$` of Python matches before one; it would reach NATS as part of a subject."""
    good = {types.Id: "ord_01h455vb4pex5vsknk084sn02q", types.Ratio: "7/3", types.Region: "us-east"}
    text = good.get(kind, {types.Country: "US", types.GpuClass: "H100"}.get(kind, "series-a"))
    assert msgspec.convert(text, kind) == text
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(f"{text}\n", kind)
