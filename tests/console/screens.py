"""The screens of the console, from its routes, so that a new page is visited without being listed."""

import re

from litestar import Router

from marketplace.console.application import ROOMS
from marketplace.console.menu import MENU
from marketplace.core.discovery import find_constants
from tests.console.scene import Scene

NO_PAGES = {
    "/events/jump": "leads to another page",
    "/account/{account_id}/entries.csv": "is a file",
    "/cap-tables/{issuer_id}/events": "is a part of a page",
    "/supply/pools/{pool_id}/unlisted": "is a part of a page",
}
DESKS = ("startup", "provider", "fund", "operator")
"""Each screen is visited by the first desk whose menu leads to it."""
AGAIN = {
    "provider": ("/grants/{grant_id}", "/statements/{statement_id}"),
    "fund": ("/cap-tables/{issuer_id}", "/proposals/{proposal_id}"),
    "operator": ("/orders/{order_id}", "/statements/{statement_id}", "/portfolio?party_id={party_id}"),
}
"""Screens that show another desk something else: what it may do there."""


def list_routes() -> set[str]:
    """Return the paths of the console's pages below `/console`, as templates."""
    routers = [router for room in ROOMS for router in find_constants(f"marketplace.console.{room}", Router)]
    paths = {
        re.sub(r":\w+}", "}", route.path_format)
        for router in routers
        for route in router.routes
        if "GET" in route.methods
    }
    assert set(NO_PAGES) < paths, "a path that is no page is gone"
    return paths - set(NO_PAGES)


def list_screens(scene: Scene) -> dict[str, list[str]]:
    """Return the paths that each desk visits; together they are all routes."""
    names = {
        "order_id": scene.order,
        "grant_id": scene.grant,
        "statement_id": scene.statement,
        "account_id": scene.account,
        "lot_id": scene.lot,
        "pool_id": scene.pool,
        "issuer_id": scene.issuer,
        "proposal_id": scene.proposal,
        "auction_id": scene.auction,
        "party_id": scene.fund,
        "aggregate_id": scene.order,
        "sequence": 1,
    }
    left, screens = sorted(list_routes()), {}
    for desk in DESKS:
        opens = tuple(entry.path.removeprefix("/console") for entry in (*MENU[desk], *MENU["market"]))
        mine = [path for path in left if path.startswith(opens)] if desk != "operator" else left
        left = [path for path in left if path not in mine]
        screens[desk] = [f"/console{path.format(**names)}" for path in (*mine, *AGAIN.get(desk, ()))]
    return screens
