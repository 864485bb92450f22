"""What every answer has in common: a request id, headers, HEAD, and requests of a form that is refused."""

import base64
import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import urlencode

import httpx
import pytest
import pytest_asyncio
import structlog
from structlog.testing import capture_logs

from marketplace.api.http import auth_middleware
from marketplace.api.http.body_faults import FAULTS_MAX
from marketplace.api.http.cursors import compute_mark
from marketplace.api.http.known_values import find_prefix, suggest
from marketplace.client import MarketplaceClient
from marketplace.core.errors import Corrupt
from marketplace.core.ids import rename_id
from marketplace.log.memory import MemoryLog
from tests.api.documented import read_document
from tests.api.stage import ADMIN_KEY, Stage, build_terms, open_stage
from tests.api.supplying import open_pool
from tests.api.test_commands import PARTY, assert_problem

JSON = {"Content-Type": "application/json"}


@pytest_asyncio.fixture
async def stage() -> AsyncIterator[Stage]:
    async with open_stage(MemoryLog()) as opened:
        yield opened


@pytest_asyncio.fixture
async def reading(database_url: str) -> AsyncIterator[Stage]:
    async with open_stage(MemoryLog(), database_url) as opened:
        yield opened


async def send(stage: Stage, body: bytes, media_type: str = "application/json") -> httpx.Response:
    headers = {"Idempotency-Key": f"k{next(stage.numbers)}", "Content-Type": media_type}
    return await stage.admin.post("/v1/parties", content=body, headers=headers)


async def test_every_answer_has_a_request_id_and_log_lines_name_it(stage: Stage, monkeypatch):
    anyone = await stage.open_client(None)
    for path in ("/v1/test/clock", "/v1/nothing", "/schema", "/schema/nothing", "/health/live"):
        own = (await anyone.get(path)).headers["request-id"]
        assert own != (await anyone.get(path)).headers["request-id"]
        named = await anyone.get(path, headers={"Request-Id": "mine-1"})
        assert named.headers["request-id"] == "mine-1"
    for wrong in ("a b", "x" * 129, "é".encode()):
        assert (await anyone.get("/health/live", headers={"Request-Id": wrong})).headers["request-id"] != wrong

    async def fail(*_):
        raise Corrupt("a page is damaged")

    monkeypatch.setattr(stage.services.handler.log, "append", fail)
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        answer = await stage.post(stage.admin, "/v1/parties", PARTY, Request_Id="mine-2")
    assert_problem(answer, 500, "log_corrupt")
    assert [line["request_id"] for line in lines if line["event"] == "log_corrupt"] == ["mine-2"]


async def test_answers_are_not_stored_and_run_nothing_in_a_browser(stage: Stage):
    for path in ("/v1/test/clock", "/v1/nothing", "/schema", "/schema/nothing", "/schema/openapi.json"):
        headers = (await stage.admin.get(path)).headers
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]


async def test_what_is_not_below_schema_is_a_problem(stage: Stage):
    for path in ("/schema/nothing", "/schema/a/b", "/schema/x.json"):
        assert_problem(await stage.admin.get(path), 404, "route_unknown")


async def test_head_is_answered_as_get_without_the_body(reading: Stage):
    for path in ("/v1/test/clock", "/v1/parties", "/v1/events", "/schema", "/health/live", "/v1/nothing"):
        accept = {"Accept": "text/event-stream" if path == "/v1/events" else "*/*"}
        head, whole = await reading.admin.head(path, headers=accept), await reading.admin.get(path)
        assert (head.status_code, head.content) == (whole.status_code, b"")
        assert head.headers["content-type"] == whole.headers["content-type"]
    allowed = (await reading.admin.options("/v1/parties")).headers["allow"]
    refused = await reading.admin.delete("/v1/parties")
    assert "HEAD" in allowed
    assert (refused.status_code, "HEAD" in refused.headers["allow"]) == (405, True)


async def test_refusals_carry_the_rate_limit():
    async with open_stage(MemoryLog(), requests_per_minute_max=2, anonymous_requests_per_minute_max=1) as stage:
        anyone = await stage.open_client(None)
        for client, statuses in ((anyone, (401, 429)), (stage.admin, (200, 200, 429))):
            for left, status in zip(reversed(range(len(statuses))), statuses, strict=True):
                answer = await client.get("/v1/test/clock")
                assert answer.status_code == status
                assert answer.headers["ratelimit-remaining"] == str(max(left - 1, 0))
                assert {"ratelimit-limit", "ratelimit-policy", "ratelimit-reset"} <= set(answer.headers)
        metrics = stage.application.state["metrics"].render().decode()
    assert 'marketplace_http_requests_total{method="GET",route="/v1/test/clock",status="401"} 1.0' in metrics
    assert 'marketplace_http_requests_total{method="GET",route="/v1/test/clock",status="429"} 2.0' in metrics


async def test_metrics_need_a_scope_of_the_platform(reading: Stage):
    startup = await reading.register("Startup", "startup")
    anyone, tenant = await reading.open_client(None), await reading.open_tenant(startup)
    assert_problem(await anyone.get("/metrics"), 401, "credentials_missing")
    assert_problem(await tenant.get("/metrics"), 403, "platform_only")
    for scopes, status in ((["*:read"], 403), (["metrics:scrape"], 200)):
        issued = await reading.post(reading.admin, "/v1/api-keys", {"name": "prometheus", "scopes": scopes})
        scraper = await reading.open_client(issued.json()["token"])
        assert (await scraper.get("/metrics")).status_code == status
    assert_problem(await scraper.get("/v1/parties"), 403, "scope_missing")


async def test_the_issue_of_a_key_that_ended_is_not_repeated(reading: Stage):
    body = {"name": "robot", "scopes": ["orders:read"]}
    first = await reading.post(reading.admin, "/v1/api-keys", body, key="k")
    path = f"/v1/api-keys/{first.json()['key_id']}"
    assert (await reading.post(reading.admin, f"{path}/suspend", {"reason": "a"})).status_code == 200
    assert_problem(await reading.post(reading.admin, "/v1/api-keys", body, key="k"), 409, "key_suspended")
    assert (await reading.post(reading.admin, f"{path}/resume", {"reason": "a"})).status_code == 200
    assert (await reading.post(reading.admin, "/v1/api-keys", body, key="k")).json() == first.json()
    assert (await reading.admin.delete(path)).status_code == 204
    assert_problem(await reading.post(reading.admin, "/v1/api-keys", body, key="k"), 409, "key_revoked")


@pytest.mark.parametrize(
    "name",
    ["Authorization", "Idempotency-Key", "If-Match", "Min-Seq", "Content-Type", "Request-Id", "traceparent"],
)
async def test_a_header_that_is_sent_twice_is_refused(stage: Stage, name):
    headers = {"Authorization": f"Bearer {ADMIN_KEY}", "Idempotency-Key": "k", **JSON}
    sent = [*headers.items(), (name, headers.get(name, '"1"'))]
    sent += [] if name in headers else [(name, '"1"')]
    client = await stage.open_client(None)
    answer = await client.post("/v1/parties", content=json.dumps(PARTY), headers=sent)
    assert_problem(answer, 400, "header_invalid")
    assert "RateLimit-Remaining" in answer.headers, "it counts for the address, as every request without a valid key"
    assert (await stage.services.handler.log.health()).last_sequence == 0


@pytest.mark.parametrize(
    ("accepted", "is_stream"),
    [
        (["text/event-stream"], True),
        (["application/json", "text/event-stream"], True),
        (["text/event-stream;q=0.4", "*/*;q=0.3"], True),
        (["Text/Event-Stream ; charset=utf-8 ; Q=1.0, application/json; q=0.9"], True),
        (["application/json", "text/event-stream;q=0.5"], False),
        (["application/*", "text/event-stream;q=0.999"], False),
        (["text/event-stream;q=0"], False),
        (["text/*"], False),
        (["", ",;q=2"], False),
    ],
)
async def test_accept_headers_are_one_list_with_weights(stage: Stage, accepted, is_stream):
    """Two of them were refused, and a weight of zero was taken for a wish."""
    sent = [("Authorization", f"Bearer {ADMIN_KEY}"), *(("Accept", each) for each in accepted)]
    client = await stage.open_client(None)
    client.headers.pop("accept")
    answer = await client.get("/v1/events?limit=1", headers=sent)
    if is_stream:
        assert_problem(answer, 422, "request_invalid")
    else:
        assert answer.headers["content-type"] == "application/json"


HONEST_NAMES = (
    "Żółw GmbH \u05d0",
    "Société « L'Œuvre »",
    "\u0634\u0631\u06a9\u062a \u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # Persian: a non-joiner within a word
    "क्\u200dष प्रौद्योगिकी",  # Hindi: a joiner after a virama
    "ශ්\u200dරී ලංකා",  # Sinhala
    "Công ty Trần Hưng Đạo",
    "שָׁלוֹם",  # Hebrew with points: two marks on one letter
    "株式会社\u3000東京",
    "Acme 🚀",
    "བོད་ལྗོངས",
)
HIDDEN_NAMES = (
    *(
        f"Ac{one}me"
        for one in "\u200b\u00ad\u2060\ufeff\u180e\ufe0f\u3164\u115f\u2800\u200e\u061c\U000e0041\U000e0100\u034f"
    ),
    "Ac\u200cme",
    "Ac\u200dme",
    "\u05d0\u200d",
    "Ac\u0301\u0301me",
    "Ac\u0300\u0301\u0302\u0303\u0304me",
    " Acme",
    "Acme ",
    "Acme  Labs",
    "Acme\u00a0",
)
UNPRINTABLE = ("text_unprintable", "/name")


@pytest.mark.parametrize(
    ("body", "status", "code", "pointer"),
    [
        (rb'{"name": "C:\\u0000", "roles": ["startup"], "jurisdiction": "US"}', 201, "", None),
        (rb'{"name": "A", "name": "B", "roles": ["startup"], "jurisdiction": "US"}', 400, "member_repeated", None),
        (
            rb'{"name":"\u0041","roles":["startup"],"jurisdiction":"US","jurisdiction":"US"}',
            400,
            "member_repeated",
            None,
        ),
        (rb'{"name": "A\u0000", "roles": ["startup"], "jurisdiction": "US"}', 422, "text_unprintable", "/name"),
        (rb'{"name": "A\u001b[2J", "roles": ["startup"], "jurisdiction": "US"}', 422, "text_unprintable", "/name"),
        (b'{"name": "A\x7f", "roles": ["startup"], "jurisdiction": "US"}', 422, "text_unprintable", "/name"),
        ('{"name": "A\u00a0B", "roles": ["startup"], "jurisdiction": "US"}'.encode(), 422, "text_unprintable", "/name"),
        ('{"name": "A\u2003B", "roles": ["startup"], "jurisdiction": "US"}'.encode(), 422, "text_unprintable", "/name"),
        (rb'{"name": "A\nB", "roles": ["startup"], "jurisdiction": "US"}', 422, "text_unprintable", "/name"),
        (rb'{"name": "A\u202eB", "roles": ["startup"], "jurisdiction": "US"}', 422, "text_unprintable", "/name"),
        ('{"name": "A\u2066B", "roles": ["startup"], "jurisdiction": "US"}'.encode(), 422, "text_unprintable", "/name"),
        ('{"name": "A\u0085B", "roles": ["startup"], "jurisdiction": "US"}'.encode(), 422, "text_unprintable", "/name"),
        (rb'{"name": "A\ud800", "roles": ["startup"], "jurisdiction": "US"}', 400, "body_malformed", None),
        (b'{"name": "  ", "roles": ["startup"], "jurisdiction": "US"}', 422, "text_blank", "/name"),
        (rb'{"name": "\t\n", "roles": ["startup"], "jurisdiction": "US"}', 422, "text_blank", "/name"),
        ('{"name": "\u200b\u3000", "roles": ["startup"], "jurisdiction": "US"}'.encode(), 422, "text_blank", "/name"),
        (
            '{"name": "\U0001d173\U0001bca0", "roles": ["startup"], "jurisdiction": "US"}'.encode(),
            422,
            "text_blank",
            "/name",
        ),
        (
            '{"name": "\u3164\u2800\ufe0f\u00ad", "roles": ["startup"], "jurisdiction": "US"}'.encode(),
            422,
            "text_blank",
            "/name",
        ),
        ('{"name": "\u0301", "roles": ["startup"], "jurisdiction": "US"}'.encode(), 422, "text_blank", "/name"),
        ('{"name": "\ue000 \u0378", "roles": ["startup"], "jurisdiction": "US"}'.encode(), 422, "text_blank", "/name"),
        (rb'{"name": "\u115f\udb40\udd00", "roles": ["startup"], "jurisdiction": "US"}', 422, "text_blank", "/name"),
        *(
            (
                f'{{"name": "A{one}B", "roles": ["startup"], "jurisdiction": "US"}}'.encode(),
                422,
                "text_unprintable",
                "/name",
            )
            for one in ("\ufdd0", "\ufdef", "\ufffe", "\uffff", "\U0001fffe", "\U0010ffff", "\\uffff", "\\ud83f\\udffe")
        ),
        ('{"name": "A\ufdcf\ufdf0\ufffd", "roles": ["startup"], "jurisdiction": "US"}'.encode(), 201, "", None),
        ('{"name": "A\u2028B", "roles": ["startup"], "jurisdiction": "US"}'.encode(), 422, "text_unprintable", "/name"),
        (b'{"name": "A", "roles": ["startup"], "jurisdiction": "US", "x": 1e400}', 422, "body_invalid", ""),
        (b'{"name": ' + b"9" * 5_000 + b"}", 422, "body_invalid", ""),
        (
            b'{"name": "A", "roles": ["startup"], "jurisdiction": "US", "' + b"x" * 9_000 + b'": 1}',
            422,
            "body_invalid",
            "",
        ),
        (b'{"' + b"x" * 9_000 + b'": 1, "' + b"x" * 9_000 + b'": 2}', 400, "member_repeated", None),
        *(
            (f'{{"name": "{name}", "roles": ["startup"], "jurisdiction": "US"}}'.encode(), 201, "", None)
            for name in HONEST_NAMES
        ),
        *(
            (f'{{"name": "{name}", "roles": ["startup"], "jurisdiction": "US"}}'.encode(), 422, *UNPRINTABLE)
            for name in HIDDEN_NAMES
        ),
    ],
)
async def test_text_that_a_person_cannot_read_is_refused(stage: Stage, body, status, code, pointer):
    answer = await send(stage, body)
    if status == 201:
        assert answer.status_code == 201, answer.text
    else:
        assert_problem(answer, status, code, pointer)
        assert len(answer.content) < 1_000, "a long name is not repeated"
        assert (await stage.services.handler.log.health()).last_sequence == 0


async def test_every_wrong_member_of_a_body_is_named_at_once_without_regular_expressions(stage: Stage):
    offer = {"gpu_class": "h100", "cash_usd_per_gpu_hour": 2, "equity_usd_per_gpu_hour": "1"}
    terms = {"offers": [offer], "interconnect": "infinibnad", "instrument": {"kind": "safe", "cap": 1}, "regions": None}
    body = {
        "startup_id": "x",
        "terms": {**build_terms(lambda day: f"2026-02-{day:02}T00:00:00Z"), **terms},
        "note": "x",
    }
    refused = await stage.post(stage.admin, "/v1/orders", body)
    assert (refused.status_code, refused.json()["code"]) == (422, "body_invalid")
    errors = {error["pointer"]: error for error in refused.json()["errors"]}
    assert {
        "/startup_id",
        "/terms/offers/0/gpu_class",
        "/terms/offers/0/cash_usd_per_gpu_hour",
        "/terms/interconnect",
        "/terms/instrument/cap",
        "/terms/instrument/conversion_timing",
        "/terms/regions",
        "/note",
    } == set(errors)
    assert errors["/terms/interconnect"]["allowed"] == ["any", "ethernet", "infiniband"]
    assert "did you mean infiniband?" in errors["/terms/interconnect"]["detail"]
    assert "in quotes" in errors["/terms/offers/0/cash_usd_per_gpu_hour"]["detail"]
    assert "[" not in "".join(error["detail"] for error in errors.values()), "a regular expression is shown"


@pytest.mark.parametrize("key", [None, "", "é".encode()])
async def test_wrong_headers_of_a_command_are_named_beside_the_wrong_members_of_its_body(stage: Stage, key):
    headers = {"If-Match": "7"} | ({} if key is None else {"Idempotency-Key": key})
    answer = await stage.admin.post("/v1/parties", json={**PARTY, "jurisdiction": "Mars"}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "body_invalid")
    wrong = {each["pointer"]: each["detail"] for each in answer.json()["errors"]}
    assert [*wrong] == ["/Idempotency-Key", "/If-Match", "/jurisdiction"]
    assert "Idempotency-Key" in wrong["/Idempotency-Key"]
    assert answer.json()["detail"].endswith("; 2 more members are wrong, see errors")


async def test_the_operator_cannot_grant_the_mandate_of_nobody(stage: Stage):
    terms = {"budget_usd": "1", "equity_credit": "1", "instrument_kinds": ["safe"], "issuer_usd_max": "1"}
    body = {"holder_id": "pty_01jdm5v5tze1xa6a4sbz1gk3c4", "funding": "cash", "terms": terms}
    assert_problem(await stage.post(stage.admin, "/v1/mandates", body), 404, "party_unknown")


async def test_a_reason_may_have_lines(stage: Stage):
    party_id = (await send(stage, json.dumps(PARTY).encode())).json()["id"]
    reason = {"reason": "first line\n\tsecond line"}
    assert (await stage.post(stage.admin, f"/v1/parties/{party_id}/suspend", reason)).status_code == 200


async def test_json_is_utf_8(stage: Stage):
    wrong = ("charset=utf-16", 'charset="UTF-16LE"', "charset=latin-1", "charset = utf-16", "charset*=utf-8''utf-16")
    for label in (*wrong, "charset=utf-8; charset=utf-16"):
        answer = await send(stage, json.dumps(PARTY).encode(), f"application/json; {label}")
        assert_problem(answer, 415, "media_type_unsupported")
    assert (await send(stage, json.dumps(PARTY).encode(), 'application/json; charset="UTF-8"')).status_code == 201


def later(hours: float) -> str:
    return (datetime.now(UTC) + timedelta(hours=hours)).isoformat()


def list_cursors() -> Iterator[str]:
    values = ("a\0b", 2**63, "not-a-date")
    for length in range(6):
        for value in values:
            parts = [value] if not length else [value] * length
            yield render(parts[0] if not length else parts)
            if length > 1:
                yield render([value if place == length - 1 else "" for place in range(length)])
                yield render([value if place == length - 1 else 0 if not place else "" for place in range(length)])


def render(key: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")


async def test_a_sequence_of_a_query_ends_with_its_digits(reading: Stage):
    assert_problem(await reading.admin.get("/v1/orders/book", params={"at": "0\n"}), 422, "request_invalid", "/at")


async def test_no_cursor_number_or_instant_of_a_query_is_an_error_of_the_server(reading: Stage):
    document = await read_document(reading.admin)
    tried = 0
    values = {
        "cursor": list(list_cursors()),
        "known": [str(2**63), str(10**40)],
        "at": [str(2**63), "9" * 18, "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"],
    }
    values |= dict.fromkeys(("start", "end", "occurred_until", "created_from", "created_before"), values["at"])
    values |= {"after": values["known"], "limit": values["known"]}
    needed = {"gpu_class": "H100_SXM", "start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z"}
    for template, item in document["paths"].items():
        path = template.replace("{issuer_id}", "iss_01jdm5v5tze1xa6a4sbz1gk3c4")
        for one in ("account", "auction", "grant", "instrument", "issuer", "party", "order", "mandate", "pool"):
            path = path.replace(f"{{{one}_id}}", f"{one[:3]}_01jdm5v5tze1xa6a4sbz1gk3c4")
        parameters = [one for one in item.get("get", {}).get("parameters", ()) if one["in"] == "query"]
        required = {one["name"]: needed.get(one["name"], "x") for one in parameters if one.get("required")}
        if required:
            refused = await reading.admin.get(path)
            missing = refused.json()["errors"][0]["pointer"].removeprefix("/")
            assert missing in required
            assert_problem(refused, 422, "request_invalid", f"/{missing}")
            assert refused.json()["detail"] == f"/{missing}: {missing} is missing"
        foreign = {"gpu_class", "account", "reference"} & {one["name"] for one in parameters}
        for name in foreign if "cursor" in {one["name"] for one in parameters} else ():
            answer = await reading.admin.get(path, params={**required, name: "\u00e9", "cursor": "abc"})
            assert answer.status_code < 500, (path, name, answer.text)
        for name in {one["name"] for one in parameters} & values.keys():
            for value in values[name]:
                if name == "cursor":
                    query = urlencode(required).encode()
                    value = compute_mark(path, query) + value  # noqa: PLW2901 - a cursor of this very list
                answer = await reading.admin.get(path, params={**required, name: value})
                assert answer.status_code < 500, (path, name, value, answer.text)
                tried += 1
    assert tried > 500


async def test_every_rule_that_terms_of_an_order_break_is_named_at_once(reading: Stage):
    startup_id = await reading.register("Startup", "startup", usd="100")
    terms = build_terms(lambda day: f"2099-02-{day:02}T00:00:00Z")
    empty = {"gpu_class": "H100_SXM", "cash_usd_per_gpu_hour": "0", "equity_usd_per_gpu_hour": "0"}
    wrong = {"offers": [empty, empty], "start_latest": "2099-01-01T00:00:00Z", "nodes_min": 9}
    for faults, pointers in (
        (wrong, ["offers/0", "offers/1/gpu_class", "start_latest", "nodes_min"]),
        (
            {"mandate_ids": ["mnd_01jdm5v5tze1xa6a4sbz1gk3c4"], "expires_at": "2020-01-01T00:00:00Z"},
            ["instrument", "expires_at"],
        ),
    ):
        refused = await reading.post(reading.admin, "/v1/orders", {"startup_id": startup_id, "terms": terms | faults})
        assert refused.status_code == 422
        assert [error["pointer"].removeprefix("/terms/") for error in refused.json()["errors"]] == pointers


async def test_an_instant_with_another_offset_is_stored_and_answered_in_utc(reading: Stage):
    startup_id = await reading.register("Startup", "startup", usd="10000")
    terms = build_terms(lambda day: f"2099-02-{day:02}T02:00:00+02:00")
    placed = await reading.post(reading.admin, "/v1/orders", {"startup_id": startup_id, "terms": terms})
    headers = {"Min-Seq": str(placed.json()["sequence"])}
    order = await reading.admin.get(f"/v1/orders/{placed.json()['id']}", headers=headers)
    event = await reading.admin.get("/v1/events?type=order.placed.v1", headers=headers)
    for shown in (order.json()["terms"], event.json()["items"][0]["event"]["data"]["terms"]):
        assert {name: shown[name] for name in ("start_earliest", "start_latest")} == {
            name: terms[name].replace("02:00:00+02:00", "00:00:00Z") for name in ("start_earliest", "start_latest")
        }
    ends = (datetime.now(UTC) + timedelta(days=9)).astimezone(timezone(timedelta(hours=-5)))
    body = {"name": "robot", "scopes": ["orders:read"], "expires_at": ends.isoformat()}
    key = (await reading.post(reading.admin, "/v1/api-keys", body)).json()
    assert key["expires_at"] == ends.astimezone(UTC).isoformat().replace("+00:00", "Z")


async def test_a_misspelt_scope_is_refused_with_the_nearest(stage: Stage):
    refused = await stage.post(stage.admin, "/v1/api-keys", {"name": "robot", "scopes": ["orders:raed"]})
    assert_problem(refused, 422, "scope_invalid", "/scopes/0")
    assert "did you mean orders:read?" in refused.json()["detail"]


async def test_parameters_and_choices_that_are_misspelt_are_refused_with_the_nearest(reading: Stage):
    for query, code, pointer, nearest in (
        ("limt=5", "parameter_unsupported", "/limt", "did you mean limit?"),
        ("cursor=&zzzz=1", "parameter_unsupported", "/zzzz", "use auction_id, count, created_before"),
        ("status=matchd", "request_invalid", "/status", "did you mean matched?"),
        ("status=a", "request_invalid", "/status", "use open, locked"),
        ("status=won", "request_invalid", "/status", "expired"),
        ("status=null", "request_invalid", "/status", "leave it out"),
        ("limit=5&limit=6", "parameter_repeated", "/limit", "send it once"),
        ("status=open&status=matchd", "request_invalid", "/status", "did you mean matched?"),
        ("status=MATCHED", "request_invalid", "/status", "did you mean matched?"),
        ("order=newst", "request_invalid", "/order", "did you mean newest?"),
        ("order=desc", "request_invalid", "/order", "did you mean newest?"),
        ("order=ascending", "request_invalid", "/order", "did you mean oldest?"),
        ("sort=newest", "parameter_unsupported", "/sort", "did you mean order?"),
        ("per_page=5", "parameter_unsupported", "/per_page", "did you mean limit?"),
        ("created_from=yesterday", "request_invalid", "/created_from", "RFC 3339"),
        ("auction_id=ord_01jdm5v5tze1xa6a4sbz1gk3c4", "request_invalid", "/auction_id", "no id such as auc_"),
        ("startup_id=", "request_invalid", "/startup_id", "no id such as pty_"),
        ("limit=1e2", "request_invalid", "/limit", "in digits alone"),
        ("limit=1.0", "request_invalid", "/limit", "in digits alone"),
    ):
        answer = await reading.admin.get(f"/v1/orders?{query}")
        assert_problem(answer, 400 if code == "parameter_repeated" else 422, code, pointer)
        assert nearest in answer.json()["errors"][0]["detail"]
        assert nearest in answer.json()["detail"]
        assert ("did you mean" in answer.text) == ("did you mean" in nearest)
    many = await reading.admin.get("/v1/events?" + "type=grant.issued.v1&" * 51)
    assert_problem(many, 422, "request_invalid", "/type")
    beyond = await reading.admin.get("/v1/orders", headers={"Min-Seq": "9"})
    assert_problem(beyond, 400, "header_invalid")
    assert "the log ends at 0" in beyond.json()["detail"]
    told = await reading.post(reading.admin, "/v1/parties?dry_run=true", PARTY)
    assert_problem(told, 422, "parameter_unsupported", "/dry_run")
    assert (await reading.services.handler.log.health()).last_sequence == 0


async def test_no_more_parameters_are_compared_with_the_known_ones_than_an_answer_names(reading: Stage, monkeypatch):
    """Each of thousands was compared, and the process answered nobody else for that time."""
    compared = list[str]()

    def count(name, known):
        compared.append(name)
        return suggest(name, known)

    monkeypatch.setattr(auth_middleware, "suggest", count)
    answer = await reading.admin.get("/v1/orders?" + "&".join(f"a{number}=" for number in range(1_000)))
    assert (answer.json()["code"], len(answer.json()["errors"])) == ("parameter_unsupported", FAULTS_MAX)
    assert len(compared) == FAULTS_MAX


async def test_every_parameter_of_a_query_that_is_misspelt_is_named_at_once(reading: Stage):
    for query, code, pointers in (
        ("limt=5&sort=newest&startup_id=x", "parameter_unsupported", ["/limt", "/sort", "/startup_id"]),
        ("startup_id=x&auction_id=null&limit=1e2", "request_invalid", ["/startup_id", "/auction_id", "/limit"]),
        ("limit=5&limit=6&limit=7&x=1", "parameter_repeated", ["/limit", "/limit", "/x"]),
    ):
        answer = await reading.admin.get(f"/v1/orders?{query}")
        assert answer.json()["code"] == code
        assert [each["pointer"] for each in answer.json()["errors"]] == pointers


async def test_an_empty_filter_is_refused_with_what_it_may_be(reading: Stage):
    absent = "01jdm5v5tze1xa6a4sbz1gk3c4"
    for query, what in (
        ("orders?status=", "use open, locked, matched"),
        ("parties?role=", "use startup, provider, fund"),
        ("lots?order=", "use id, oldest, newest"),
        ("balances?unit=", "units are USD, "),
        ("pools?region=", "it has none yet"),
        ("lots?gpu_class=", "it has none yet"),
        ("market/depth?gpu_class=", ""),
        ("events?type=", "no event has the type ''"),
        ("entries?account=", "length >= 1"),
        (f"accounts/acc_{absent}/holds?purpose=", "length >= 1"),
        (f"issuers/iss_{absent}/cap-table/explain?security=", "length >= 1"),
        (f"parties/pty_{absent}/portfolio?retail=", "length >= 1"),
        (f"parties/pty_{absent}/portfolio?own_cost=", "length >= 1"),
    ):
        answer = await reading.admin.get(f"/v1/{query}")
        assert answer.status_code == 422, (query, answer.text)
        assert what in answer.json()["detail"], (query, answer.text)


async def test_a_text_that_no_row_can_have_is_refused_as_a_filter(reading: Stage):
    account = f"/v1/accounts/{rename_id('acc', await reading.register('Startup', 'startup'))}"
    reach = {"Min-Seq": await reading.reach()}
    for path, pointer in (
        ("/v1/entries?account=nonsense", "/account"),
        ("/v1/entries?account=acc_1/held", "/account"),
        (f"{account}/holds?purpose=nonsense", "/purpose"),
        ("/v1/balances?at=999", "/at"),
        (f"{account}/explain?at=999", "/at"),
        ("/v1/market/depth?gpu_class=H100_SXM&at=999", "/at"),
    ):
        assert_problem(await reading.admin.get(path, headers=reach), 422, "request_invalid", pointer)
    for query in (f"account={account[13:]}/held", "account=external/USD", "account=clearing/USD"):
        assert (await reading.admin.get(f"/v1/entries?{query}", headers=reach)).status_code == 200


async def test_decimals_beyond_their_bounds_are_told_as_they_were_written(reading: Stage):
    account = f"/v1/accounts/{rename_id('acc', await reading.register('Startup', 'startup'))}"
    for amount, code, words in (
        ("0.0000001", "amount_too_precise", "is 0.0000001 dollars"),
        ("9" * 30, "body_invalid", "at most 24 digits"),
        ("0." + "1" * 31, "body_invalid", "at most 24 digits"),
        ("9" * 17, "amount_too_large", "the most is 1000000000000000"),
    ):
        body = {"amount_usd": amount, "reference": "r"}
        refused = await reading.post(reading.admin, f"{account}/deposits", body)
        assert_problem(refused, 422, code, "/amount_usd")
        assert words in refused.json()["detail"]


async def test_text_states_its_charset_once(reading: Stage):
    account = f"/v1/accounts/{rename_id('acc', await reading.register('Startup', 'startup'))}"
    reach, span = {"Min-Seq": await reading.reach()}, "start=2026-01-01T00:00:00Z&end=2027-01-01T00:00:00Z"
    for form, named in (("csv", "text/csv; header=present; charset=utf-8"), ("html", "text/html; charset=utf-8")):
        answer = await reading.admin.get(f"{account}/statement.{form}?{span}", headers=reach)
        assert answer.headers["Content-Type"] == named


async def test_a_query_is_utf_8(reading: Stage):
    for query in ("account=%ff%fe", "account=a%c3"):
        assert_problem(await reading.admin.get(f"/v1/entries?{query}"), 400, "header_invalid")
    assert_problem(await reading.admin.get("/v1/entries?account=%C5%BC"), 422, "request_invalid", "/account")


async def test_a_key_of_other_characters_is_refused_with_those_it_may_have(stage: Stage):
    for key in ("a b", "é", "", "a" * 201):
        headers = {"Idempotency-Key": key.encode()}
        answer = await stage.admin.post("/v1/parties", json=PARTY, headers=headers)
        assert_problem(answer, 400, "header_invalid")
        assert "1 to 200 characters of ASCII from ! to ~" in answer.json()["detail"]
    answer = await stage.admin.post("/v1/parties", json=PARTY, headers={"Idempotency-Key": "!" + "~" * 199})
    assert answer.status_code == 201


async def test_a_class_or_region_that_nobody_has_is_refused_with_the_nearest(reading: Stage):
    for path in ("lots?region=zz-nowhere", "market/depth?gpu_class=H100", "market/index?gpu_class=H100"):
        assert (await reading.admin.get(f"/v1/{path}")).status_code == 200, "a market without supply refuses nothing"
    async with MarketplaceClient("http://test", ADMIN_KEY, httpx.ASGITransport(reading.application)) as platform:
        await open_pool(platform, await reading.register("Provider", "provider"), 400)
    startup = await reading.register("Startup", "startup", usd="100000")
    tenant, headers = await reading.open_tenant(startup), {"Min-Seq": await reading.reach()}
    for path, code in (
        ("lots?region=us-eas", "region_unoffered"),
        ("pools?region=us-eas", "region_unoffered"),
        ("pools?gpu_class=H100", "gpu_class_unoffered"),
        ("market/depth?gpu_class=H100", "gpu_class_unoffered"),
        ("market/curves?gpu_class=H100", "gpu_class_unoffered"),
        ("market/index?gpu_class=H100", "gpu_class_unoffered"),
        ("market/prices?gpu_class=H100", "gpu_class_unoffered"),
        ("market/list-prices?gpu_class=H100", "gpu_class_unoffered"),
        ("balances?unit=GPU-second:H100", "gpu_class_unoffered"),
    ):
        answer = await tenant.get(f"/v1/{path}", headers=headers)
        assert_problem(answer, 422, code)
        assert answer.json()["errors"][0]["detail"].endswith(
            "did you mean H100_SXM?" if code == "gpu_class_unoffered" else "did you mean us-east?"
        )
    before, offer = await reading.reach(), build_terms(later)["offers"][0]
    for change, code, pointer in (
        ({"offers": [{**offer, "gpu_class": "H100"}]}, "gpu_class_unoffered", "/terms/offers/0/gpu_class"),
        ({"regions": ["us-east", "zz-nowhere"]}, "region_unoffered", "/terms/regions/1"),
    ):
        body = {"startup_id": startup, "terms": build_terms(later) | change}
        for target in ("/v1/orders", "/v1/quotes"):
            assert_problem(await reading.post(tenant, target, body), 422, code, pointer)
    offers = [{**offer, "gpu_class": "H100"}, offer]
    both = build_terms(later) | {"offers": offers, "regions": ["zz-a", "us-east", "zz-b"], "nodes_min": 9}
    told = await reading.post(tenant, "/v1/orders", {"startup_id": startup, "terms": both})
    assert_problem(told, 422, "gpu_class_unoffered")
    assert [each["pointer"] for each in told.json()["errors"]] == [
        "/terms/offers/0/gpu_class", "/terms/regions/0", "/terms/regions/2", "/terms/nodes_min",
    ]  # fmt: skip
    assert await reading.reach() == before
    body = {"startup_id": startup, "terms": build_terms(later, regions=["us-east"])}
    placed = await reading.post(tenant, "/v1/orders", body)
    assert placed.status_code == 201, placed.text
    terms = build_terms(later) | {"offers": [{**offer, "gpu_class": "H100"}]}
    amended = await tenant.put(placed.headers["location"], json={"terms": terms})
    assert_problem(amended, 422, "gpu_class_unoffered", "/terms/offers/0/gpu_class")


async def test_several_values_behind_a_comma_are_refused_with_the_query_that_means_them(stage: Stage):
    for query, meant in (
        ("status=open,matched", "status=open&status=matched"),
        ("expand=grant,decision", "expand=grant&expand=decision"),
    ):
        refused = await stage.admin.get(f"/v1/orders?{query}")
        assert_problem(refused, 422, "request_invalid", f"/{query.partition('=')[0]}")
        assert f"has one value each time; send {meant}" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("pointer", "prefix"),
    [
        ("/site_id", "sit"),
        ("/terms/parent_order_id", "ord"),
        ("/grant_ids/0", "grt"),
        ("/buyer_issuer_id", "iss"),
        ("/later_instrument_id", "ins"),
        ("/payee_account_id", "acc"),
        ("/service_line_id", "svl"),
        ("/tranche_id", "trn"),
        ("/replacement_ids/1", "grt"),
        ("/holder_id_after", "pty"),
        ("/vendor_ids/0", "pty"),
    ],
)
def test_the_example_of_an_id_is_of_the_kind_that_the_member_wants(pointer, prefix):
    assert find_prefix(pointer) == prefix


async def test_a_malformed_id_in_a_body_is_refused_with_one_of_the_right_kind(stage):
    for path, body, expected in (
        ("/v1/pools", {"site_id": "sit_xx"}, {"/site_id": "sit"}),
        ("/v1/lots", {"pool_id": "x", "mandate_ids": ["x"]}, {"/pool_id": "pol", "/mandate_ids/0": "mnd"}),
    ):
        answer = await stage.post(stage.admin, path, body)
        details = {each["pointer"]: each["detail"] for each in answer.json()["errors"]}
        for pointer, prefix in expected.items():
            example = f"such as {prefix}_01jdm5v5tze1xa6a4sbz1gk3c4"
            assert details[pointer] == f"must be an id as answers state it, {example}"
