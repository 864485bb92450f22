"""Holds requests and answers against the OpenAPI document, by a validator that knows nothing of the API.

`listen` does so for whatever any test sends to an application, through whichever client or server.
"""

import json
import re
from contextlib import contextmanager
from functools import cache
from urllib.parse import unquote

import httpx
from jsonschema import Draft202012Validator
from litestar.serialization import encode_json

from marketplace.api.http.document import build_document
from tests.api.examples import Examples

INSTANT = re.compile(r"\d[+-]\d\d:\d\d\b")
FRACTION = re.compile(r"^-?\d+/\d+$")
DOLLARS = re.compile(r"-?(0|[1-9]\d*)\.\d\d(\d*[1-9])?$")
DECIMAL = re.compile(r"-?(0|[1-9]\d*)(\.\d*[1-9])?$")
LOOSE = re.compile(r"-?\d+(\.\d+)?(E[+-]?\d+)?$")
EXACT = re.compile(r"_exact$|/body/")
"""Where an exact fraction stands: beside the decimal that people read, and in events as they are stored."""
STORED = ("/v1/events", "/v1/auctions/{auction_id}/audit")
"""Answers with events, and with what a verifier computes again, as they are stored."""


def list_texts(value, place=""):
    """Yield every text of an answer with its place."""
    if isinstance(value, str):
        yield place, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, each in items:
        yield from list_texts(each, f"{place}/{'*' if isinstance(name, int) else name}")


def list_decimals(value, member="", unit=None):
    """Yield every decimal of an answer with its member, and whether it is in dollars."""
    is_dollars = "usd" in member.split("_")
    if isinstance(value, str) and LOOSE.match(value) and (is_dollars or not value.isdigit()):
        yield member, value, is_dollars or unit == "USD"
    unit = value.get("unit", unit) if isinstance(value, dict) else unit
    items = (
        value.items()
        if isinstance(value, dict)
        else [(member, each) for each in value]
        if isinstance(value, list)
        else ()
    )
    for name, each in items:
        yield from list_decimals(each, name, unit)


async def read_document(client):
    """Return the document of an API, resolved."""
    return resolve((await client.get("/schema/openapi.json")).json())


def resolve(document):
    """Put parameters and answers of a document in place of references to them, and return it."""
    kinds = ("parameters", "responses")
    shared = {
        f"#/components/{kind}/{name}": part for kind in kinds for name, part in document["components"][kind].items()
    }
    for item in document["paths"].values():
        for operation in item.values():
            listed = operation.get("parameters", ())
            operation["parameters"] = [shared.get(each.get("$ref"), each) for each in listed]
            answers = operation["responses"].items()
            operation["responses"] = {status: shared.get(each.get("$ref"), each) for status, each in answers}
    return document


class Documented:
    """The document of an application, as strangers read it.

    Args:
        document: The document, resolved.
        get_today: Returns the market's day, for examples; without it none are kept.

    Attributes:
        faults: What was accepted or answered otherwise than the document says, by method and path.
        checked: Which operations were held against it.
        examples: The shortest body that each operation accepted, by the operation's id.
    """

    def __init__(self, document, get_today=None):
        self.document = document
        self.examples = Examples()
        self._get_today = get_today
        self.faults = {}
        self.checked = set()
        self._routes = [
            (re.compile(re.sub(r"\{[^}]*\}", "[^/]+", path) + "$"), path, item)
            for path, item in sorted(document["paths"].items(), key=lambda each: each[0].count("{"))
        ]
        self._build = cache(self._build_validator)

    async def hear(self, answer):
        """Hold one answer, and the request if it was accepted, against the document."""
        await answer.aread()
        request = answer.request
        found = next(((path, item) for match, path, item in self._routes if match.match(request.url.path)), None)
        if found is None or request.method.lower() not in found[1]:
            return
        path, item = found
        operation = item[request.method.lower()]
        self.checked.add((request.method, path))
        if answer.is_success and request.content and "json" in request.headers.get("content-type", ""):
            kind = request.headers["content-type"].partition(";")[0]
            schema = operation.get("requestBody", {}).get("content", {}).get(kind, {}).get("schema", {})
            if b'"outcome":"rejected"' not in answer.content:  # else a part of it was refused
                self._hold(f"{request.method} {path} body", schema, request.content)
                if self._get_today:
                    self.examples.hear(operation["operationId"], request, self._get_today())
        status = str(answer.status_code)
        if request.method == "GET" and status == "200":
            described = "ETag" in operation["responses"][status].get("headers", {})
            if described != ("ETag" in answer.headers):
                self.faults[f"GET {path} ETag"] = "it is described" if described else "it is not described"
        answers = operation["responses"].get(status) or operation["responses"].get(f"{status[0]}XX")
        if answers is None:
            self.faults[f"{request.method} {path} {answer.status_code}"] = "this status is not in the document"
        elif answer.content and "json" in answer.headers.get("content-type", ""):
            kind = answer.headers["content-type"].partition(";")[0]
            schema = answers.get("content", {}).get(kind, {}).get("schema", {})
            self._hold(f"{request.method} {path} {answer.status_code}", schema, answer.content)
            if path not in STORED:
                self._hold_texts(f"{request.method} {path}", answer.json(), unquote(f"{request.url}{request.content}"))

    def _hold(self, name, schema, content):
        validator = self._build(json.dumps(schema, sort_keys=True))
        for error in validator.iter_errors(json.loads(content)):
            self.faults.setdefault(name, f"{error.json_path}: {error.message[:200]}")

    def _hold_texts(self, name, value, sent):
        """Find instants that do not end in Z, fractions in place of decimals, and decimals in another form.

        An answer may repeat what was sent, as it was sent.
        """
        for place, text in list_texts(value):
            member = place.rpartition("/")[2]
            found = INSTANT.search(text) or (None if EXACT.search(place) else FRACTION.search(text))
            if found and found[0] not in sent:
                self.faults.setdefault(f"{name} {place}", f"{text} is not the form of {member}")
        for place, text, is_dollars in list_decimals(value):
            if not (DOLLARS if is_dollars else DECIMAL).match(text) and text not in sent:
                self.faults.setdefault(f"{name} {place}", f"{text} is not the form of a decimal")

    def _build_validator(self, schema):
        return Draft202012Validator({**json.loads(schema), "components": self.document["components"]})


_KNOWN: list[Documented] = []
"""The one of this process: every application has the same document."""


@contextmanager
def listen(application):
    """Hold every exchange of an application against the document, event streams aside; fail at the end by the first."""
    if not _KNOWN:
        drawn = application.openapi_schema.to_schema()
        _KNOWN.append(Documented(resolve(json.loads(encode_json(build_document(application, drawn))))))
    (documented,) = _KNOWN
    answer = application.asgi_handler

    async def listening(scope, receive, send):
        exchange = Exchange(scope, receive, send)
        await answer(scope, exchange.receive, exchange.send)
        if (response := exchange.build_response()) is not None:
            await documented.hear(response)

    application.asgi_handler = listening
    try:
        yield
    finally:
        faults, documented.faults = documented.faults, {}
    assert not faults, "\n".join(f"{name}: {fault}" for name, fault in faults.items())


class Exchange:
    """What one request and its answer say."""

    def __init__(self, scope, receive, send):
        self._scope, self._receive, self._send = scope, receive, send
        self._sent, self._start, self._answered = [], None, []

    async def receive(self):
        message = await self._receive()
        self._sent.append(message.get("body", b""))
        return message

    async def send(self, message):
        if message["type"] == "http.response.start":
            self._start = message
        elif not self._is_stream():
            self._answered.append(message.get("body", b""))
        await self._send(message)

    def _is_stream(self):
        return any(value.startswith(b"text/event-stream") for _, value in self._start["headers"])

    def build_response(self):
        """Return the answer with its request; None where there is none with a body of its own."""
        if self._start is None or self._scope["method"] == "HEAD" or self._is_stream():
            return None
        path = self._scope["raw_path"].decode() + "?" + self._scope["query_string"].decode("latin-1")
        request = httpx.Request(
            self._scope["method"], f"http://test{path}", headers=self._scope["headers"], content=b"".join(self._sent)
        )
        status, headers = self._start["status"], self._start["headers"]
        return httpx.Response(status, headers=headers, content=b"".join(self._answered), request=request)
