"""Reads: wait for earlier writes, read a projection, and show a tenant only its own rows."""

import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeVar

import msgspec
from litestar import Request, Response
from litestar.di import NamedDependency
from litestar.params import HeaderParameter, QueryParameter, SkipValidation
from sqlalchemy.ext.asyncio import AsyncConnection

from events.instants import REQUESTED, is_requested
from events.registry import AGGREGATES
from marketplace.api.http.keys import SEALED, Principal
from marketplace.api.http.services import Services, get_services
from marketplace.api.http.visibility import FAMILIES, Visibility
from marketplace.core.errors import Refusal, Unavailable
from marketplace.core.intervals import find_instant
from marketplace.domain.refusals import refuse_unknown, require_found
from marketplace.projections.engine.database import reachable

SEQUENCE: Final = re.compile(r"^[0-9]{1,18}$")
ACTS: Final = {"order": "orders", "mandate": "mandates", "consent": "proposals", "relation": "parties"}
"""The feature whose terms a kind of act states that waits for a second person; the others are of accounts alone."""
V = TypeVar("V")
S = TypeVar("S", bound=msgspec.Struct)

AtText = Annotated[
    str | None,
    QueryParameter(
        name="at",
        max_length=40,
        description="A sequence, or an RFC 3339 instant",
        schema_extra={"anyOf": [{"pattern": SEQUENCE.pattern}, {"format": "date-time"}]},
    ),
]


def describe_instant(text: str, name: str | None = None) -> QueryParameter:
    """Return what the document says of a parameter that is an instant, which `parse_instant` reads."""
    return QueryParameter(name=name, max_length=40, description=text, schema_extra={"format": "date-time"})


InstantText = Annotated[str, describe_instant("RFC 3339 instant with an offset")]
OptionalInstantText = Annotated[str | None, describe_instant("RFC 3339 instant with an offset")]
KnownSequence = Annotated[
    int | None,
    QueryParameter(
        name="known",
        ge=0,
        le=2**53 - 1,
        description="Only what the log held at this sequence",
        schema_extra={"minimum": 0},  # Litestar leaves a bound of 0 out
    ),
]
Word = Annotated[str | None, QueryParameter(max_length=60)]
WHOSE: Final = "Whose; the platform names one"
Whose = Annotated[str | None, QueryParameter(max_length=60, description=WHOSE)]
"""A party that a key of the platform has to name; a tenant names itself at most."""
FreeWord = Annotated[str | None, QueryParameter(min_length=1, max_length=60)]
"""A filter by a text that is neither an id nor one of known values."""
W = TypeVar("W", bound=str)
Statuses = Annotated[list[W] | None, QueryParameter(max_items=10, description="Only in these")]
"""Filters a list by statuses: ``Statuses[Status]``."""


@dataclass(frozen=True, slots=True)
class Reader:
    """One read: who reads, and the position that it must reflect."""

    services: Services
    principal: Principal
    min_seq: int

    @property
    def party_id(self) -> str | None:
        """The tenant, which sees only its own rows; None for the platform, which sees all."""
        return self.principal.party_id

    @property
    def sees_sealed(self) -> bool:
        """Whether it sees the offers of the parties whose rows it sees: a tenant, or a key with ``orders:sealed``."""
        return self.party_id is not None or self.principal.allows(SEALED)

    @property
    def sees_foreign(self) -> bool:
        """Whether it sees the sealed offers of every party: a key of the platform with ``orders:sealed``."""
        return self.party_id is None and self.principal.allows(SEALED)

    @property
    def hidden_acts(self) -> frozenset[str]:
        """The kinds of acts that wait for a second person and that it may not read: they state other resources' terms.

        A key of a party reads them with the read scope of the resource; one of the platform reads orders if it sees
        sealed offers.
        """
        if self.party_id is None:
            return frozenset() if self.sees_sealed else frozenset({"order"})
        return frozenset(kind for kind, feature in ACTS.items() if not self.principal.allows(f"{feature}:read"))

    @property
    def now(self) -> datetime:
        """The market's time."""
        return self.services.handler.clock.now()

    @contextlib.asynccontextmanager
    async def connect(self) -> AsyncIterator[AsyncConnection]:
        """Yield a connection once the projections have reached `Min-Seq`.

        Raises:
            Unavailable: The projections are behind or stopped, or PostgreSQL is away.
        """
        engine, watch = self.services.get_engine(), self.services.watch
        if not self.min_seq:
            async with reachable(), engine.connect() as connection:
                yield connection
            return
        if watch is None:
            raise Unavailable("projections", "this process does not know how far the projections are")
        async with watch.connect(self.min_seq, self.services.settings.read_wait_seconds_max) as connection:
            yield connection

    def narrow(self, party_id: str | None) -> str | None:
        """Return the party to list: the tenant itself, or for the platform the requested one; None: all parties.

        Raises:
            Refusal: ``party_unknown`` if a tenant asks for another party.
        """
        if self.party_id is None:
            return party_id
        if party_id not in (None, self.party_id):
            raise refuse_unknown("party", str(party_id))
        return self.party_id

    def show(self, view: S | None, rule: Visibility[S], id: str) -> S:  # noqa: A002 - the field's word
        """Return what the reader may see of what was found.

        Raises:
            Refusal: ``<aggregate>_unknown``, both for a missing resource and for another tenant's.
        """
        return require_found(rule.aggregate, id, None if view is None else rule.show(view, self.party_id))

    def require_platform(self) -> None:
        """Refuse a tenant.

        Raises:
            Refusal: ``platform_only``.
        """
        if self.party_id is not None:
            raise Refusal("platform_only", "only the platform's operator may read this; ask the operator")


Read = NamedDependency[SkipValidation[Reader]]


def list_kinds(principal: Principal) -> frozenset[str] | None:
    """Return the kinds of aggregates whose events a key's scopes show; None for all."""
    shown = frozenset(kind for kind, feature in FAMILIES.items() if principal.allows(f"{feature}:read"))
    return None if shown == frozenset(AGGREGATES) else shown


MinSeq = Annotated[
    str | None,
    HeaderParameter(
        name="Min-Seq",
        description="`Commit-Seq` of a command whose effect the answer must show",
        schema_extra={"type": "integer", "minimum": 0, "maximum": 10**18 - 1},
    ),
]


async def provide_reader(request: Request[Principal, Any, Any], min_seq: MinSeq = None) -> Reader:
    """Return the reader of a request.

    Raises:
        Refusal: ``header_invalid``.
    """
    text = "0" if min_seq is None else min_seq
    if not SEQUENCE.fullmatch(text):
        raise Refusal("header_invalid", "Min-Seq must be a sequence that Commit-Seq gave")
    await require_in_log(get_services(request), int(text), "header_invalid", "Min-Seq")
    return Reader(get_services(request), request.user, int(text))


async def require_in_log(
    services: Services,
    sequence: int,
    code: str,
    name: str,
    *,
    remedy: str = "send what Commit-Seq gave",
    pointer: str | None = None,
) -> None:
    """Refuse a sequence beyond the log's end at once, in place of waiting for it. If NATS is away, nothing is refused.

    Raises:
        Refusal: The code.
    """
    if sequence <= services.follower.position:
        return
    with contextlib.suppress(Unavailable):
        last = (await services.handler.log.health()).last_sequence
        if sequence > last:
            raise Refusal(code, f"{name} is {sequence}, and the log ends at {last}; {remedy}", pointer=pointer)


def answer_versioned(view: V, version: int) -> Response[V]:
    """Return the answer of one aggregate with its version as ETag."""
    return Response(view, headers={"ETag": f'"{version}"'})


async def parse_at(reader: Reader, text: str | None) -> int | datetime | None:
    """Return a point in time: a sequence or an instant; None for now.

    Raises:
        Refusal: ``request_invalid``, also for a sequence beyond the log's end.
    """
    if text is None or not SEQUENCE.fullmatch(text):
        return None if text is None else parse_instant(text, "/at")
    await require_in_log(reader.services, int(text), "request_invalid", "at", pointer="/at")
    return int(text)


def parse_instant(text: str, pointer: str) -> datetime:
    """Return an instant of the query.

    Raises:
        Refusal: ``request_invalid`` if it is not RFC 3339, has no offset, or is out of bounds.
    """
    instant = find_instant(text.replace(" ", "+"))
    if instant is None:
        raise Refusal(
            "request_invalid",
            f"{text!r} is not an RFC 3339 instant with an offset, such as 2026-01-31T00:00:00Z",
            pointer=pointer,
        )
    if not is_requested(instant):
        raise Refusal("request_invalid", f"{text} {REQUESTED}; state a time within them", pointer=pointer)
    return instant.astimezone(UTC)
