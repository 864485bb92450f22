"""`docs/who-sees-what.md`: who sees which resource and which event, from the rules that the API applies."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from litestar.routes import HTTPRoute

from events.registry import AGGREGATES, list_tags
from marketplace.api.application import ROUTERS
from marketplace.api.http.clock import ROUTER as CLOCK
from marketplace.api.http.document import name_operation
from marketplace.api.http.visibility import FAMILIES, RULES, Readers, Visibility, find_readers
from marketplace.projections.feed.told import list_event_readers

PAGE: Final = Path(__file__).parent.parent / "docs" / "who-sees-what.md"
_HEAD: Final = """# Who sees what

`uv run python scripts/render_contracts.py` writes this page from the rules that the API applies. Which parts of an
auction are sealed, and until when, is in [how-to-use-the-api.md](how-to-use-the-api.md#who-sees-what-of-an-offer).
`tests/api/test_sealed.py` asks every route and the feed as each side of a trade, `tests/api/test_clerks.py` every route
as the platform.

A key also needs the scope of the row. A key of the platform sees orders, quotes, frozen books and events only with
the scope `orders:sealed`. It sees everything else without that scope, but no amount that orders and quotes hold: it
counts as available. Whoever may not see a resource gets the answer for one that does not exist.

## Resources

A resource is visible to the parties that it names under these members: on its own route, in lists, and where `expand`
shows it. An `issuer_id` names the issuer's company.

| resource | scope | the parties named as | except |
|---|---|---|---|
"""
_ROUTES: Final = """
## Routes

Who reads which route, and from which phase on. A list of resources has the reader's rows. Where a route answers about
one resource, nobody else learns whether it exists.

| route | scope | who reads it: a rule, or a resource with the members that name them | when |
|---|---|---|---|
"""
_EVENTS: Final = """
What a holder sees of an issuer by its depth (`own`, `summary`, `full`) stands in
[equity.md](equity.md#terms-between-the-company-and-its-holders). Below `full` it plays no
sales, since a series of them tells the terms of others; at `own` it sees no sum of others by security,
except of a sale that it votes on (`sale.by_security` of the proposal).

## Events

The feed shows events by these rules, as pages and as streams. A key needs `events:read` and the scope of the row. The
table names two groups of parties:

- *Parties named as* a member: those that the event itself names.
- *The parties of the* aggregate: those that its first event names. If the aggregate belongs to a grant or an issuer,
  also the parties of that grant or issuer. A startup that uses a grant by transfer is a party of the grant and of its
  usage until it hands the grant on. It does not see what the grant costs: in `grant.terminated.v1` its `fee_usd` is 0,
  and so is what `grant.rescheduled.v1` says is set aside. The holder of a mandate does not see what orders hold of it
  or free: `amount_usd` is 0 there until it is committed to a grant.

In an operator's statements about the log (`log.…`) a party sees positions and effect. To it `subject` is
`marketplace.>`, hashes are zeros, `lost` is empty and `reason` is `withheld`.

| event type | scope beside `events:read` | who sees it |
|---|---|---|
"""


def render_page() -> str:
    """Return the page."""
    rows = [_render_view(rule) for rule in RULES]
    routes = sorted(_render_route(*each) for each in list_reads())
    events = [_render_event(tag, kind) for kind in AGGREGATES for tag in list_tags(kind)]
    return _HEAD + "\n".join(rows) + "\n" + _ROUTES + "\n".join(routes) + "\n" + _EVENTS + "\n".join(events) + "\n"


def list_reads() -> Iterator[tuple[str, str, Readers]]:
    """Yield the path, the scope and the readers of every route that reads."""
    for router in (*ROUTERS, CLOCK):
        for route in router.routes:
            for handler in route.route_handlers if isinstance(route, HTTPRoute) else ():
                if "GET" in handler.http_methods:
                    scope = handler.opt.get("scope", f"{(router.opt | handler.opt)['feature']}:read")
                    yield route.path_format, scope, find_readers(name_operation(handler, "GET", []))


def _render_route(path: str, scope: str, readers: Readers) -> str:
    who = readers.who
    named = who if isinstance(who, str) else f"{_name(who)}: {_list(who.parties)}"
    return f"| `{path}` | `{scope}` | {named} | {readers.since} |"


def _render_view(rule: Visibility[Any]) -> str:
    hidden = f"{_list(rule.hidden)}: not to one named only as `{rule.limited}`" if rule.limited else ""
    return f"| {_name(rule)} | `{rule.feature}:read` | {_list(rule.parties)} | {hidden} |"


def _name(rule: Visibility[Any]) -> str:
    return rule.aggregate.replace("_", " ")


def _render_event(tag: str, kind: str) -> str:
    return f"| `{tag}` | `{FAMILIES[kind]}:read` | {'; '.join(list_event_readers(tag))} |"


def _list(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
