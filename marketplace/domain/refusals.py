"""Refusals with the same wording for every aggregate."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import TypeVar

import msgspec

from events.instants import STORED, find_outside, is_stored
from events.types import Event
from marketplace.core.errors import Refusal, join_refusals
from marketplace.domain.value_faults import render_fault

T = TypeVar("T")


def refuse_unknown(aggregate: str, id: str) -> Refusal:  # noqa: A002 - the field's word
    """Return the refusal for an id that does not exist: ``<aggregate>_unknown``."""
    return Refusal(f"{aggregate}_unknown", f"there is no {aggregate} {id}; check the id", id=id)


def require_found(aggregate: str, id: str, found: T | None) -> T:  # noqa: A002
    """Return `found`, what is known under an id.

    Raises:
        Refusal: ``<aggregate>_unknown``, if it is None.
    """
    if found is None:
        raise refuse_unknown(aggregate, id)
    return found


def refuse_exists(aggregate: str, id: str) -> Refusal:  # noqa: A002 - the field's word
    """Return the refusal for creating what exists with other content: ``<aggregate>_exists``."""
    return Refusal(
        f"{aggregate}_exists",
        f"{aggregate} {id} exists with other content; send what differs under another id or idempotency key",
        id=id,
    )


def refuse_status(aggregate: str, id: str, status: str, allowed: str) -> Refusal:  # noqa: A002
    """Return the refusal for a command that a status does not allow: ``<aggregate>_<status>``.

    `allowed` says, in words, which statuses do.
    """
    return Refusal(
        f"{aggregate}_{status}",
        f"{aggregate} {id} is {status}; it must be {allowed} for this",
        id=id,
        status=status,
        allowed=allowed,
    )


def require_all(*checks: Callable[[], None]) -> None:
    """Run every check, so that one answer names all that is wrong.

    Raises:
        Refusal: The first, with those of the other checks as its `others`.
    """
    refusals = list[Refusal]()
    for check in checks:
        try:
            check()
        except Refusal as refusal:
            refusals.append(refusal)
    if refusals:
        raise join_refusals(refusals)


def require_bounds(value: msgspec.Struct) -> None:
    """Refuse an event, or a part of one, with a value outside the bounds of its type: nobody could read the event.

    Raises:
        Refusal: ``value_out_of_bounds``.
    """
    try:
        _get_decoder(type(value)).decode(msgspec.json.encode(value))
    except msgspec.ValidationError as error:
        fault, _, path = str(error).partition(" - at `$")
        name = path.strip(".`") or "the value"
        text = f"{name} is out of its bounds: {render_fault(fault)}; state one within them"
        raise Refusal("value_out_of_bounds", text) from error


def require_instants(event: Event) -> None:
    """Refuse an event with an instant or a date out of bounds: nobody could read the event.

    Raises:
        Refusal: ``value_out_of_bounds``.
    """
    pointer = find_outside(event, is_stored)
    if pointer is not None:
        raise Refusal("value_out_of_bounds", f"{pointer} {STORED}; state a time within them", pointer=pointer)


@cache
def _get_decoder(kind: type[msgspec.Struct]) -> msgspec.json.Decoder[msgspec.Struct]:
    return msgspec.json.Decoder(kind)


def require_same(act: msgspec.Struct, recorded: Sequence[msgspec.Struct], pointer: str) -> None:
    """Refuse an imported event unless it is the only event that its own command would record.

    Args:
        act: The imported event.
        recorded: What the command would record.
        pointer: Where the event is in the import.

    Raises:
        Refusal: ``act_repeated``.
    """
    if list(recorded) == [act]:
        return
    reason = "the event is already recorded"
    if recorded:
        told = next((event for event in recorded if type(event) is type(act)), recorded[0])
        differing = (
            f"{name} {_write(getattr(act, name))}, not {_write(getattr(told, name))}"
            for name in act.__struct_fields__
            if type(told) is type(act) and getattr(act, name) != getattr(told, name)
        )
        reason = f"the event is not what its command records: {next(differing, f'{len(recorded)} events, not one')}"
    raise Refusal("act_repeated", f"{pointer}: {reason}", pointer=pointer)


def _write(value: object) -> str:
    """Return a value as the body of a request states it."""
    return msgspec.json.encode(value).decode().strip('"')
