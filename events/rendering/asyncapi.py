"""The AsyncAPI 3.0 document of the event stream, generated from the registry.

It describes a subscriber: one channel per aggregate, whose address is the literal subject of one aggregate, and one
operation per channel that receives its events. Headers are CloudEvents 1.0 attributes, payloads are event bodies. Two
more channels are the feed over HTTP.
"""

from collections.abc import Mapping
from typing import Any, Final

from events import subjects
from events.envelope import CONTENT_TYPE, SPEC_VERSION, Envelope
from events.registry import AGGREGATES, EVENT_TYPES, list_tags, render_type
from events.rendering import http_feed
from events.rendering.docstrings import parse_docstring
from events.rendering.json_schema import render_schema_id, render_shared_schemas

Document = dict[str, Any]

ASYNCAPI_VERSION: Final = "3.0.0"
CONTRACT_VERSION: Final = "1.0.0"
_HEADERS_SCHEMA: Final = "CloudEventsHeaders"
_OPTIONAL_ATTRIBUTES: Final = frozenset(
    {"actorkey", "actorperson", "fingerprint", "previoushash", "hash", "traceparent"}
)
_DESCRIPTION: Final = (
    "Every event of the marketplace, as other systems receive it from NATS JetStream: one stream, one literal subject "
    "per aggregate, at least once, in the order of the stream sequence. `events/README.md` says how to subscribe, "
    "resume, dedupe and verify. A party reads what concerns it over HTTP (`GET /v1/events`)."
)


def render_asyncapi(samples: Mapping[str, Document]) -> Document:
    """Return the document.

    Args:
        samples: Golden sample by tag: `headers` and `body`; each becomes the example of its message.
    """
    names, schemas = render_shared_schemas(EVENT_TYPES.values(), "#/components/schemas/{name}")
    messages = {
        _key(tag): _render_message(tag, name, samples[tag]) for tag, name in zip(EVENT_TYPES, names, strict=True)
    }
    return {
        "asyncapi": ASYNCAPI_VERSION,
        "id": "urn:marketplace:events",
        "info": {
            "title": "Compute-for-equity marketplace: event stream",
            "version": CONTRACT_VERSION,
            "description": _DESCRIPTION,
        },
        "defaultContentType": CONTENT_TYPE,
        "servers": {"nats": _SERVER, "http": http_feed.SERVER},
        "channels": {
            **{aggregate: _render_channel(aggregate) for aggregate in AGGREGATES},
            **http_feed.render_channels(samples["order.placed.v1"]),
        },
        "operations": {
            **{f"receive_{aggregate}_events": _render_operation(aggregate) for aggregate in AGGREGATES},
            **http_feed.render_operations(),
        },
        "components": {
            "schemas": {_HEADERS_SCHEMA: _render_headers_schema(), **schemas},
            "messages": messages,
            "correlationIds": {"command": _CORRELATION},
        },
    }


_SERVER: Final[Document] = {
    "host": "{host}:{port}",
    "protocol": "nats",
    "description": f"NATS with JetStream; the events are in stream `{subjects.STREAM}`.",
    "variables": {
        "host": {"default": "127.0.0.1", "description": "A server of the cluster."},
        "port": {"default": "4222", "description": "Its client port."},
    },
}
_CORRELATION: Final[Document] = {
    "description": "The command that began the whole chain.",
    "location": "$message.header#/ce-correlationid",
}


def _key(tag: str) -> str:
    return tag.replace(".", "_")


def _render_channel(aggregate: str) -> Document:
    field = f"{aggregate}_id"
    return {
        "address": subjects.render_subject(aggregate, f"{{{field}}}"),
        "title": f"Events of one {aggregate}",
        "description": f"Subscribe to `{subjects.render_subject(aggregate, '*')}` for every {aggregate}.",
        "messages": {_key(tag): {"$ref": f"#/components/messages/{_key(tag)}"} for tag in list_tags(aggregate)},
        "parameters": {field: {"description": f"Prefixed id of the {aggregate}."}},
        "servers": [{"$ref": "#/servers/nats"}],
        "bindings": {"nats": {}},
    }


def _render_operation(aggregate: str) -> Document:
    return {
        "action": "receive",
        "channel": {"$ref": f"#/channels/{aggregate}"},
        "title": f"Receive the events of one {aggregate}",
        "summary": f"Consume stream {subjects.STREAM} filtered by {subjects.render_subject(aggregate, '*')}.",
        "messages": [{"$ref": f"#/channels/{aggregate}/messages/{_key(tag)}"} for tag in list_tags(aggregate)],
        "bindings": {"nats": {"bindingVersion": "0.1.0"}},
    }


def _render_message(tag: str, schema_name: str, sample: Document) -> Document:
    docstring = parse_docstring(EVENT_TYPES[tag].__doc__ or "")
    return {
        "name": render_type(tag),
        "title": tag,
        "summary": docstring.text,
        "contentType": CONTENT_TYPE,
        "correlationId": {"$ref": "#/components/correlationIds/command"},
        "headers": {
            "type": "object",
            "allOf": [
                {"$ref": f"#/components/schemas/{_HEADERS_SCHEMA}"},
                {
                    "properties": {
                        "ce-type": {"const": render_type(tag)},
                        "ce-dataschema": {"const": render_schema_id(tag)},
                    }
                },
            ],
        },
        "payload": {"$ref": f"#/components/schemas/{schema_name}"},
        "bindings": {"nats": {}},
        "examples": [{"name": "golden", "headers": sample["headers"], "payload": sample["body"]}],
    }


def _render_headers_schema() -> Document:
    attributes = parse_docstring(Envelope.__doc__ or "").attributes
    properties: Document = {
        "content-type": {"const": CONTENT_TYPE},
        "ce-specversion": {"const": SPEC_VERSION, "description": "CloudEvents version."},
    }
    for name, description in attributes.items():
        header = name if name == "traceparent" else f"ce-{name}"
        properties[header] = {"type": "string", "minLength": 1, "description": description}
    properties["ce-time"]["format"] = "date-time"
    required = [f"ce-{name}" for name in attributes if name not in _OPTIONAL_ATTRIBUTES]
    return {
        "title": _HEADERS_SCHEMA,
        "description": "CloudEvents 1.0 attributes as NATS headers; a header of an empty attribute is left out.",
        "type": "object",
        "properties": properties,
        "required": ["content-type", "ce-specversion", *required],
    }
