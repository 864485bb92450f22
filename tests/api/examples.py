"""Examples of request bodies, recorded from the story of endpoints: the shortest that each operation accepts."""

import json
import re
from typing import NamedTuple

from httpx import ASGITransport, AsyncClient

from marketplace.api.http.examples import DAY, map_texts, move_day
from marketplace.api.http.request_file import use_variables

ID = re.compile(r"\b([a-z]{3}_)[0-9a-hjkmnp-tv-z]{26}\b")
DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"


def make_example(body, today):
    """Return a body with ids that name nothing, and with instants as far from `DAY` as they are from `today`."""
    ids = {}

    def change(text):
        renamed = ID.sub(lambda found: ids.setdefault(found[0], f"{found[1]}{name_nothing(len(ids))}"), text)
        return move_day(renamed, today, DAY)

    return map_texts(body, change)


def name_nothing(number):
    return f"01jdm5v5tze1xa6a4sbz1gk3c{DIGITS[number]}"


class Requests:
    """The requests with bodies of `/schema/requests.http`, as somebody sends them who fills in a market's own ids.

    Attributes:
        sent: Operations whose request was filled.
    """

    def __init__(self, client, get_today):
        self.sent = set()
        self._client, self._get_today = client, get_today
        self._day, self._found = None, {}

    async def fill(self, route, ids, body):
        """Return the text, key excepted, of the request whose example is this body with other ids; None: there is none.

        It is the operation's path, headers and body, with ids in place of the variables of the path and of those ids
        of the example that name nothing.
        """
        today = self._get_today()
        request = (await self.load()).get(route)
        if request is None or make_example(request.body, today) != use_variables(make_example(body, today))[0]:
            return None
        self.sent.add(request.operation_id)
        path = re.sub(r"{{\w+}}", "{}", request.path).format(*ids)
        return path, request.headers, fill_text(request.text, body, body.get("reference", ""))

    async def load(self):
        """Return the requests of the market's day, by their route."""
        today = self._get_today()
        if self._day != today:
            self._day, self._found = today, parse_requests((await self._client.get("/schema/requests.http")).text)
        return self._found

    async def send(self, origin, request, application):
        """Send a request with the ids of the one that its example comes from; return the answer."""
        text = fill_text(request.text, json.loads(origin.content), f"fresh-{request.operation_id}")
        headers = {"Authorization": origin.headers["authorization"], "Content-Type": request.headers["Content-Type"]}
        if "Idempotency-Key" in request.headers:
            headers["Idempotency-Key"] = f"example-{request.operation_id}"
        async with AsyncClient(transport=ASGITransport(application), base_url="http://test") as client:
            return await client.request(origin.method, origin.url.path, content=text, headers=headers)


class Request(NamedTuple):
    """A request with a body: the id of its operation, its path with variables, headers and body."""

    operation_id: str
    path: str
    headers: dict[str, str]
    text: str

    @property
    def body(self):
        return json.loads(self.text)


def parse_requests(text):
    """Return the requests with bodies of an HTTP file by their route: method and path with empty braces."""
    found = {}
    for part in text.split("### ")[1:]:
        head, _, body = part.partition("\n\n")
        (title, line, *headers) = head.splitlines()
        method, _, address = line.partition(" {{api}}")
        if body.strip():
            fields = dict(each.split(": ", 1) for each in headers)
            request = Request(title.partition(":")[0], address, fields, body)
            found[method, re.sub(r"{{\w+}}", "{}", address)] = request
    return found


def fill_text(text, body, fresh):
    """Return a request's text with the ids of a body of the same form in place of its variables."""
    made_up = make_example(body, DAY)
    real = dict(zip(list_ids(made_up), list_ids(body), strict=True))
    named = {name: real[each] for name, each in use_variables(made_up)[1].items()}
    return re.sub(r"{{([^}]+)}}", lambda found: fresh if found[1] == "$timestamp" else named[found[1]], text)


def list_ids(body):
    """Return the ids in a body, each once, in their order."""
    return list(dict.fromkeys(found[0] for found in ID.finditer(json.dumps(body))))


class Examples:
    """The shortest example of each operation, by its id.

    Attributes:
        found: The examples.
        origins: The requests that they come from.
    """

    def __init__(self):
        self.found = {}
        self.origins = {}

    def hear(self, operation_id, request, today):
        """Keep the body of an accepted request if it is shorter than the one so far."""
        example = make_example(json.loads(request.content), today)
        if operation_id not in self.found or rank(example) < rank(self.found[operation_id]):
            self.found[operation_id], self.origins[operation_id] = example, request


def rank(example):
    text = json.dumps(example)
    return len(text), text
