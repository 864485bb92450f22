"""Causes and effects: the commands before and after an event.

A client's command begins a chain. A worker's command follows an event: the last earlier event of the aggregate from
whose id the command's id derives. If it derives from none that the command wrote to, the command follows the latest
earlier event of these aggregates; an account, or another aggregate that many commands share, counts only if the
command wrote to no others.
"""

from collections.abc import Collection, Iterable
from typing import Any, Final, NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from marketplace.core.ids import derive_id
from marketplace.projections.engine.queries import parse_row
from marketplace.projections.feed.queries import EventView

_COMMANDS_MAX: Final = 60
_LEVELS_MAX: Final = 12
_SHARED: Final = frozenset({"account", "issuer", "lot", "mandate", "pool", "register", "schedule", "site"})
_OF_COMMANDS: Final = """
SELECT found.* FROM unnest(CAST(:commands AS text[])) AS of(command)
 CROSS JOIN LATERAL (
  SELECT * FROM event_index WHERE command_id = of.command ORDER BY sequence LIMIT 100
 ) AS found ORDER BY sequence
"""
_BESIDE: Final = """
SELECT found.* FROM unnest(CAST(:ids AS text[]), CAST(:sequences AS bigint[])) AS of(id, at)
 CROSS JOIN LATERAL (
  SELECT * FROM event_index WHERE aggregate_id = of.id AND sequence <BESIDE> of.at ORDER BY sequence <WAY> LIMIT 1
 ) AS found
"""
_BEFORE: Final = _BESIDE.replace("<BESIDE>", "<").replace("<WAY>", "DESC")
_AFTER: Final = _BESIDE.replace("<BESIDE>", ">").replace("<WAY>", "ASC")


class Link(NamedTuple):
    """A command of a chain: its events, and the sequence of the event that it followed, if it followed one."""

    events: tuple[EventView, ...]
    follows: int | None


async def load_chain(connection: AsyncConnection, command_id: str) -> list[Link]:
    """Return the chain of a command in the log's order: its first command and all that followed, at most 60.

    The command itself is always among them. The chain of an unknown command is empty.
    """
    found = await _load_links(connection, [command_id])
    if not found:
        return []
    root = await _find_root(connection, found[0])
    chain, level = {root.events[0].command_id: root}, [root]
    for _ in range(_LEVELS_MAX):
        ahead = await _load_effects(connection, level)
        level = [link for link in ahead if link.events[0].command_id not in chain][: _COMMANDS_MAX - len(chain)]
        if not level:
            break
        chain |= {link.events[0].command_id: link for link in level}
    # A long chain is cut; the command that was asked for stays.
    chain.setdefault(command_id, found[0])
    return sorted(chain.values(), key=lambda link: link.events[0].sequence)


async def _find_root(connection: AsyncConnection, link: Link) -> Link:
    for _ in range(_LEVELS_MAX):
        if link.follows is None:
            break
        cause = (await _run(connection, "SELECT * FROM event_index WHERE sequence = :at", at=link.follows))[0]
        [link] = await _load_links(connection, [cause.command_id])
    return link


async def _load_effects(connection: AsyncConnection, level: Iterable[Link]) -> list[Link]:
    """Return the workers' commands that followed an event of these commands."""
    sequences = {event.sequence for link in level for event in link.events}
    last = {(event.aggregate_id, link.events[-1].sequence) for link in level for event in link.events}
    after = await _load_beside(connection, _AFTER, last)
    commands = dict.fromkeys(event.command_id for event in after if _is_worker(event))
    return [link for link in await _load_links(connection, commands) if link.follows in sequences]


async def _load_links(connection: AsyncConnection, commands: Collection[str]) -> list[Link]:
    """Return commands with their events and causes, in the log's order."""
    by_command: dict[str, list[EventView]] = {}
    for event in await _run(connection, _OF_COMMANDS, commands=list(commands)):
        by_command.setdefault(event.command_id, []).append(event)
    firsts = {
        (event.aggregate_id, events[0].sequence)
        for events in by_command.values()
        if _is_worker(events[0])
        for event in events
    }
    before = await _load_beside(connection, _BEFORE, firsts)
    return [Link(tuple(events), _find_cause(events, before)) for events in by_command.values()]


def _find_cause(events: list[EventView], before: list[EventView]) -> int | None:
    """Return the event that a worker's command followed, among the events before it; None if it followed none."""
    first = events[0]
    if not _is_worker(first):
        return None
    step = first.fingerprint.partition("/")[2]
    written = {event.aggregate_id for event in events}
    causes = [event for event in before if event.aggregate_id in written and event.sequence < first.sequence]
    if not causes:
        return None

    def rank(event: EventView) -> tuple[bool, bool, int]:
        is_cause = derive_id("cmd", event.aggregate_id, step) == first.command_id
        return is_cause, event.aggregate not in _SHARED, event.sequence

    return max(causes, key=rank).sequence


def _is_worker(event: EventView) -> bool:
    return "/" in event.fingerprint


async def _load_beside(connection: AsyncConnection, query: str, places: Collection[tuple[str, int]]) -> list[EventView]:
    ids, sequences = [place[0] for place in places], [place[1] for place in places]
    return await _run(connection, query, ids=ids, sequences=sequences)


async def _run(connection: AsyncConnection, query: str, **bound: Any) -> list[EventView]:
    result = await connection.execute(text(query), bound)
    return [parse_row(row, EventView) for row in result.mappings()]
