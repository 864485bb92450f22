"""The API describes itself, and what it says of itself is true."""

import hashlib
import inspect
import json
import re
from datetime import UTC, datetime

import pytest
from jsonschema import Draft202012Validator

from marketplace.api.http.deprecation import NOTICE_MIN, Deprecation, list_deprecated
from marketplace.api.http.document import name_group
from marketplace.api.http.request_file import use_variables
from marketplace.client.operation import Events
from marketplace.log.memory import MemoryLog
from scripts.error_catalogue import STATUSES
from tests.api.documented import listen, read_document
from tests.api.stage import open_stage
from tests.api.test_commands import PARTY
from tests.contracts.market import ROOT


def walk(part):
    if isinstance(part, dict):
        yield part
    for each in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from walk(each)


def check_requests(text, document):
    """Every operation is in the file once, and each body is as the document describes it."""
    head, *requests = text.split("### ")
    assert "@api = http" in head
    declared = set(re.findall(r"^@(\w+) =", head, re.MULTILINE))
    assert set(re.findall(r"{{(\w+)}}", "".join(requests))) == declared
    assert "01jdm5v5tze1xa6a4sbz1gk3c" not in text, "an id that names nothing"
    expected = {
        operation["operationId"]: (verb.upper(), path.replace("{", "{{").replace("}", "}}"), operation)
        for path, item in document["paths"].items()
        for verb, operation in item.items()
    }
    assert sorted(each.partition(":")[0] for each in requests) == sorted(expected)
    bodies = 0
    for each in requests:
        verb, path, operation = expected[each.partition(":")[0]]
        assert each.splitlines()[1].partition("?")[0] == f"{verb} {{{{api}}}}{path}"
        if "requestBody" not in operation:
            continue
        (kind, content), *_ = operation["requestBody"]["content"].items()
        schema = {**content["schema"], "components": document["components"]}
        assert f"Content-Type: {kind}" in each
        assert json.loads(each.partition("\n\n")[2]) == use_variables(content["example"])[0]
        faults = [*Draft202012Validator(schema).iter_errors(content["example"])]
        assert not [fault.message for fault in faults], each
        bodies += 1
    assert bodies > 100


def list_unbounded(part, schemas, path=""):
    """Yield the arrays of a schema, down to what it refers to, that have no greatest length."""
    if isinstance(part, list):
        for each in part:
            yield from list_unbounded(each, schemas, path)
    if not isinstance(part, dict):
        return
    if part.get("type") == "array" and "maxItems" not in part:
        yield path
    name = part.get("$ref", "").removeprefix("#/components/schemas/")
    if name:
        yield from list_unbounded(schemas.pop(name, None), schemas, name)
    for member, each in part.items():
        yield from list_unbounded(each, schemas, f"{path}.{member}")


EXACT_FRACTION = '"#/components/schemas/Ratio"'
"""Where the document refers to it, a decimal stands beside."""
BYTES_MAX = 585_000
"""Every property is described, which is a third of it. No answer to a refusal stands at an operation."""


async def test_the_example_of_an_order_is_the_plainest_one():
    async with open_stage(MemoryLog()) as stage:
        document = (await stage.admin.get("/schema/openapi.json")).json()
    example = document["paths"]["/v1/orders"]["post"]["requestBody"]["content"]["application/json"]["example"]
    assert {*example["terms"]} == {*document["components"]["schemas"]["OrderTerms"]["required"]}


async def test_the_openapi_document_says_what_routes_do_in_any_language():
    async with open_stage(MemoryLog()) as stage:
        served = await stage.admin.get("/schema/openapi.json")
        requests = (await stage.admin.get("/schema/requests.http")).text
    assert len(served.content) <= BYTES_MAX
    document = served.json()
    assert document["openapi"].startswith("3.1")
    told = {tag["name"]: tag["description"].partition(":")[0].lower() for tag in document["tags"]}
    assert {name for name in ("accounts", "issuers", "usage") if told[name] != name} == set()
    place = document["paths"]["/v1/orders"]["post"]
    assert place["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/PlaceOrderBody")
    components = document["components"]
    refused = components["responses"][place["responses"]["4XX"]["$ref"].rpartition("/")[2]]
    assert "application/problem+json" in refused["content"]
    shared = [components["parameters"][each["$ref"].rpartition("/")[2]] for each in place["parameters"]]
    assert {each["name"]: each.get("required", False) for each in shared} == {
        "Idempotency-Key": True,
        "If-Match": False,
    }
    limits = {"Request-Id", "RateLimit-Limit", "RateLimit-Policy", "RateLimit-Remaining", "RateLimit-Reset"}
    for name in ("Receipt", "Created", "Proposed", "Refused", "Failed"):
        assert components["responses"][name]["headers"].keys() > limits
    assert not [name for name in limits if f"`{name}`" not in document["info"]["description"]], "reads have them too"
    offer = components["schemas"]["ClassOffer"]["properties"]["cash_usd_per_gpu_hour"]
    assert offer["$ref"] == "#/components/schemas/UsdPerGpuHour"
    assert components["schemas"]["Usd"]["pattern"] == r"^-?[0-9]{1,24}(\.[0-9]{1,24})?$"
    assert "OrderPage" in components["schemas"]
    bodies = [each.get("requestBody") for item in document["paths"].values() for each in item.values()]
    assert [*list_unbounded(bodies, dict(components["schemas"]))] == [], "a list of a body has a greatest length"
    for path, item in document["paths"].items():
        for operation in item.values():
            assert operation["summary"], path
            assert operation["description"], path
            assert "Raises:" not in operation["description"], path
            assert all(each.get("description") or each.get("$ref") for each in operation.get("parameters", ())), path
    for name, schema in components["schemas"].items():
        assert schema["description"], name
        bare = [member for member, each in schema.get("properties", {}).items() if not each["description"]]
        assert not bare, f"add these to the Attributes of {name}'s docstring, or to api/http/words.py"
        for member in schema.get("properties", {}):
            decimals = [each for each in schema["properties"] if each.startswith(member.removesuffix("_exact"))]
            exact = EXACT_FRACTION in json.dumps(schema["properties"][member])
            assert exact == (member.endswith("_exact") and len(decimals) > 1), f"{name}.{member} is read by people"
    open_paths = {path for path, item in document["paths"].items() if item.get("get", {}).get("security") == [{}]}
    assert open_paths == {"/health/live", "/health/ready"}
    assert document["security"] == [{"apiKey": []}]
    for part in walk(document):
        assert {} not in part.get("oneOf", ()), part
        assert not ("oneOf" in part and isinstance(part.get("default"), dict)), part
        assert "(?" not in str(part.get("pattern")), part
    for name in ("GpuSeconds", "Shares"):  # bodies carry them, whose whole numbers are bounded
        assert components["schemas"][name]["maximum"] == 2**53 - 1
    operations = [operation for item in document["paths"].values() for operation in item.values()]
    check_requests(requests, document)
    names = [operation["operationId"] for operation in operations]
    assert len(names) == len(set(names)) > 200
    assert {name for name in names if not re.fullmatch(r"[a-z_]+\.[a-z_]+", name)} == set()
    assert {"orders.place", "grants.list"} < set(names)
    for operation in operations:
        assert [operation["operationId"].partition(".")[0]] == [name_group(tag) for tag in operation["tags"]]


async def test_generators_read_unions_by_their_kind_and_positions_as_numbers():
    async with open_stage(MemoryLog()) as stage:
        document = await read_document(stage.admin)
    unions = [part for part in walk(document) if "discriminator" in part]
    assert unions
    assert all("oneOf" in union for union in unions), "openapi-generator merges the members of another union"
    headers = [part for part in walk(document) if part.get("name") == "Min-Seq"]
    assert {header["schema"]["type"] for header in headers} == {"integer"}, "as Commit-Seq, which it repeats"


def list_statuses(operation):
    """Return the statuses that a list can be filtered by, or that the document has none."""
    given = [each["schema"]["items"] for each in operation.get("parameters", ()) if each["name"] == "status"]
    return {status for each in given for status in each["enum"]}


async def test_a_refusal_names_a_status_by_the_word_that_answers_and_filters_have():
    async with open_stage(MemoryLog()) as stage:
        document = await read_document(stage.admin)
    operations = {each["operationId"]: each for item in document["paths"].values() for each in item.values()}
    told = {name: list_statuses(operations.get(f"{name}s.list", {})) for name in STATUSES} | {
        "claim": list_statuses(operations["bonds.list_claims"])
    }
    held = {name: statuses for name, statuses in told.items() if statuses}
    assert held.keys() == STATUSES.keys() - {"approval", "financing", "offer"}, "these have no filter"
    wrong = {name: {*STATUSES[name]} - statuses for name, statuses in held.items() if {*STATUSES[name]} - statuses}
    assert wrong == {}


async def test_an_answer_otherwise_than_the_document_says_fails_the_test_that_got_it():
    async def answer_wrongly(scope, receive, send):
        kind = (b"content-type", b"application/json")
        await send({"type": "http.response.start", "status": 200, "headers": [kind]})
        await send({"type": "http.response.body", "body": b'{"status": 7}'})

    async with open_stage(MemoryLog()) as stage:
        stage.application.asgi_handler = answer_wrongly
        with pytest.raises(AssertionError, match="7 is not of type 'string'"), listen(stage.application):
            await stage.admin.get("/health/live")


VENDORED = {
    "swagger-ui-bundle.js": "e6a898692f2d768e807c3ba4626068a69a2c5dd960dd6c76f3e4d3a3de180af2",
    "swagger-ui.css": "5ed08757e53da3e026d6cbecc61fe5d43585c9560b302d534ad56692519a273d",
}
"""SHA-256 of the files of swagger-ui-dist 5.35.0."""


LINKED = re.compile(r"(?:src|href)=\"(/[^\"]*)\"")
SAFE_PAGE = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "style-src 'self' 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


async def test_the_reference_runs_scripts_of_this_server_alone():
    async with open_stage(MemoryLog()) as stage:
        anyone = await stage.open_client(None)
        page = await anyone.get("/schema")
        assert page.headers["content-type"].startswith("text/html")
        policy = dict(part.split(" ", 1) for part in page.headers["content-security-policy"].split("; "))
        assert (policy["default-src"], policy["script-src"], policy["connect-src"]) == ("'none'", "'self'", "'self'")
        linked = re.findall(r"(?:src|href)=\"([^\"]+)\"", page.text)
        assert len(linked) == 5
        assert all(each.startswith(("/schema/", "data:,")) for each in linked), (
            "the page loads something from elsewhere"
        )
        assert not re.findall(r"<script(?! src=)|\son\w+=", page.text), "an inline script"
        for path in linked:
            answer = await anyone.get("/schema" if path == "data:," else path)
            assert answer.status_code == 200, path
            assert answer.headers["x-content-type-options"] == "nosniff"
        for name, digest in VENDORED.items():
            content = (await anyone.get(f"/schema/assets/{name}")).content
            assert hashlib.sha256(content).hexdigest() == digest, name
        assert "validatorUrl: null" in (await anyone.get("/schema/assets/reference.js")).text
        assert (await anyone.get("/schema/assets/LICENSE")).status_code == 404


async def test_the_type_of_a_problem_is_the_address_of_its_page():
    async with open_stage(MemoryLog()) as stage:
        anyone = await stage.open_client(None)
        problem = (await anyone.get("/v1/orders")).json()
        page = await anyone.get(problem["type"])
        assert page.json() == {
            "code": "credentials_missing",
            "type": problem["type"],
            "status": problem["status"],
            "meanings": ["send an API key: Authorization: Bearer mkp_…"],
            "remedy": "Send a key that works as `Authorization: Bearer mkp_…`. The platform issues them.",
            "facts": [],
        }
        listed = (await anyone.get("/schema/errors")).json()["items"]
        document = (await anyone.get("/schema/openapi.json")).json()
        assert document["components"]["schemas"]["ErrorCode"]["enum"] == [each["code"] for each in listed]
        for text in (text for each in listed for text in each["meanings"]):
            state = re.search(r" is (\w+); it must be (.*) for this$", text)
            assert state is None or state[1] not in re.findall(r"\w+", state[2]), text
        for path in ("/schema/errors", "/schema/errors/order_locked"):
            shown = await anyone.get(path, headers={"Accept": "text/html,*/*;q=0.8"})
            assert shown.headers["content-type"].startswith("text/html")
            assert shown.headers["content-security-policy"] == SAFE_PAGE
            assert "<td>409</td>" in shown.text or "<p>Status: 409</p>" in shown.text
            assert "<script" not in shown.text
            for link in LINKED.findall(shown.text)[-9:]:
                assert (await anyone.get(link)).status_code == 200, link
        missing = await anyone.get("/schema/errors/none_such", headers={"Accept": "text/html"})
        assert (missing.status_code, missing.json()["code"]) == (404, "route_unknown")


async def test_every_filter_of_the_feed_is_in_both_documents_and_in_the_client():
    async with open_stage(MemoryLog()) as stage:
        document = (await stage.admin.get("/schema/openapi.json")).json()
        channels = (await stage.admin.get("/contract/asyncapi.json")).json()["operations"]
    shared = document["components"]["parameters"]
    given = document["paths"]["/v1/events"]["get"]["parameters"]
    parameters = [shared[each["$ref"].rpartition("/")[2]] if "$ref" in each else each for each in given]
    served = {each["name"] for each in parameters if each["in"] == "query"}
    for way, method, names in (
        ("feed_page", Events.read, served),
        ("feed_stream", Events.follow, served - {"limit"}),
    ):
        assert channels[f"receive_{way}"]["bindings"]["http"]["query"]["properties"].keys() == names
        assert {name.rstrip("_") for name in inspect.signature(method).parameters} - {"self"} == names
    event = document["components"]["schemas"]["CloudEvent"]
    assert not {"hash", "previoushash"} & {*event["required"]}, "a party gets no hash of what it sees in part"


async def test_what_will_end_is_announced_in_headers_and_in_the_document(monkeypatch):
    since = datetime(2027, 1, 1, tzinfo=UTC)
    ends = Deprecation(since=since, sunset=since + NOTICE_MIN, instead="Use orders.list.")
    with pytest.raises(ValueError, match="180 days"):
        Deprecation(since=since, sunset=since + NOTICE_MIN / 2, instead="Use orders.list.")
    async with open_stage(MemoryLog()) as stage:
        handlers = {
            (method, route.path_format): handler
            for route in stage.application.routes
            for handler in getattr(route, "route_handlers", ())
            for method in handler.http_methods
        }
        changelog = (ROOT / "CHANGELOG.md").read_text()
        marked = list_deprecated((await stage.admin.get("/schema/openapi.json")).json())
        assert not [name for name in marked if f"`{name}`" not in changelog], "CHANGELOG.md names what is deprecated"
        monkeypatch.setitem(handlers["GET", "/v1/test/clock"].opt, "deprecated", ends)
        monkeypatch.setitem(handlers["GET", "/v1/auctions"].opt, "deprecated_parameters", {"status": ends})
        headers = {"deprecation": "@1798761600", "sunset": "Wed, 30 Jun 2027 00:00:00 GMT"}
        for path, expected in (
            ("/v1/test/clock", headers),
            ("/v1/auctions?status=open", headers),
            ("/v1/auctions", {}),
        ):
            answer = await stage.admin.get(path)
            assert {name: answer.headers[name] for name in headers if name in answer.headers} == expected, path
        del stage.application.state["document"]
        document = (await stage.admin.get("/schema/openapi.json")).json()
    assert [*list_deprecated(document)] == ["auctions.list status", "clock.get"]
    assert "may end on 2027-06-30. Use orders.list." in document["paths"]["/v1/test/clock"]["get"]["description"]


async def test_schemas_of_events_are_served_as_their_dataschema_names_them():
    async with open_stage(MemoryLog()) as stage:
        anyone = await stage.open_client(None)
        await stage.post(stage.admin, "/v1/parties", PARTY)
        for item in (await stage.admin.get("/v1/events")).json()["items"]:
            name = item["event"]["dataschema"].removeprefix("urn:marketplace:schema:")
            schema = (await anyone.get(f"/contract/schemas/{name}")).json()
            assert schema["$id"] == item["event"]["dataschema"]
            Draft202012Validator(schema).validate(item["event"]["data"])
        assert (await anyone.get("/contract/asyncapi.json")).json()["asyncapi"].startswith("3.")
        for wrong in ("party.registered.v9.json", "..%2fparty.py", "lock.json"):
            answer = await anyone.get(f"/contract/schemas/{wrong}")
            assert (answer.status_code, answer.json()["code"]) == (404, "route_unknown")


async def test_health_is_open_and_true_and_metrics_are_true():
    async with open_stage(MemoryLog()) as stage:
        anyone = await stage.open_client(None)
        assert (await anyone.get("/health/live")).json() == {"status": "live"}
        await stage.post(stage.admin, "/v1/parties", PARTY)
        ready = (await anyone.get("/health/ready")).json()
        assert (ready["commands"], ready["reads"], ready["log_sequence"]) == (True, False, 2)
        metrics = (await stage.admin.get("/metrics")).text
        assert 'marketplace_http_requests_total{method="POST",route="/v1/parties",status="201"} 1.0' in metrics
