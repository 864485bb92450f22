"""The toys of the recipes: sites are renamed, and berths are opened. An anchor stands in its file once."""

from typing import Final

Insert = tuple[str, str]
"""An anchor, and what is put before it."""

PLACES: Final = {
    "room": "supply",
    "aggregate": "site",
    "aggregates": "sites",
    "use cases": "sites",
    "projection": "inventory",
    "chapter": "supply",
}

EVENT_TYPE: Final[dict[str, tuple[Insert, ...]]] = {
    "events/site.py": (
        (
            "SiteEvent = (",
            '''class SiteRenamed(Event, frozen=True, kw_only=True, tag="site.renamed.v1"):
    """The site has another name.

    Attributes:
        site_id: The site.
        name: The name from now on.
    """

    site_id: Id
    name: Name


''',
        ),
        ("    | SitePowerReserved", "    | SiteRenamed\n"),
    ),
    "marketplace/domain/supply/site.py": (
        ("    SiteStatus,\n", "    SiteRenamed,\n"),
        (
            "SiteCommand = ",
            '''class RenameSite(msgspec.Struct, frozen=True, kw_only=True):
    """Give a site another name."""

    site_id: str
    name: str


''',
        ),
        (" | DrawPower\n\n\nclass PowerReport", " | RenameSite"),
        (
            "    if isinstance(command, DrawPower):",
            """    if isinstance(command, RenameSite):
        unchanged = command.name == (state.name or state.registered.name)
        return [] if unchanged else [SiteRenamed(site_id=command.site_id, name=command.name)]
""",
        ),
        ("    ready_at: datetime | None = None\n    conversion:", '    name: str = ""\n'),
        (
            "    if isinstance(event, SitePowerReserved):",
            "    if isinstance(event, SiteRenamed):\n        return replace(state, name=event.name)\n",
        ),
    ),
    "marketplace/application/supply/sites.py": (
        ("    ScheduleConversion,\n", "    RenameSite,\n"),
        (
            "async def energise_site(",
            '''async def rename_site(handler: Handler, context: Context, site_id: str, *, name: str) -> Receipt:
    """Give a site another name."""
    return await _change(handler, context, site_id, RenameSite(site_id=site_id, name=name))


''',
        ),
    ),
    "marketplace/projections/supply/inventory.py": (
        (
            "def _conversion_scheduled(",
            """def _site_renamed(changes: WriteBatch, _: RecordedEvent, event: site_events.SiteRenamed) -> None:
    changes.update(sites, event.site_id, name=event.name)


""",
        ),
        (
            "        site_events.SiteConversionScheduled: _conversion_scheduled,",
            "        site_events.SiteRenamed: _site_renamed,\n",
        ),
    ),
    "marketplace/projections/feed/visibility.py": (("    site.SiteConversionScheduled,\n", "    site.SiteRenamed,\n"),),
    "tests/contracts/story/supply.py": (
        (")\nfrom events.types import LotShare", "    SiteRenamed,\n"),
        (
            "def _tell_capacity(teller: Teller) -> None:",
            """def _tell_name(teller: Teller) -> None:
    teller.tell("2031-12-31T12:00", NORTHFJORD, SiteRenamed(site_id=HALL, name="Rjukan south"))


""",
        ),
        ("    _tell_closing(teller)\n\n\ndef", "    _tell_name(teller)\n"),
    ),
    "tests/domain/supply/test_site.py": (
        (")\nfrom marketplace.core.errors import Refusal", "    SiteRenamed,\n"),
        ("    ScheduleConversion,\n    SlipConversion,\n", "    RenameSite,\n"),
        (
            "def test_schedules_a_conversion():",
            """def test_renames():
    renamed = SiteRenamed(site_id=build.SITE, name="South")
    Given(SITE, REGISTERED).when(RenameSite(site_id=build.SITE, name="South")).then(renamed)


""",
        ),
    ),
}
ENDPOINT: Final[dict[str, tuple[Insert, ...]]] = {
    "marketplace/api/http/bodies/supply.py": (
        (
            "class EnergiseSiteBody(",
            '''class RenameSiteBody(Body, frozen=True, kw_only=True):
    """Another name.

    Attributes:
        name: The name from now on.
    """

    name: Name


''',
        ),
    ),
    "marketplace/api/supply/sites.py": (
        ("    ScheduleConversionBody,\n    SlipConversionBody,\n)", "    RenameSiteBody,\n"),
        ("    schedule_conversion,\n    slip_conversion,\n)", "    rename_site,\n"),
        (
            '@post("/{site_id:str}/energise"',
            '''@post("/{site_id:str}/rename", status_code=200, summary="Rename a site")
async def rename(command: Commanded, site_id: FromPath[str], data: JSONBody[RenameSiteBody]) -> Response[ReceiptBody]:
    """Give a site another name."""
    return command.answer(await rename_site(command.handler, command.context, site_id, name=data.name))


''',
        ),
        ("energise, derate, schedule, slip,", "rename, "),
    ),
    "marketplace/client/supply.py": (
        ("    RepriceLotBody,\n    RescheduleLotBody,\n", "    RenameSiteBody,\n"),
        (
            "    async def energise(",
            '''    async def rename(self, site_id: str, *, name: str, **options: Any) -> ReceiptBody:
        """Give a site another name."""
        return await self._api.command(f"/v1/sites/{site_id}/rename", RenameSiteBody(name=name), **options)

''',
        ),
    ),
    "tests/api/rows_supply.py": (
        (
            '    Row("GET", "/v1/sites/{site}", "provider"',
            """    Row(
        "POST",
        "/v1/sites/{site}/rename",
        "provider",
        {"name": "South"},
        refused=({"name": ""}, 422, "body_invalid"),
        ask=lambda client, ids: client.sites.rename(ids["site"], name="North"),
    ),
""",
        ),
    ),
}

AGGREGATE: Final = {
    "events/berth.py": '''"""Events of berths."""

from events.types import Event, Id


class BerthOpened(Event, frozen=True, kw_only=True, tag="berth.opened.v1"):
    """A berth is open.

    Attributes:
        berth_id: The berth.
        provider_id: Whose it is.
    """

    berth_id: Id
    provider_id: Id


BerthEvent = BerthOpened
''',
    "marketplace/domain/supply/berth.py": '''"""Berths: where a container of servers can stand.

Subject: ``marketplace.berth.<berth_id>``.
"""

from collections.abc import Sequence

import msgspec

from events.berth import BerthEvent, BerthOpened
from marketplace.core.decider import Decider


class OpenBerth(msgspec.Struct, frozen=True, kw_only=True):
    """Open a berth."""

    berth_id: str
    provider_id: str


BerthState = BerthOpened | None


def decide(command: OpenBerth, state: BerthState) -> Sequence[BerthEvent]:
    """Return the events of a command."""
    return [] if state else [BerthOpened(berth_id=command.berth_id, provider_id=command.provider_id)]


def evolve(_: BerthState, event: BerthEvent) -> BerthState:
    """Return the state after an event."""
    return event


BERTH: Decider[OpenBerth, BerthEvent, BerthState] = Decider("berth", "brt", None, decide, evolve)
''',
    "marketplace/api/supply/berths.py": '''"""Routes of berths."""

from typing import Final

from litestar import Router, get


@get("/", summary="Count the berths")
async def count() -> int:
    """Return how many there are."""
    return 0


ROUTER: Final = Router("/v1/berths", route_handlers=[count], tags=["berths"], opt={"feature": "berths"})
''',
}
FOUND: Final = """
from events.registry import AGGREGATES, EVENT_TYPES
from marketplace.api.application import ROUTERS
from marketplace.api.http.keys import list_scopes
from marketplace.domain.deciders import DECIDERS, PREFIXES
from marketplace.projections.feed.projection import PROJECTION
from marketplace.projections.feed.visibility import FOUNDING, PARTIES
from scripts import aggregate_table

assert "berth.opened.v1" in EVENT_TYPES and "berth" in AGGREGATES
assert "berth.opened.v1" in PARTIES & FOUNDING and "berth" in PROJECTION.reads
assert DECIDERS["berth"].prefix == PREFIXES["berth"] == "brt"
assert "/v1/berths" in {router.path for router in ROUTERS}
assert "berths:read" in list_scopes(router.opt["feature"] for router in ROUTERS)
assert "| supply | [berth](supply/berth.py) |" in aggregate_table.replace_table(aggregate_table.README.read_text())
print("found")
"""
