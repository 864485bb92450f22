"""Values that a request names and the market must know: GPU classes of its pools, and regions of its sites.

An order for a class or a region that nobody has would hold money for nothing. Classes and regions are never taken back,
so a process remembers those that it has seen, and asks the projections only about others. Where these cannot answer,
nothing is refused, since commands need no database.
"""

import difflib
import re
from collections.abc import Collection, Iterable
from typing import Final, Literal

from sqlalchemy.ext.asyncio import AsyncConnection

from events.order import OrderTerms
from marketplace.api.http.services import Services
from marketplace.core.errors import Refusal, Unavailable, join_refusals
from marketplace.core.ids import is_id
from marketplace.domain.deciders import PREFIXES
from marketplace.domain.trading.order_terms import require_terms
from marketplace.projections.billing.accounts.rules import CLEARING, EXTERNAL, GPU_SECONDS, UNITS
from marketplace.projections.supply.capacity import list_classes
from marketplace.projections.supply.inventory import list_regions

Kind = Literal["gpu_class", "region"]
NAME_CHARACTERS_MAX: Final = 200
"""A longer name is no misspelling of a known one, and comparing it would take long."""
_SYNONYMS: Final = {
    "asc": "oldest",
    "ascending": "oldest",
    "desc": "newest",
    "descending": "newest",
    "latest": "newest",
    "recent": "newest",
    "offset": "cursor",
    "page": "cursor",
    "page_size": "limit",
    "per_page": "limit",
    "sort": "order",
    "sort_by": "order",
}
"""Words of other APIs, and what they are here, which no spelling tells."""
PREFIXED: Final = {
    **PREFIXES,
    "key": "key",
    "financing": "fin",
    "liquidity": "liq",
    "option": "opt",
    "warrant": "wrt",
    "offer": "trf",
    "promise": "prm",
}
"""Prefixes of the ids that paths hold, by the parameter's name without `_id`."""
_MEANT: Final = {
    "assumed_by": "iss",
    "programme": "prg",
    "replacement": "grt",
    "replaces": "pur",
    "source": "src",
    "tranche": "trn",
    "transfer": "trf",
}
"""Prefixes of the ids that only bodies hold. Ids of other members are those of parties, such as `vendor_id`."""
_LISTS: Final = {"gpu_class": list_classes, "region": list_regions}


def suggest(value: str, known: Collection[str]) -> str:
    """Return the words that name the nearest known value, in whatever case; none if nothing is near."""
    if len(value) > NAME_CHARACTERS_MAX:
        return ""
    lowered = {each.lower(): each for each in known}
    value = _SYNONYMS.get(value.lower(), value)
    nearest = difflib.get_close_matches(value.lower(), lowered, n=1, cutoff=0.6)
    return f"; did you mean {lowered[nearest[0]]}?" if nearest else ""


async def require_known(
    connection: AsyncConnection, kind: Kind, value: str | None, *, pointer: str | None = None
) -> None:
    """Refuse a filter by a class or a region that the market does not have; where it has none, by an empty one alone.

    Raises:
        Refusal: ``gpu_class_unoffered`` or ``region_unoffered``.
    """
    known = await _LISTS[kind](connection) if value is not None else []
    if value is not None and value not in known and (known or not value):
        raise _refuse(kind, value, known, pointer or f"/{kind}")


async def require_unit(connection: AsyncConnection, unit: str | None) -> None:
    """Refuse a filter by a unit that no balance can have.

    Raises:
        Refusal: ``request_invalid``, or ``gpu_class_unoffered`` for a class that the market does not have.
    """
    kind, _, rest = (UNITS[0] if unit is None else unit).partition(":")
    if unit is not None and (kind, bool(rest)) not in {(each.partition(":")[0], ":" in each) for each in UNITS}:
        text = f"no balance is in the unit {unit!r}; units are {', '.join(UNITS)}"
        raise Refusal("request_invalid", text, pointer="/unit")
    if kind == GPU_SECONDS:
        await require_known(connection, "gpu_class", rest, pointer="/unit")


def find_prefix(pointer: str) -> str:
    """Return the prefix of the ids that a member of a body holds, such as ``ord`` for ``/terms/parent_order_id``."""
    name = next(part for part in reversed(pointer.split("/")) if not part.isdigit())
    word = re.sub(r"_ids?(_after)?$", "", name)
    known = PREFIXED | _MEANT
    return known.get(word) or known.get(word.rpartition("_")[2], PREFIXED["party"])


def require_id(name: str, value: str, prefix: str | None = None) -> None:
    """Refuse a filter by an id that nothing, or nothing of its kind, can have.

    Raises:
        Refusal: ``request_invalid``.
    """
    if not is_id(value, prefix):
        text = f"{name} is no id such as {prefix or 'pty'}_01jdm5v5tze1xa6a4sbz1gk3c4; take it from an answer"
        raise Refusal("request_invalid", text, pointer=f"/{name}")


def require_ledger_account(name: str | None) -> None:
    """Refuse a filter by a name that no ledger account can have.

    Raises:
        Refusal: ``request_invalid``.
    """
    if name is None or name in {EXTERNAL, CLEARING}:
        return
    owner, _, kind = name.partition("/")
    if not kind or not is_id(owner):
        text = f"{name!r} is no ledger account, such as acc_01jdm5v5tze1xa6a4sbz1gk3c4/held; take it from /v1/balances"
        raise Refusal("request_invalid", text, pointer="/account")


async def require_terms_known(services: Services, terms: OrderTerms) -> None:
    """Refuse an order's class or region that the market does not have.

    Raises:
        Refusal: ``gpu_class_unoffered`` or ``region_unoffered``, with those of other members as `others`, and the rules
            that the terms break.
    """
    classes = [(offer.gpu_class, f"/terms/offers/{index}/gpu_class") for index, offer in enumerate(terms.offers)]
    regions = [(region, f"/terms/regions/{index}") for index, region in enumerate(terms.regions)]
    refused = [
        *await _list_unoffered(services, "gpu_class", classes),
        *await _list_unoffered(services, "region", regions),
    ]
    if refused:
        try:
            require_terms(terms, services.handler.clock.now())
        except Refusal as refusal:
            refused += [refusal, *refusal.others]
        raise join_refusals(refused)


async def _list_unoffered(services: Services, kind: Kind, wanted: Iterable[tuple[str, str]]) -> list[Refusal]:
    known = services.known[kind]
    missing = [(value, pointer) for value, pointer in wanted if value not in known]
    if not missing or services.watch is None:
        return []
    try:
        last = (await services.handler.log.health()).last_sequence
        async with services.watch.connect(last, services.settings.read_wait_seconds_max) as connection:
            known.update(await _LISTS[kind](connection))
    except Unavailable:
        return []
    return [_refuse(kind, value, sorted(known), pointer) for value, pointer in missing if known and value not in known]


def _refuse(kind: Kind, value: str, known: Collection[str], pointer: str) -> Refusal:
    name = {"gpu_class": "GPU class", "region": "region"}[kind]
    text = f"the market has no {name} {value!r}; it has {', '.join(known) or 'none yet'}{suggest(value, known)}"
    refusal = Refusal(f"{kind}_unoffered", text, pointer=pointer)
    refusal.choices = tuple(known)
    return refusal
