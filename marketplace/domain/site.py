"""Sites: data centers, their power and their conversion from another use.

Subject: ``marketplace.site.<site_id>``.

Invariants:
    1. Energised power never exceeds contracted power.
    2. A conversion's date only moves by `site.conversion_slipped`, which names the date before.

Refusals in order: site_unknown · site_exists · time_naive · pue_out_of_range · not_a_number · amount_not_positive ·
amount_too_large · amount_too_precise · power_above_contract · power_not_raised · power_not_lowered · site_operating ·
conversion_scheduled · conversion_not_scheduled.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

import msgspec

from events.site import (
    SiteConversionScheduled,
    SiteConversionSlipped,
    SiteDerated,
    SiteEnergised,
    SiteEvent,
    SiteRegistered,
    SiteStatus,
)
from marketplace.core.decider import Decider
from marketplace.core.errors import Refusal
from marketplace.core.intervals import Load, build_steps
from marketplace.core.money import require_share
from marketplace.domain.refusals import refuse_exists, refuse_unknown, require_aware

PUE_MAX = Decimal(5)


class RegisterSite(msgspec.Struct, frozen=True, kw_only=True):
    """Bring a data center to the market."""

    site_id: str
    provider_id: str
    name: str
    region: str
    jurisdiction: str
    status: SiteStatus
    power_contracted_kw: int
    power_energised_kw: int
    power_usage_effectiveness: Decimal
    renewable_share: Decimal


class EnergiseSite(msgspec.Struct, frozen=True, kw_only=True):
    """Say that more power is live."""

    site_id: str
    power_energised_kw: int
    at: datetime


class DerateSite(msgspec.Struct, frozen=True, kw_only=True):
    """Say that less power is live."""

    site_id: str
    power_energised_kw: int
    at: datetime
    reason: str


class ScheduleConversion(msgspec.Struct, frozen=True, kw_only=True):
    """Say when a site of another use becomes a data center."""

    site_id: str
    former_use: str
    ready_at: datetime


class SlipConversion(msgspec.Struct, frozen=True, kw_only=True):
    """Move the date of a conversion."""

    site_id: str
    ready_at: datetime
    reason: str


SiteCommand = RegisterSite | EnergiseSite | DerateSite | ScheduleConversion | SlipConversion


@dataclass(frozen=True, slots=True)
class Site:
    """A registered site.

    Attributes:
        live: From when how many kilowatts were or will be live, after those it was registered with.
    """

    registered: SiteRegistered
    status: SiteStatus
    power_energised_kw: int
    ready_at: datetime | None = None
    conversion: SiteConversionScheduled | None = None
    live: tuple[tuple[datetime, int], ...] = ()


SiteState = Site | None


def decide(command: SiteCommand, state: SiteState) -> Sequence[SiteEvent]:
    """Return what a command changes; see the module for the order of refusals."""
    if isinstance(command, RegisterSite):
        return _register(command, state)
    if state is None:
        raise refuse_unknown("site", command.site_id)
    if isinstance(command, EnergiseSite):
        return _energise(command, state)
    if isinstance(command, DerateSite):
        return _derate(command, state)
    if isinstance(command, ScheduleConversion):
        return _schedule(command, state)
    return _slip(command, state)


def _register(command: RegisterSite, state: SiteState) -> Sequence[SiteEvent]:
    event = SiteRegistered(**{name: getattr(command, name) for name in command.__struct_fields__})
    if state is not None:
        if state.registered == event:
            return []
        raise refuse_exists("site", command.site_id)
    pue = command.power_usage_effectiveness
    if not pue.is_finite() or not 1 <= pue <= PUE_MAX:
        raise Refusal(
            "pue_out_of_range",
            f"power usage effectiveness is {pue}; it lies between 1 and {PUE_MAX}",
            pointer="/power_usage_effectiveness",
        )
    require_share(command.renewable_share, "/renewable_share")
    _require_power(command.power_energised_kw, command.power_contracted_kw)
    return [event]


def _require_power(energised_kw: int, contracted_kw: int) -> None:
    if energised_kw > contracted_kw:
        raise Refusal(
            "power_above_contract",
            f"{energised_kw} kW cannot be live, {contracted_kw} kW are under contract",
            pointer="/power_energised_kw",
            energised_kw=energised_kw,
            contracted_kw=contracted_kw,
        )


def _energise(command: EnergiseSite, state: Site) -> Sequence[SiteEvent]:
    require_aware(command.at, "/at")
    if command.power_energised_kw == state.power_energised_kw and state.status == "operating":
        return []
    _require_power(command.power_energised_kw, state.registered.power_contracted_kw)
    if command.power_energised_kw < state.power_energised_kw:
        raise Refusal(
            "power_not_raised",
            f"{state.power_energised_kw} kW are live already; derate the site to have less",
            pointer="/power_energised_kw",
        )
    return [SiteEnergised(site_id=command.site_id, power_energised_kw=command.power_energised_kw, at=command.at)]


def _derate(command: DerateSite, state: Site) -> Sequence[SiteEvent]:
    require_aware(command.at, "/at")
    if command.power_energised_kw == state.power_energised_kw:
        return []
    if command.power_energised_kw > state.power_energised_kw:
        raise Refusal(
            "power_not_lowered",
            f"only {state.power_energised_kw} kW are live; energise the site to have more",
            pointer="/power_energised_kw",
        )
    return [
        SiteDerated(
            site_id=command.site_id,
            power_energised_kw=command.power_energised_kw,
            at=command.at,
            reason=command.reason,
        )
    ]


def _schedule(command: ScheduleConversion, state: Site) -> Sequence[SiteEvent]:
    require_aware(command.ready_at, "/ready_at")
    event = SiteConversionScheduled(site_id=command.site_id, former_use=command.former_use, ready_at=command.ready_at)
    if state.conversion == event:
        return []
    if state.status == "operating" or state.conversion is not None:
        raise Refusal(
            "site_operating" if state.status == "operating" else "conversion_scheduled",
            f"site {command.site_id} is {state.status}"
            + ("" if state.conversion is None else "; its conversion is scheduled, let it slip to move the date"),
            site_id=command.site_id,
        )
    return [event]


def _slip(command: SlipConversion, state: Site) -> Sequence[SiteEvent]:
    require_aware(command.ready_at, "/ready_at")
    if command.ready_at == state.ready_at:
        return []
    if state.ready_at is None or state.status == "operating":
        raise Refusal(
            "conversion_not_scheduled",
            f"site {command.site_id} has no conversion ahead; schedule it first",
            site_id=command.site_id,
        )
    return [
        SiteConversionSlipped(
            site_id=command.site_id,
            ready_at_before=state.ready_at,
            ready_at=command.ready_at,
            reason=command.reason,
        )
    ]


def evolve(state: SiteState, event: SiteEvent) -> SiteState:
    """Return the state after an event."""
    if isinstance(event, SiteRegistered):
        return Site(event, event.status, event.power_energised_kw)
    assert state is not None, "a site is registered first"
    if isinstance(event, SiteEnergised):
        return replace(
            state, power_energised_kw=event.power_energised_kw, status="operating", live=_add_power(state, event)
        )
    if isinstance(event, SiteDerated):
        return replace(state, power_energised_kw=event.power_energised_kw, live=_add_power(state, event))
    if isinstance(event, SiteConversionScheduled):
        return replace(state, status="converting", ready_at=event.ready_at, conversion=event)
    return replace(state, ready_at=event.ready_at)


def _add_power(state: Site, event: SiteEnergised | SiteDerated) -> tuple[tuple[datetime, int], ...]:
    """Let an event hold from its instant on, whatever was said of later ones."""
    return (*(step for step in state.live if step[0] < event.at), (event.at, event.power_energised_kw))


def list_power(site: Site, start: datetime, end: datetime) -> list[Load]:
    """Return the power of a site in kilowatts over a span: live, and once converted all that is under contract."""
    contracted = site.registered.power_contracted_kw
    if site.status == "planned":
        return [Load(start, end, contracted)]
    steps = [(start, site.registered.power_energised_kw), *site.live]
    if site.status == "converting" and site.ready_at is not None:
        steps.append((site.ready_at, contracted))
    loads, current = [], 0
    for at, power_kw in steps:
        loads.append(Load(max(at, start), end, power_kw - current))
        current = power_kw
    return build_steps([load for load in loads if load.start < end], start, end)


SITE: Decider[SiteCommand, SiteEvent, SiteState] = Decider("site", "sit", None, decide, evolve)
