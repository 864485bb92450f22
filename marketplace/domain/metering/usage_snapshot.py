"""The state of usage as bytes, for snapshots (ADR 5)."""

from datetime import datetime

import msgspec
from immutables import Map

from marketplace.core.packed import Packed, Parts
from marketplace.core.timeline import Run, Timeline
from marketplace.domain.metering.usage_record import CONTENT_BYTES, HOME_BYTES, PARTS_BYTES, Limits, Usage

_BLOCK_BYTES = 300
_DEVICE_BYTES = 2_000


class _Stored(msgspec.Struct, frozen=True, array_like=True):
    readings: Parts
    timeline: dict[int, tuple[Run, ...]]
    devices: dict[str, dict[int, tuple[Run, ...]]]
    homes: Parts
    grants: tuple[str, ...]
    closed: bool
    looked: dict[str, datetime]
    allocations: Parts
    limits: Limits | None


def render_usage(state: Usage) -> bytes:
    """Return a state as bytes."""
    stored = _Stored(
        readings=state.readings.list_parts(),
        timeline=dict(state.timeline),
        devices={device: dict(timeline) for device, timeline in state.devices.items()},
        homes=state.homes.list_parts(),
        grants=state.grants,
        closed=state.closed,
        looked=dict(state.looked),
        allocations=state.allocations.list_parts(),
        limits=state.limits,
    )
    return msgspec.msgpack.encode(stored)


def parse_usage(content: bytes) -> Usage:
    """Return the state that `render_usage` rendered.

    Raises:
        msgspec.DecodeError: The bytes are not from `render_usage`.
    """
    stored = msgspec.msgpack.decode(content, type=_Stored)
    devices: dict[str, Timeline] = {device: Map(runs) for device, runs in stored.devices.items()}
    return Usage(
        readings=Packed.restore(CONTENT_BYTES, stored.readings),
        timeline=Map(stored.timeline),
        devices=Map(devices),
        homes=Packed.restore(HOME_BYTES, stored.homes),
        grants=stored.grants,
        closed=stored.closed,
        looked=Map(stored.looked),
        allocations=Packed.restore(CONTENT_BYTES + PARTS_BYTES, stored.allocations),
        limits=stored.limits,
    )


def weigh_usage(state: Usage) -> int:
    """Return about how many bytes of memory a state takes."""
    seen = len(state.timeline) * _BLOCK_BYTES + (len(state.devices) + len(state.looked)) * _DEVICE_BYTES
    return state.readings.size_bytes + state.homes.size_bytes + state.allocations.size_bytes + seen
