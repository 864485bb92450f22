"""Checks of an order's sizes, site requirements and links: the second half of the refusals of its terms.

Refusals in order: range_empty · sizes_too_many · pue_out_of_range · not_a_number · amount_not_positive ·
amount_too_large · amount_too_precise · backstop_linked · backstop_equity · note_too_short · warrant_too_short.
"""

from datetime import datetime, timedelta
from decimal import Decimal

from events.order import OrderTerms
from events.types import NoteTerms, WarrantTerms
from marketplace.core.errors import Refusal
from marketplace.core.money import require_share, require_usd
from marketplace.domain.equity.instrument.note_terms import require_note

SIZES_MAX = 32
NOTE_TAIL = timedelta(days=90)
"""Notes and warrants must outlive their run by this long, because disputed statements may still accrue."""
PRINCIPAL_USD_MAX = Decimal(1_000_000_000)
"""The most that the engine can count. A limit must be lower, so that an amount that is too large to count never
fits."""


def list_sizes(terms: OrderTerms) -> list[int]:
    """Return the sizes that an order accepts, smallest first; `nodes` is always one of them."""
    least = terms.nodes if terms.nodes_min is None else terms.nodes_min
    return sorted({*range(least, terms.nodes, terms.nodes_step), terms.nodes})


def find_end(terms: OrderTerms) -> datetime:
    """Return when an order of these terms expires: at its stated expiry, or at its latest start if that is earlier.

    After its latest start it cannot win, whatever its expiry. This is the only definition: deciders, timers,
    projections and the API use it.
    """
    return min(terms.expires_at or terms.start_latest, terms.start_latest)


def name_group(startup_id: str, terms: OrderTerms) -> str | None:
    """Return a key that distinguishes an order's group from other startups' groups; None without a group."""
    return None if terms.group is None else f"{startup_id}/{terms.group}"


def require_wishes(terms: OrderTerms) -> None:
    """Refuse an impossible range or site requirement; the module lists the order."""
    least = terms.nodes if terms.nodes_min is None else terms.nodes_min
    if least > terms.nodes:
        raise Refusal(
            "range_empty",
            f"the order has at least {least} and at most {terms.nodes} nodes; let nodes_min be at most nodes",
            pointer="/terms/nodes_min",
        )
    if (terms.nodes - least) // terms.nodes_step >= SIZES_MAX:
        raise Refusal(
            "sizes_too_many",
            f"from {least} to {terms.nodes} nodes in steps of {terms.nodes_step} are more than {SIZES_MAX} sizes; state"
            " a coarser nodes_step",
            pointer="/terms/nodes_step",
        )
    pue = terms.power_usage_effectiveness_max
    if pue is not None and (not pue.is_finite() or pue < 1):
        raise Refusal(
            "pue_out_of_range",
            f"the maximum power usage effectiveness is {pue}; no site is below 1",
            pointer="/terms/power_usage_effectiveness_max",
        )
    for share, name in (
        (terms.provider_standing_min, "provider_standing_min"),
        (terms.renewable_share_min, "renewable_share_min"),
    ):
        if share is not None:
            require_share(share, f"/terms/{name}")
    if terms.principal_usd_max is not None:
        require_usd(terms.principal_usd_max, "/terms/principal_usd_max")
        if terms.principal_usd_max >= PRINCIPAL_USD_MAX:
            raise Refusal(
                "amount_too_large",
                f"a principal limit of {terms.principal_usd_max} is too high; state less than {PRINCIPAL_USD_MAX}, or"
                " none",
                pointer="/terms/principal_usd_max",
            )
    _require_backstop(terms)


def _require_backstop(terms: OrderTerms) -> None:
    if not terms.backstop:
        return
    for value, name in ((terms.group, "group"), (terms.parent_order_id, "parent_order_id")):
        if value is not None:
            raise Refusal(
                "backstop_linked",
                "a backstop order takes what other orders leave, and cannot be linked to one; leave out its link",
                pointer=f"/terms/{name}",
            )
    if any(offer.equity_usd_per_gpu_hour for offer in terms.offers):
        raise Refusal(
            "backstop_equity", "a backstop order pays its price in cash; offer no equity", pointer="/terms/offers"
        )


def require_lasting(terms: OrderTerms) -> None:
    """Refuse a note or a warrant that ends while the run may still draw it; the module lists the order."""
    latest = terms.start_latest + timedelta(hours=terms.duration_hours) + NOTE_TAIL
    match terms.instrument:
        case NoteTerms() as note:
            require_note(note, "/terms/instrument")
            if note.matures_on < latest.date():
                raise Refusal(
                    "note_too_short",
                    f"the note matures on {note.matures_on}, and delivered usage may accrue until {latest.date()};"
                    " let it mature then or later",
                    pointer="/terms/instrument/matures_on",
                    matures_on=note.matures_on.isoformat(),
                    matures_on_min=latest.date().isoformat(),
                )
        case WarrantTerms() as warrant:
            if warrant.expires_at < latest:
                raise Refusal(
                    "warrant_too_short",
                    f"the warrant expires at {warrant.expires_at.isoformat()}, and delivered usage may accrue until"
                    f" {latest.isoformat()}; let it expire then or later",
                    pointer="/terms/instrument/expires_at",
                    expires_at=warrant.expires_at.isoformat(),
                    expires_at_min=latest.isoformat(),
                )
        case _:
            return
