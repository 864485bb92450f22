"""The HTTP feed in the AsyncAPI document: `GET /v1/events`, as pages or as server-sent events."""

from collections.abc import Mapping
from typing import Any, Final

Document = dict[str, Any]

ADDRESS: Final = "/v1/events"
SERVER: Final[Document] = {
    "host": "{host}:{port}",
    "protocol": "http",
    "description": "The HTTP API; its OpenAPI document at /schema/openapi.json says more. Use TLS outside one machine.",
    "variables": {
        "host": {"default": "127.0.0.1", "description": "Where the API is served."},
        "port": {"default": "8000", "description": "Its port."},
    },
    "security": [{"type": "http", "scheme": "bearer", "description": "An API key with `events:read`."}],
}
_TEXT: Final[Document] = {"type": "string"}
_SEQUENCE: Final[Document] = {"type": "integer", "minimum": 0}
_TEXTS: Final[Document] = {"type": "array", "items": _TEXT}
_FILTERS: Final[Document] = {
    "after": _SEQUENCE,
    "type": _TEXTS,
    "aggregate": _TEXTS,
    "aggregate_id": _TEXT,
    "event_id": _TEXT,
    "command_id": _TEXT,
    "party_id": _TEXT,
    "from": {"type": "string", "format": "date-time"},
}
_WITHHELD: Final = (
    "A party gets none of an auction, a bond, an issuer, a mandate, a proposal, the register, the schedule, another's "
    "account, a transfer of a grant, or an event that it sees in part: with it hidden amounts could be found by "
    "trying. The platform gets all."
)
_WAYS: Final = {
    "feed_page": (
        "Events as pages",
        "Ask again with `next_after` of the page as `after`. `head` tells how far the reader lags behind.",
        "application/json",
        {**_FILTERS, "limit": {"type": "integer", "minimum": 1, "maximum": 1_000}},
    ),
    "feed_stream": (
        "Events as they happen",
        (
            "Send `Accept: text/event-stream`. Each event has the sequence as `id`, the type as `event`, an "
            "item as `data`; resume with its id as `Last-Event-ID`."
        ),
        "text/event-stream",
        _FILTERS,
    ),
}

_QUERIES: Final = {"feed_page": "FeedPageQuery", "feed_stream": "FeedStreamQuery"}


def render_channels(sample: Mapping[str, Any]) -> Document:
    """Return both channels, with a golden sample as the example of what they carry."""
    item = _render_item()
    page = {
        "title": "FeedPage",
        "type": "object",
        "properties": {"items": {"type": "array", "items": item}, "next_after": _SEQUENCE, "head": _SEQUENCE},
        "required": ["items", "next_after", "head"],
    }
    told = _render_example(sample)
    payloads = {"feed_page": (page, {"items": [told], "next_after": 1, "head": 1}), "feed_stream": (item, told)}
    return {
        name: {
            "address": ADDRESS,
            "title": title,
            "description": f"What concerns the key's party. {text}",
            "servers": [{"$ref": "#/servers/http"}],
            "messages": {
                name: {
                    "name": name,
                    "title": title,
                    "contentType": media_type,
                    "payload": payloads[name][0],
                    "examples": [{"name": "golden", "payload": payloads[name][1]}],
                }
            },
        }
        for name, (title, text, media_type, _) in _WAYS.items()
    }


def render_operations() -> Document:
    """Return the operation of each channel, with the query that it takes."""
    return {
        f"receive_{name}": {
            "action": "receive",
            "channel": {"$ref": f"#/channels/{name}"},
            "title": title,
            "messages": [{"$ref": f"#/channels/{name}/messages/{name}"}],
            "bindings": {
                "http": {
                    "method": "GET",
                    "query": {
                        "title": _QUERIES[name],
                        "type": "object",
                        "properties": query,
                        "additionalProperties": False,
                    },
                    "bindingVersion": "0.3.0",
                }
            },
        }
        for name, (title, _, _, query) in _WAYS.items()
    }


def _render_item() -> Document:
    event = {
        "title": "CloudEvent",
        "type": "object",
        "description": "CloudEvents 1.0 in JSON: the attributes of the NATS headers without `ce-`.",
        "properties": {
            **dict.fromkeys(("specversion", "id", "source", "type", "subject", "dataschema"), _TEXT),
            "hash": {"type": "string", "description": f"SHA-256 of the event. {_WITHHELD}"},
            "previoushash": {
                "type": "string",
                "description": "`hash` of the aggregate's previous event; left out of its first, and with `hash`.",
            },
            "time": {"type": "string", "format": "date-time"},
            "data": {
                "type": "object",
                "description": "The body, by `type` as in the channels of NATS; below the depth `full` a part of it.",
            },
        },
        "required": ["specversion", "id", "source", "type", "subject", "time", "dataschema", "data"],
    }
    depth = {"type": "string", "description": "How much of the data the reader sees: `full`, or less."}
    return {
        "title": "FeedItem",
        "type": "object",
        "properties": {"sequence": {"type": "integer", "minimum": 1}, "event": event, "depth": depth},
        "required": ["sequence", "event", "depth"],
    }


def _render_example(sample: Mapping[str, Any]) -> Document:
    headers = sample["headers"]
    attributes = {name.removeprefix("ce-"): value for name, value in headers.items() if name != "content-type"}
    event = {**attributes, "datacontenttype": headers["content-type"], "data": sample["body"]}
    return {"sequence": 1, "event": event, "depth": "full"}
