"""What lies around an event: the chain of causes and effects, and the state of its aggregate; for the platform."""

import asyncio
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, Final

import msgspec
from immutables import Map
from litestar import Router, get
from litestar.params import QueryParameter

from events.subjects import parse_subject
from marketplace.api.feed.events import PATH, require_scopes
from marketplace.api.http.bodies.feed import ChainCommand, ChainEvent, StatesAround
from marketplace.api.http.queries import Read, Reader, list_kinds
from marketplace.core.errors import Refusal
from marketplace.domain.deciders import DECIDERS
from marketplace.log.events import parse_event
from marketplace.log.port import Recorded
from marketplace.projections.feed.chain import Link, load_chain

Position = Annotated[int, QueryParameter(ge=1, le=2**53 - 1, description="Position of the event in the log")]


@get("/chain", operation_id="events.get_chain", summary="Read causes and effects of an event", opt={"sealed": True})
async def read_chain(reader: Read, sequence: Position) -> list[ChainCommand]:
    """Return the commands before an event that led to it, and those that followed; at most 60; for the platform.

    Raises:
        Refusal: ``platform_only`` · ``event_unknown`` · ``scope_missing`` for an event that the key's scopes hide.
    """
    reader.require_platform()
    recorded = await _find(reader, sequence)
    async with reader.connect() as connection:
        links = await load_chain(connection, recorded.envelope.causationid)
    firsts = await asyncio.gather(*(reader.services.handler.log.find(link.events[0].sequence) for link in links))
    kinds = list_kinds(reader.principal)
    return [_render(link, first, kinds) for link, first in zip(links, firsts, strict=True)]


@get("/states", operation_id="events.get_states", summary="Read the states around an event", opt={"sealed": True})
async def read_states(reader: Read, sequence: Position) -> StatesAround:
    """Return the state of the event's aggregate before and after it; for the platform.

    States are what this release folds; their members may change with any release.

    Raises:
        Refusal: ``platform_only`` · ``event_unknown`` · ``scope_missing`` for an event that the key's scopes hide ·
            ``state_unknown`` for an aggregate whose events make no state.
    """
    reader.require_platform()
    recorded = await _find(reader, sequence)
    aggregate, aggregate_id = parse_subject(recorded.subject)
    decider = DECIDERS.get(aggregate)
    if decider is None:
        raise Refusal(
            "state_unknown", f"events of {aggregate} make no state; read the event itself", aggregate=aggregate
        )
    history = [one for one in await reader.services.handler.log.load(recorded.subject) if not one.void]
    at = next(place for place, one in enumerate(history) if one.sequence == sequence)
    before = decider.fold(parse_event(one) for one in history[:at])
    after = decider.evolve(before, parse_event(history[at]))
    return StatesAround(
        aggregate=aggregate,
        aggregate_id=aggregate_id,
        previous=history[at - 1].sequence if at else None,
        next=history[at + 1].sequence if at + 1 < len(history) else None,
        before=_simplify(before) if at else None,
        after=_simplify(after),
    )


async def _find(reader: Reader, sequence: int) -> Recorded:
    recorded = await reader.services.handler.log.find(sequence)
    if recorded is None or recorded.void:
        raise Refusal(
            "event_unknown",
            f"there is no event {sequence}: the log ends before it, or its position is empty or annotated",
            id=str(sequence),
        )
    parse_event(recorded)
    require_scopes(reader.principal, [parse_subject(recorded.subject)[0]])
    return recorded


def _render(link: Link, first: Recorded | None, kinds: frozenset[str] | None) -> ChainCommand:
    """Return a command with its events of these kinds; None: of all."""
    event = link.events[0]
    return ChainCommand(
        command_id=event.command_id,
        follows=link.follows,
        actor="" if first is None else first.envelope.actor,
        step=event.fingerprint if "/" in event.fingerprint else None,
        occurred_at=event.occurred_at,
        events=tuple(
            ChainEvent(sequence=one.sequence, tag=one.tag, aggregate=one.aggregate, aggregate_id=one.aggregate_id)
            for one in link.events
            if kinds is None or one.aggregate in kinds
        ),
    )


def _simplify(state: Any) -> Any:
    return msgspec.to_builtins(state, str_keys=True, builtin_types=(Decimal,), enc_hook=_convert)


def _convert(value: Any) -> Any:
    if isinstance(value, Map):
        return {"/".join(map(str, key)) if isinstance(key, tuple) else key: inner for key, inner in value.items()}
    return str(value) if isinstance(value, Fraction) else repr(value)


ROUTER: Final = Router(PATH, route_handlers=[read_chain, read_states], tags=["events"], opt={"feature": "events"})
