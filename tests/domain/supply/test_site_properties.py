"""Reserved nodes never draw more than a site has, but for what was reserved before it had less."""

from hypothesis import given
from hypothesis import strategies as st

from marketplace.core.intervals import Load
from marketplace.domain.supply.site import SITE, DerateSite, Drawn, DrawPower, EnergiseSite, list_power
from tests.domain import build
from tests.domain.build import hour, id_of
from tests.domain.walk import WALK, step

HOURS, LIVE_KW = 6, 30
POOLS = [id_of("pol", number) for number in range(1, 3)]
GRANTS = [id_of("grt", number) for number in range(1, 4)]
REGISTER = build.register_site(status="operating", power_contracted_kw=50, power_energised_kw=LIVE_KW)
spans = st.integers(0, HOURS - 1).flatmap(lambda start: st.tuples(st.just(start), st.integers(start + 1, HOURS)))


@st.composite
def draws(draw):
    """Return the runs of one reservation: none, one, or two with a gap or another amount between."""
    count = draw(st.integers(0, 2))
    bounds = draw(st.lists(st.integers(0, HOURS), min_size=2 * count, max_size=2 * count, unique=True))
    bounds.sort()
    amounts = draw(st.lists(st.integers(1, 30), min_size=count, max_size=count))
    pairs = zip(bounds[::2], bounds[1::2], amounts, strict=True)
    return tuple(Load(hour(start), hour(end), amount) for start, end, amount in pairs)


@st.composite
def drawing(draw):
    keys = st.tuples(st.sampled_from(POOLS), st.sampled_from(GRANTS))
    chosen = draw(st.lists(keys, min_size=1, max_size=2, unique=True))
    return DrawPower(site_id=build.SITE, changes=tuple(Drawn(*key, draw(draws())) for key in chosen))


hours, power = st.integers(-1, HOURS).map(hour), st.integers(0, 50)
commands = st.one_of(
    drawing(),
    drawing(),
    drawing(),
    st.builds(DerateSite, site_id=st.just(build.SITE), power_energised_kw=power, at=hours, reason=st.just("heat")),
    st.builds(EnergiseSite, site_id=st.just(build.SITE), power_energised_kw=power, at=hours),
)


def list_hours(site):
    """Return what is drawn and what there is, hour by hour."""
    live = list_power(site, hour(0), hour(HOURS))
    rows = []
    for number in range(HOURS):
        at = hour(number)
        drawn = sum(load.amount for load in site.list_drawn() if load.start <= at < load.end)
        rows.append((drawn, sum(run.amount for run in live if run.start <= at < run.end)))
    return rows


def apply(site, command):
    """Return what would be drawn at each hour."""
    drawn = dict(site.drawn) | {(row.pool_id, row.grant_id): row.draws for row in command.changes}
    loads = [load for each in drawn.values() for load in each]
    return [sum(load.amount for load in loads if load.start <= hour(at) < load.end) for at in range(HOURS)]


@WALK
@given(st.lists(commands, max_size=14))
def test_a_site_is_never_drawn_above_its_power_by_what_is_reserved_then(chosen):
    site, _, _ = step(SITE, None, REGISTER)
    for command in chosen:
        before = list_hours(site)
        after, _, code = step(SITE, site, command)
        if isinstance(command, DrawPower):
            wanted = zip(apply(site, command), before, strict=True)
            fits = all(now <= live or now <= was for now, (was, live) in wanted)
            assert (code is None) is fits, f"{code} of {command} at {before}"
            assert code in {None, "site_power_exceeded"}
            assert [drawn for drawn, _ in list_hours(after)] == (
                apply(site, command) if fits else [d for d, _ in before]
            )
        site = after
