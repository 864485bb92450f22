"""JSON Schema of every event type, generated from the classes: draft 2020-12, one self-contained schema per tag.

The schema says what the marketplace writes. It leaves room for fields of later releases (`additionalProperties`
is open), since a reader must ignore what it does not know.
"""

import hashlib
import json
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from events.registry import EVENT_TYPES, render_schema_name
from events.rendering.docstrings import parse_docstring
from events.types import Event

Schema = dict[str, Any]

SCHEMA_BASE: Final = "urn:marketplace:schema:"
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
DECIMAL_PATTERN: Final = r"^-?[0-9]+(\.[0-9]+)?([Ee][+-]?[0-9]+)?$"
PYTHON_END: Final = r"(?!\n)$"
"""The end of a pattern in Python, whose `$` also matches before a last line feed. Elsewhere `$` is the end."""
_TAG_FIELDS: Final = {"type": "Tag of the event type.", "kind": "Tag of this shape."}
_ANNOTATIONS: Final = frozenset({"title", "description", "$id", "$schema"})


def render_schema_id(tag: str) -> str:
    """Return the absolute URI that names the schema of a tag, which is the ``dataschema`` of its events."""
    return SCHEMA_BASE + render_schema_name(tag)


def render_schema(tag: str) -> Schema:
    """Return the self-contained JSON Schema of the body of one event type."""
    root, definitions = _render_components([EVENT_TYPES[tag]], "#/$defs/{name}")
    body = definitions.pop(root[0])
    schema = {"$schema": DIALECT, "$id": render_schema_id(tag), **body}
    if definitions:
        schema["$defs"] = definitions
    return schema


def render_shared_schemas(event_classes: Iterable[type[Event]], ref_template: str) -> tuple[list[str], Schema]:
    """Return the component name of each class, and every component that they need, by name.

    Args:
        event_classes: The event types.
        ref_template: What a reference looks like, with ``{name}`` in it.
    """
    return _render_components(event_classes, ref_template)


def fingerprint(schema: Schema) -> str:
    """Return the SHA-256 of what a schema accepts; titles and descriptions do not count."""
    accepted = json.dumps(_strip_annotations(schema), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(accepted.encode()).hexdigest()


def _render_components(event_classes: Iterable[type[Event]], ref_template: str) -> tuple[list[str], Schema]:
    references, components = msgspec.json.schema_components(event_classes, ref_template=ref_template)
    prefix, suffix = ref_template.split("{name}")
    names = [reference["$ref"].removeprefix(prefix).removesuffix(suffix) for reference in references]
    return names, {name: _describe(components[name]) for name in sorted(components)}


def _describe(component: Schema) -> Schema:
    """Move the attributes of the docstring to the properties, and make every value plain to any validator."""
    docstring = parse_docstring(component["description"])
    properties = {}
    for name, value in component["properties"].items():
        text = docstring.attributes.get(name) or _TAG_FIELDS.get(name)
        if text is None:
            raise ValueError(f"{component['title']}.{name} is not described: add it to the docstring's Attributes")
        properties[name] = _with_description(_tighten(value), text)
    return {**component, "description": docstring.text, "properties": properties}


def _with_description(schema: Schema, text: str) -> Schema:
    unit = schema.get("description")
    description = f"{text} {unit}." if unit else text
    return {"description": description, **{key: value for key, value in schema.items() if key != "description"}}


def _tighten(schema: Any) -> Any:
    """Return the schema as any validator reads it.

    Decimals have a pattern in place of a format that is no standard, patterns are those of ECMA-262, enumerations of
    one value are constants, and OpenAPI's `discriminator`, which strict validators refuse, is left out.
    """
    if isinstance(schema, list):
        return [_tighten(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    tightened = {key: _tighten(value) for key, value in schema.items() if key != "discriminator"}
    if tightened.get("format") == "decimal":
        del tightened["format"]
        tightened["pattern"] = DECIMAL_PATTERN
    if isinstance(tightened.get("pattern"), str):
        tightened["pattern"] = tightened["pattern"].replace(PYTHON_END, "$")
    values = tightened.get("enum")
    if isinstance(values, list) and len(values) == 1:
        del tightened["enum"]
        return {"const": values[0], **tightened}
    return tightened


def _strip_annotations(schema: Any, *, names: bool = False) -> Any:
    """Drop annotations; below `properties` and `$defs` the keys are names and stay."""
    if isinstance(schema, list):
        return [_strip_annotations(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _strip_annotations(value, names=not names and key in {"properties", "$defs"})
        for key, value in schema.items()
        if names or key not in _ANNOTATIONS
    }
