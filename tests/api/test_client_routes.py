"""The typed client covers the API: what the OpenAPI document lists, the client asks for, with all that may be said.

Every method is called, and what it sends is held against the document: nothing that is only written down counts.
"""

import ast
import operator
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

import msgspec
import pytest

from events.order import OrderTerms
from events.stages import StageTerms
from events.types import MaturityConversion, SafeTerms
from marketplace import client
from marketplace.client import MarketplaceClient, SyncMarketplaceClient
from marketplace.client.transport import Group, Transport
from marketplace.log.memory import MemoryLog
from scripts.sync_client import STUB, render_stub
from tests.api.client_calls import KEY, SEQUENCE, VERSION, Call, call, call_all, list_methods, name_route
from tests.api.documented import read_document
from tests.api.stage import open_stage

HERE = Path(__file__).parent
SILENT = {"client_calls.py", "test_client_routes.py"}
SPEAKERS = {"client", "tenant", "anyone", "platform"}
"""What tests call a typed client."""
WALKED = "cursor"
"""What a walk over pages fills in by itself."""
FOLLOW = "events.follow"
"""A second method, of the operation that answers pages or a stream."""
COUNTED = "count"
"""What `Transport.count` asks of every list."""


class Document:
    """What the API says of itself."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._schemas = document["components"]["schemas"]
        self.operations = {
            name_route(method, path): operation
            for path, item in document["paths"].items()
            for method, operation in item.items()
        }

    def list_parameters(self, route: tuple[str, str], where: str) -> set[str]:
        return {each["name"] for each in self.operations[route].get("parameters", ()) if each["in"] == where}

    def list_members(self, route: tuple[str, str]) -> set[str]:
        content = self.operations[route].get("requestBody", {}).get("content", {})
        return set(self._follow(content.get("application/json", {}).get("schema", {})).get("properties", ()))

    def get_answer(self, route: tuple[str, str]) -> tuple[str | None, dict[str, Any]]:
        """Return media type and schema of what is answered where all went well and nobody else must agree."""
        well = {status: each for status, each in self.operations[route]["responses"].items() if status[0] == "2"}
        (content,) = [each.get("content") for status, each in well.items() if status != "202" or len(well) == 1]
        media_type, media = next(iter((content or {None: {}}).items()))  # beside JSON the feed has a stream
        return media_type, media.get("schema", {})

    def _follow(self, schema: dict[str, Any]) -> dict[str, Any]:
        return self._schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


@pytest.fixture
async def document() -> Document:
    async with open_stage(MemoryLog()) as stage:
        return Document(await read_document(stage.admin))


@pytest.fixture
async def calls() -> list[Call]:
    return await call_all(MarketplaceClient)


def find_uncovered(document: Document, calls: list[Call]) -> set[tuple[str, str]]:
    """Return operations that no method asks for."""
    return document.operations.keys() - {each.route for each in calls}


async def test_every_operation_has_a_method_of_the_client(document: Document, calls: list[Call]):
    assert find_uncovered(document, calls) == set()
    assert {each.route for each in calls} - document.operations.keys() == set(), "the API has no such operations"
    assert len(document.operations) > 190


async def test_an_operation_its_method_and_what_they_take_have_one_name(document: Document, calls: list[Call]):
    """``orders.place`` is `client.orders.place`; an argument is a parameter or a member of the body.

    The ids of the path are given by position, everything else by name. A body that is a list is given as a whole.
    """
    ids = {route: operation["operationId"] for route, operation in document.operations.items()}
    names = [each.name for each in calls if each.name != FOLLOW]
    assert sorted(names) == sorted(ids.values())
    for each in calls:
        assert ids[each.route] == ("events.read" if each.name == FOLLOW else each.name)
        in_path = document.list_parameters(each.route, "path")
        whole = set() if document.list_members(each.route) else {"body"}
        known = in_path | document.list_parameters(each.route, "query") | document.list_members(each.route) | whole
        arguments = {argument.removesuffix("_") for argument in each.arguments}  # ``from_``: `from` is Python's own
        assert in_path <= arguments <= known, each.name
        assert set(each.places) == in_path | (arguments & whole), each.name


async def test_an_operation_without_a_method_is_found(document: Document, calls: list[Call]):
    """A method that names the path and sends something else does not count, nor do those that take any path."""

    class Talk(Group):
        async def suspend(self, party_id: str) -> dict:
            """POST f"/v1/parties/{party_id}/suspend"."""
            return await self._api.get(f"/v1/parties/{party_id}", dict)

    class Talking(Transport):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            self.parties = Talk(self)

    said = await call(Talking, "parties.suspend")
    others = [each for each in calls if each.name != "parties.suspend"]
    assert find_uncovered(document, [*others, said]) == {("POST", "/v1/parties/{}/suspend")}
    grown = Document({"components": {"schemas": {}}, "paths": {"/v1/things/{thing_id}": {"delete": {}, "get": {}}}})
    assert find_uncovered(grown, calls) == {("DELETE", "/v1/things/{}"), ("GET", "/v1/things/{}")}


async def test_every_member_of_a_body_and_every_parameter_can_be_given(document: Document, calls: list[Call]):
    given = defaultdict(set)
    for each in calls:
        assert each.members == document.list_members(each.route), each.name
        given[each.route] |= set(each.request.url.params)
        given[each.route] |= {WALKED} if get_origin(each.answer) is AsyncIterator else set()
    for route, parameters in given.items():
        assert parameters == document.list_parameters(route, "query") - {COUNTED}, route


async def test_commands_are_sent_under_a_key_and_reads_show_what_the_client_did(document: Document, calls: list[Call]):
    shown = set()
    for each in calls:
        headers = each.request.headers
        shown |= {each.route} if headers.get("Min-Seq") == str(SEQUENCE) else set()
        known = document.list_parameters(each.route, "header")
        assert headers.get("Idempotency-Key", "") or "Idempotency-Key" not in known, each.name
        if each.takes_options:
            assert (headers["Idempotency-Key"], headers["If-Match"]) == (KEY, f'"{VERSION}"'), each.name
    assert shown == {route for route in document.operations if "Min-Seq" in document.list_parameters(route, "header")}


async def test_every_answer_is_of_the_type_that_the_document_names(document: Document, calls: list[Call]):
    for each in calls:
        if get_origin(each.answer) is AsyncGenerator:
            assert each.request.headers["Accept"] == "text/event-stream", each.name
            continue
        media_type, schema = document.get_answer(each.route)
        if each.answer is bytes:
            assert media_type not in (None, "application/json"), each.name
        else:
            assert _spell(each.answer) == _name(schema), each.name


def _name(schema: dict[str, Any]) -> str:
    if schema.get("type") == "array":
        return f"list of {_name(schema['items'])}"
    return schema["$ref"].rpartition("/")[2] if "$ref" in schema else schema.get("type", "nothing")


def _spell(answer: Any) -> str:
    """Return the name that the document has for what a method returns."""
    origin, arguments = get_origin(answer), get_args(answer)
    if origin is AsyncIterator:
        return f"{arguments[0].__name__.removesuffix('View')}Page"
    if origin is list:
        return f"list of {_spell(arguments[0])}"
    plain = {dict: "object", str: "string", type(None): "nothing"}
    return plain.get(origin or answer) or answer.__name__


def test_every_type_that_an_order_is_made_of_is_imported_from_the_client():
    parts = list_types(OrderTerms)
    assert {SafeTerms, StageTerms, MaturityConversion} < parts
    assert [part.__name__ for part in parts if getattr(client, part.__name__, None) is not part] == []


def list_types(kind: Any) -> set[type[msgspec.Struct]]:
    """Return a struct and the structs of its members."""
    parts = set[type[msgspec.Struct]]().union(*map(list_types, get_args(kind)))
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        parts |= {kind}.union(*(list_types(field.type) for field in msgspec.structs.fields(kind)))
    return parts


def test_the_client_without_asyncio_has_every_method_and_its_signature():
    assert STUB.read_text() == render_stub(), "run scripts/render_contracts.py"
    client = SyncMarketplaceClient("http://test", "mkp_key")
    for name in list_methods(MarketplaceClient):
        assert callable(operator.attrgetter(name)(client)), name


async def test_every_method_is_asked_by_a_test_of_the_running_api(calls: list[Call]):
    """A method without such a test is named; those here, where nothing answers, do not count."""
    stories = [path for path in HERE.glob("*.py") if path.name not in SILENT]
    asked = {name for path in stories for name in find_asked(path.read_text())}
    assert {each.name for each in calls} - asked == set()


def find_asked(text: str) -> set[str]:
    """Return the methods of clients that a module calls, or hands on to be called: ``<group>.<method>``."""
    found = [ast.unparse(node).split(".") for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Attribute)]
    return {f"{parts[-2]}.{parts[-1]}" for parts in found if parts[-3:-2] and parts[-3] in SPEAKERS}
