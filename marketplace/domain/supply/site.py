"""Sites: data centers, their power and their conversion from another use.

Subject: ``marketplace.site.<site_id>``.

Invariants:
    1. Energised power never exceeds contracted power.
    2. A conversion's date only moves by `site.conversion_slipped`, which names the previous date.
    3. No change increases the draw of reserved nodes at an instant at which it would exceed the site's power. Existing
       reservations stay in full if the site is derated.
    4. Hours without power are only added. Reserved nodes that had no power count as dark until they are reported to
       have it, and only the platform dates that back by more than `BACKDATED_MAX` (`supply/outages.py`).

Refusals in order: site_unknown · site_exists · country_unlisted · time_naive · pue_out_of_range · not_a_number ·
amount_not_positive · amount_too_large · amount_too_precise · power_above_contract · power_not_raised ·
power_not_lowered · site_operating · conversion_scheduled · conversion_not_scheduled · resumption_backdated ·
site_power_exceeded · value_out_of_bounds.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import pairwise
from operator import itemgetter
from typing import NamedTuple

import msgspec
from immutables import Map

from events.site import (
    PowerDraw,
    SiteConversionScheduled,
    SiteConversionSlipped,
    SiteDerated,
    SiteEnergised,
    SiteEvent,
    SitePowerReleased,
    SitePowerReserved,
    SiteRegistered,
    SiteStatus,
)
from marketplace.core.countries import require_country
from marketplace.core.decider import Decider
from marketplace.core.errors import Refusal
from marketplace.core.instants import render_instant
from marketplace.core.intervals import Load, build_steps, find_peak, require_aware
from marketplace.core.money import require_share
from marketplace.domain.refusals import refuse_exists, refuse_unknown, require_all, require_bounds
from marketplace.domain.supply.outages import require_prompt

PUE_MAX = Decimal(5)
_AT = itemgetter(0)


class RegisterSite(msgspec.Struct, frozen=True, kw_only=True):
    """Register a data center. The event contains the whole site."""

    registered: SiteRegistered

    @property
    def site_id(self) -> str:
        """Return the site's id."""
        return self.registered.site_id


class EnergiseSite(msgspec.Struct, frozen=True, kw_only=True):
    """Report that more power is live, in all `power_energised_kw`. The site is then operating.

    `reported_at` is None if the platform reports it, which may date it back as far as it likes.
    """

    site_id: str
    power_energised_kw: int
    at: datetime
    reported_at: datetime | None = None


class DerateSite(msgspec.Struct, frozen=True, kw_only=True):
    """Report that less power is live, in all `power_energised_kw`."""

    site_id: str
    power_energised_kw: int
    at: datetime
    reason: str
    reported_at: datetime | None = None


class ScheduleConversion(msgspec.Struct, frozen=True, kw_only=True):
    """State when a site of another use becomes a data center. `told_at` is now."""

    site_id: str
    former_use: str
    ready_at: datetime
    told_at: datetime | None = None


class SlipConversion(msgspec.Struct, frozen=True, kw_only=True):
    """Move the date of a conversion. `reported_at` is None if the platform moves it, to any date in the past.

    `told_at` is now, whoever moves it.
    """

    site_id: str
    ready_at: datetime
    reason: str
    reported_at: datetime | None = None
    told_at: datetime | None = None


class Drawn(NamedTuple):
    """The kilowatts that the nodes reserved for a grant in a pool draw, as runs in order; empty for none."""

    pool_id: str
    grant_id: str
    draws: tuple[Load, ...]


class DrawPower(msgspec.Struct, frozen=True, kw_only=True):
    """Replace the power draw of reserved nodes. It contains all changes of one decision of a pool."""

    site_id: str
    changes: tuple[Drawn, ...]


SiteCommand = RegisterSite | EnergiseSite | DerateSite | ScheduleConversion | SlipConversion | DrawPower


class PowerReport(NamedTuple):
    """What a report replaced of the live power, so that it can be taken back.

    Attributes:
        derated_at: When a derating was reported; None where power was energised.
        at: From when on the report changes the live power.
        replaced: The steps from `at` on that were known before.
    """

    derated_at: datetime | None
    at: datetime
    replaced: tuple[tuple[datetime, int], ...]


@dataclass(frozen=True, slots=True)
class Site:
    """A registered site.

    Attributes:
        power_energised_kw: What is live by the last report.
        ready_at: When the conversion is or was planned to be ready; None without one.
        live: Each instant since registration from which other power was live, with the kilowatts.
        reports: What each report of live power replaced, in order.
        dates: When each date of its conversion was reported, and the date that it replaced; None: it was the first.
        drawn: Kilowatts that reserved nodes draw, by pool and grant.
    """

    registered: SiteRegistered
    status: SiteStatus
    power_energised_kw: int
    ready_at: datetime | None = None
    conversion: SiteConversionScheduled | None = None
    live: tuple[tuple[datetime, int], ...] = ()
    reports: tuple[PowerReport, ...] = ()
    dates: tuple[tuple[datetime, datetime | None], ...] = ()
    drawn: Map[tuple[str, str], tuple[Load, ...]] = field(default_factory=Map)

    def list_drawn(self) -> list[Load]:
        """Return the power that all reserved nodes draw, as loads to add up."""
        return [load for loads in self.drawn.values() for load in loads]


SiteState = Site | None


def decide(command: SiteCommand, state: SiteState) -> Sequence[SiteEvent]:
    """Return the events of a command; the module lists the order of refusals."""
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
    if isinstance(command, DrawPower):
        return _draw(command, state)
    return _slip(command, state)


def _register(command: RegisterSite, state: SiteState) -> Sequence[SiteEvent]:
    registered = command.registered
    if state is not None:
        if state.registered == registered:
            return []
        raise refuse_exists("site", registered.site_id)
    require_all(
        partial(require_country, registered.jurisdiction, "/jurisdiction"),
        partial(_require_effectiveness, registered.power_usage_effectiveness),
        partial(require_share, registered.renewable_share, "/renewable_share"),
        partial(_require_power, registered.power_energised_kw, registered.power_contracted_kw),
    )
    require_bounds(registered)
    return [registered]


def _require_effectiveness(pue: Decimal) -> None:
    if not pue.is_finite() or not 1 <= pue <= PUE_MAX:
        raise Refusal(
            "pue_out_of_range",
            f"power usage effectiveness is {pue}; it must be between 1 and {PUE_MAX}",
            pointer="/power_usage_effectiveness",
        )


def _require_power(energised_kw: int, contracted_kw: int) -> None:
    if energised_kw > contracted_kw:
        raise Refusal(
            "power_above_contract",
            f"{energised_kw} kW cannot be live, because {contracted_kw} kW are under contract",
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
            f"{state.power_energised_kw} kW are already live; derate the site to have less",
            pointer="/power_energised_kw",
        )
    _require_prompt(state, command.at, command.reported_at, "/at")
    return [SiteEnergised(site_id=command.site_id, power_energised_kw=command.power_energised_kw, at=command.at)]


def _require_prompt(state: Site, at: datetime, reported_at: datetime | None, pointer: str) -> None:
    """Refuse a report that dates the power of nodes that were dark back too far; None is the platform's.

    Raises:
        Refusal: ``resumption_backdated``.
    """
    if reported_at is not None and _is_short(state, at, reported_at):
        require_prompt(at, reported_at, pointer=pointer)


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
    derated = SiteDerated(
        site_id=command.site_id,
        power_energised_kw=command.power_energised_kw,
        at=command.at,
        reason=command.reason,
        reported_at=command.reported_at,
    )
    require_bounds(derated)
    return [derated]


def _schedule(command: ScheduleConversion, state: Site) -> Sequence[SiteEvent]:
    require_aware(command.ready_at, "/ready_at")
    known = state.conversion
    if known is not None and (known.former_use, known.ready_at) == (command.former_use, command.ready_at):
        return []
    if state.status == "operating" or state.conversion is not None:
        raise Refusal(
            "site_operating" if state.status == "operating" else "conversion_scheduled",
            f"site {command.site_id} is {state.status}"
            + (
                ""
                if state.conversion is None
                else "; its conversion is already scheduled, let it slip to move the date"
            ),
            site_id=command.site_id,
        )
    return [
        SiteConversionScheduled(
            site_id=command.site_id,
            former_use=command.former_use,
            ready_at=command.ready_at,
            reported_at=command.told_at,
        )
    ]


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
    if command.ready_at < state.ready_at:
        _require_prompt(state, command.ready_at, command.reported_at, "/ready_at")
    return [
        SiteConversionSlipped(
            site_id=command.site_id,
            ready_at_before=state.ready_at,
            ready_at=command.ready_at,
            reason=command.reason,
            reported_at=command.told_at,
        )
    ]


def _draw(command: DrawPower, state: Site) -> Sequence[SiteEvent]:
    changed = [row for row in command.changes if row.draws != state.drawn.get((row.pool_id, row.grant_id), ())]
    more = [load for row in changed for load in row.draws]
    less = [_negate(load) for row in changed for load in state.drawn.get((row.pool_id, row.grant_id), ())]
    if more:
        start, end = min(load.start for load in more), max(load.end for load in more)
        for run in build_steps([*more, *less], start, end):
            if run.amount > 0:
                _require_free(state, [*more, *less], run)
    return [_tell_draw(command.site_id, row) for row in changed]


def _negate(load: Load) -> Load:
    return Load(load.start, load.end, -load.amount)


def _require_free(state: Site, change: Sequence[Load], span: Load) -> None:
    """Refuse a change after which more is drawn within `span` than the site's power."""
    power = list_power(state, span.start, span.end)
    over, where = find_peak([*state.list_drawn(), *change, *map(_negate, power)], span.start, span.end)
    if over > 0:
        live = next(run.amount for run in power if run.start <= where < run.end)
        site_id = state.registered.site_id
        raise Refusal(
            "site_power_exceeded",
            f"site {site_id} has {live} kW at {render_instant(where)}; with this, {live + over} kW would be drawn; take"
            " fewer nodes, another span or another site",
            site_id=site_id,
            at=render_instant(where),
            power_kw=live,
            drawn_kw=live + over,
        )


def _tell_draw(site_id: str, row: Drawn) -> SiteEvent:
    if not row.draws:
        return SitePowerReleased(site_id=site_id, pool_id=row.pool_id, grant_id=row.grant_id)
    draws = tuple(PowerDraw(power_kw=load.amount, start=load.start, end=load.end) for load in row.draws)
    return SitePowerReserved(site_id=site_id, pool_id=row.pool_id, grant_id=row.grant_id, draws=draws)


def evolve(state: SiteState, event: SiteEvent) -> SiteState:
    """Return the state after an event."""
    if isinstance(event, SiteRegistered):
        return Site(event, event.status, event.power_energised_kw)
    assert state is not None, "a site is registered first"
    if isinstance(event, SiteEnergised):
        return replace(_add_power(state, event, None), status="operating")
    if isinstance(event, SiteDerated):
        return _add_power(state, event, event.reported_at or event.at)
    if isinstance(event, SiteConversionScheduled):
        state = replace(state, status="converting", conversion=event)
        return _set_date(state, event.ready_at, event.reported_at)
    if isinstance(event, SitePowerReserved):
        loads = tuple(Load(draw.start, draw.end, draw.power_kw) for draw in event.draws)
        return replace(state, drawn=state.drawn.set((event.pool_id, event.grant_id), loads))
    if isinstance(event, SitePowerReleased):
        return replace(state, drawn=state.drawn.delete((event.pool_id, event.grant_id)))
    return _set_date(state, event.ready_at, event.reported_at)


def _set_date(state: Site, ready_at: datetime, told_at: datetime | None) -> Site:
    """Set the date of a conversion, which was told at an instant."""
    dates = state.dates if told_at is None else (*state.dates, (told_at, state.ready_at))
    return replace(state, ready_at=ready_at, dates=dates)


def _add_power(state: Site, event: SiteEnergised | SiteDerated, derated_at: datetime | None) -> Site:
    """Set the live power from an event's instant on.

    More power replaces earlier statements about later instants. Less power leaves those that name even less.
    """
    live, at, power_kw = state.live, event.at, event.power_energised_kw
    begin, end = bisect_left(live, at, key=_AT), bisect_right(live, at, key=_AT)
    steps = [(at, power_kw)]
    if derated_at is not None:
        known_kw = live[end - 1][1] if end else state.registered.power_energised_kw
        steps = [(later, min(kw, power_kw)) for later, kw in ((at, known_kw), *live[end:])]
    report = PowerReport(derated_at, at, live[begin:])
    reports = (*state.reports, report)
    return replace(state, power_energised_kw=power_kw, live=(*live[:begin], *steps), reports=reports)


def _recall_power(site: Site, since: datetime) -> Sequence[tuple[datetime, int]]:
    """Return what `live` was before the first derating that was reported from `since` on."""
    told = (number for number, each in enumerate(site.reports) if each.derated_at and each.derated_at >= since)
    first = next(told, len(site.reports))
    steps = list(site.live)
    for report in reversed(site.reports[first:]):
        steps[bisect_left(steps, report.at, key=_AT) :] = report.replaced
    return steps


def _recall_date(site: Site, since: datetime | None) -> datetime | None:
    """Return when a converting site was to be ready by what was told before `since`; None: it was planned then."""
    later = (before for told_at, before in site.dates if since is not None and told_at >= since)
    return next(later, site.ready_at)


def list_power(site: Site, start: datetime, end: datetime, *, since: datetime | None = None) -> list[Load]:
    """Return the power in kilowatts that may be sold over a span, as runs.

    That is what is live, all that is contracted from the end of a conversion on, and all that is contracted while the
    site is planned. With `since`, deratings and dates of a conversion that were reported from then on do not count.
    """
    contracted, ready_at = site.registered.power_contracted_kw, _recall_date(site, since)
    if site.status == "planned" or (site.status == "converting" and ready_at is None):
        return [Load(start, end, contracted)]
    live = site.live if since is None else _recall_power(site, since)
    steps = [(start, site.registered.power_energised_kw), *live]
    if site.status == "converting" and ready_at is not None:
        steps.append((ready_at, contracted))
    loads, current = [], 0
    for at, power_kw in steps:
        loads.append(Load(max(at, start), end, power_kw - current))
        current = power_kw
    return build_steps([load for load in loads if load.start < end], start, end)


def list_dark(site: SiteState, at: datetime, rank: Callable[[str], int]) -> dict[tuple[str, str], int]:
    """Return the kilowatts that reserved nodes lack at an instant, by pool and grant; empty if none lacks power.

    Args:
        site: The site; None has no nodes.
        at: The instant.
        rank: Returns the place of a grant in the order of issue. The grants issued last lose power first.
    """
    if site is None:
        return {}
    power = sum(run.amount for run in _list_serving(site, at, at + timedelta.resolution))
    drawn = {key: _sum_at(loads, at) for key, loads in site.drawn.items()}
    short, dark = sum(drawn.values()) - power, {}
    for key in sorted(drawn, key=lambda key: (rank(key[1]), key), reverse=True):
        if (lack := min(max(short, 0), drawn[key])) > 0:
            dark[key] = lack
            short -= lack
    return dark


def find_next_power_change(site: SiteState, after: datetime) -> datetime | None:
    """Return the next instant after `after` at which power or draws change.

    None if from `after` on the reserved nodes never draw more than the site has.
    """
    drawn = [] if site is None else site.list_drawn()
    end = max((load.end for load in drawn), default=after)
    if site is None or not _is_short(site, after, end):
        return None
    changes = {at for load in drawn for at in (load.start, load.end)} | set(list_power_changes(site))
    return min(at for at in changes if at > after)


def _is_short(site: Site, start: datetime, end: datetime) -> bool:
    """Return whether the reserved nodes draw more than the site has at an instant of ``[start, end)``."""
    if end <= start:
        return False
    return find_peak([*site.list_drawn(), *map(_negate, _list_serving(site, start, end))], start, end)[0] > 0


def find_power_cut(before: Site, after: Site, until: datetime) -> Load | None:
    """Return the span up to an instant over which a report leaves reserved nodes darker, and the most kW that it takes.

    None if it leaves none darker.
    """
    drawn = after.list_drawn()
    start = min((load.start for load in drawn), default=until)
    if start >= until:
        return None
    live = [_list_serving(site, start, until) for site in (before, after)]
    bounds = sorted({until, *(run.start for run in build_steps([*drawn, *live[0], *live[1]], start, until))})
    cuts = []
    for begin, end in pairwise(bounds):
        had, has = (sum(run.amount for run in runs if run.start <= begin < run.end) for runs in live)
        short = sum(load.amount for load in drawn if load.start <= begin < load.end) - has
        if (cut := min(short, had - has)) > 0:
            cuts.append(Load(begin, end, cut))
    return Load(cuts[0].start, cuts[-1].end, max(each.amount for each in cuts)) if cuts else None


def _list_serving(site: Site, start: datetime, end: datetime) -> list[Load]:
    """Return the power that can serve grants over a span: none before a conversion is ready."""
    ready_at = site.ready_at if site.status == "converting" else None
    power = list_power(site, start, end)
    if ready_at is None:
        return power
    return [Load(max(run.start, ready_at), run.end, run.amount) for run in power if run.end > ready_at]


def list_power_changes(site: SiteState) -> list[datetime]:
    """Return the instants at which a site's power changes."""
    if site is None:
        return []
    return [*(at for at, _ in site.live), *([site.ready_at] if site.ready_at is not None else [])]


def _sum_at(loads: Iterable[Load], at: datetime) -> int:
    return sum(load.amount for load in loads if load.start <= at < load.end)


SITE: Decider[SiteCommand, SiteEvent, SiteState] = Decider("site", "sit", None, decide, evolve)
