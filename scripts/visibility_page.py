"""`docs/who-sees-what.md`: who sees which resource and which event, from the rules that the API applies."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from events.registry import AGGREGATES, EVENT_TYPES, list_tags
from marketplace.api.feed.events import FAMILIES
from marketplace.api.http.visibility import DECISION, GRANT, ORDER, STATEMENT, Visibility
from marketplace.domain.equity.information import LIMITED, WHOLE
from marketplace.projections.engine.projection import tags_of
from marketplace.projections.feed.visibility import COSTS, FOUNDING, NAMES, PARENTS, PLATFORM, PUBLIC

PAGE: Final = Path(__file__).parent.parent / "docs" / "who-sees-what.md"
VIEWS: Final = {"order": ORDER, "decision": DECISION, "grant": GRANT, "statement": STATEMENT}
_HEAD: Final = """# Who sees what

`uv run python scripts/render_contracts.py` writes this page from the rules that the API applies. What of an auction is
sealed until when stands in [how-to-use-the-api.md](how-to-use-the-api.md#who-sees-what-of-an-offer).
`tests/api/test_sealed.py` asks every route and the feed as each side of a trade.

A key also needs the scope that is named. The platform sees everything; events and orders with `orders:sealed` only. To
all others a resource is unknown.

## Resources

The parties that a resource names under these members see it: on its own route, in lists, and where `expand` shows it.

| resource | scope | the parties named as | except |
|---|---|---|---|
"""
_EVENTS: Final = """
## Events

In the feed, as pages and as streams. *Behind* an aggregate are the parties that its first event names; behind what
belongs to a grant or an issuer, those of that grant or issuer too. The user of a transferred grant is behind the grant
and its usage, but does not see what it costs.

| event type | scope | who sees it |
|---|---|---|
"""


def render_page() -> str:
    """Return the page."""
    rows = [_render_view(name, rule) for name, rule in VIEWS.items()]
    events = [_render_event(tag, kind) for kind in AGGREGATES for tag in list_tags(kind)]
    return _HEAD + "\n".join(rows) + "\n" + _EVENTS + "\n".join(events) + "\n"


def _render_view(name: str, rule: Visibility[msgspec.Struct]) -> str:
    hidden = f"{_list(rule.hidden)}: not to one named only as `{rule.limited}`" if rule.limited else ""
    return f"| {name} | `{rule.feature}:read` | {_list(rule.parties)} | {hidden} |"


def _render_event(tag: str, kind: str) -> str:
    return f"| `{tag}` | `{FAMILIES[kind]}:read` | {'; '.join(_list_readers(tag, kind))} |"


def _list_readers(tag: str, kind: str) -> Iterator[str]:
    if tag in PUBLIC:
        yield "everybody"
        return
    if tag in PLATFORM:
        yield "the platform alone"
        return
    members = EVENT_TYPES[tag].__struct_fields__
    named = [name for name in NAMES if name in members]
    named += ["equity.holder_id"] if "equity" in members else []
    named += ["consents"] if tag == "proposal.made.v1" else []
    if named:
        yield f"those named as {_list(named)}"
    parent = PARENTS.get(kind)
    if kind in {"usage", "statement"}:
        yield "those behind its grant"
    elif kind != "register" and tag not in FOUNDING:
        yield f"those behind the {kind.replace('_', ' ')}"
    if parent in members and kind not in {"usage", "statement"}:
        yield f"those behind the {parent.removesuffix('_id')} that it names"
    if tag in tags_of(*COSTS):
        yield "not who uses it by transfer"
    if tag in tags_of(*LIMITED):
        yield "holders of the issuer's equity, limited by their information rights"
    if tag in tags_of(*WHOLE):
        yield "holders whose information rights are `full`"


def _list(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
