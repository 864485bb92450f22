"""How a part of `/v1` is announced to end: headers on its answers, and marks in the OpenAPI document.

A route's `opt` states `deprecated`, a `Deprecation`, or `deprecated_parameters`, one for each name of its query.
The policy is in docs/how-to-use-the-api.md.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, Final

import msgspec

from marketplace.api.http.rate_limit import Headers

NOTICE_MIN: Final = timedelta(days=180)
"""How long at least a deprecated part goes on working."""


class Deprecation(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the API that will end.

    Attributes:
        since: Day from which new clients should not use it.
        sunset: Day from which it may be gone, `NOTICE_MIN` later at least.
        instead: What to use in its place, as a sentence.
    """

    since: datetime
    sunset: datetime
    instead: str

    def __post_init__(self) -> None:
        if self.sunset - self.since < NOTICE_MIN:
            raise ValueError(f"a part that is deprecated works for {NOTICE_MIN.days} days more at least")

    def render_headers(self) -> Headers:
        """Return the headers `Deprecation` (RFC 9745) and `Sunset` (RFC 8594)."""
        return [
            (b"deprecation", f"@{int(self.since.timestamp())}".encode()),
            (b"sunset", format_datetime(self.sunset.astimezone(UTC), usegmt=True).encode()),
        ]

    def describe(self) -> str:
        """Return the sentence for the OpenAPI document."""
        return f"Deprecated since {self.since.date()}; may end on {self.sunset.date()}. {self.instead}"


def find_headers(options: Mapping[str, Any], names: Iterable[str]) -> Headers:
    """Return the headers of an answer to a request.

    Args:
        options: The route's `opt`.
        names: The parameters in the request's query.
    """
    found: list[Deprecation] = [options["deprecated"]] if "deprecated" in options else []
    parameters: Mapping[str, Deprecation] = options.get("deprecated_parameters", {})
    found += [parameters[name] for name in names if name in parameters]
    return min(found, key=lambda each: each.sunset).render_headers() if found else []


def mark_operation(operation: dict[str, Any], options: Mapping[str, Any]) -> None:
    """Mark an operation of the OpenAPI document and its parameters."""
    parameters: Mapping[str, Deprecation] = options.get("deprecated_parameters", {})
    marks = [(each, parameters[each["name"]]) for each in operation["parameters"] if each["name"] in parameters]
    if "deprecated" in options:
        marks.append((operation, options["deprecated"]))
    for part, deprecation in marks:
        part["deprecated"] = True
        part["description"] = f"{part['description']}. {deprecation.describe()}".replace("..", ".")


def list_deprecated(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a document marks, as the CHANGELOG names it: ``orders.place``, or ``orders.list status``."""
    shared = document["components"]["parameters"]
    for item in document["paths"].values():
        for operation in item.values():
            name = operation["operationId"]
            if operation.get("deprecated"):
                yield name
            listed = (
                shared.get(each.get("$ref", "").rpartition("/")[2], each) for each in operation.get("parameters", ())
            )
            yield from (f"{name} {each['name']}" for each in listed if each.get("deprecated"))
