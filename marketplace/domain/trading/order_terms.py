"""What an order may ask of sizes, sites and other orders; the second half of the refusals of an order's terms.

Refusals in order: range_empty · sizes_too_many · pue_out_of_range · not_a_number · amount_not_positive ·
amount_too_large · amount_too_precise · backstop_linked · backstop_equity · note_too_short ·
warrant_too_short.
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
"""Notes and warrants outlive the run that draws them by so long: disputed statements still accrue before they end."""
PRINCIPAL_USD_MAX = Decimal(1_000_000_000)
"""What the engine counts up to; a limit stays under it, so that what is too much to be counted never fits."""


def list_sizes(terms: OrderTerms) -> list[int]:
    """Return the sizes that an order takes, the smallest first; `nodes` is always one of them."""
    least = terms.nodes if terms.nodes_min is None else terms.nodes_min
    return sorted({*range(least, terms.nodes, terms.nodes_step), terms.nodes})


def find_end(terms: OrderTerms) -> datetime:
    """Return when an order of these terms ends by itself: at its expiry, and at its latest start at the latest.

    After its latest start it can win nothing, whatever its expiry. This is the only definition: deciders, timers,
    projections and the API use it.
    """
    return min(terms.expires_at or terms.start_latest, terms.start_latest)


def name_group(startup_id: str, terms: OrderTerms) -> str | None:
    """Return what tells an order's group from those of other startups; None where it is in none."""
    return None if terms.group is None else f"{startup_id}/{terms.group}"


def require_wishes(terms: OrderTerms) -> None:
    """Refuse a range or a demand on sites that cannot be; see the module for the order."""
    least = terms.nodes if terms.nodes_min is None else terms.nodes_min
    if least > terms.nodes:
        raise Refusal(
            "range_empty",
            f"at least {least} nodes and at most {terms.nodes} are asked for; let nodes_min be at most nodes",
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
            f"the greatest power usage effectiveness is {pue}; no site is under 1",
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
                f"{terms.principal_usd_max} of principal are no limit; state less than {PRINCIPAL_USD_MAX}, or none",
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
                "a backstop buys what other orders leave, and is tied to none; leave its link out",
                pointer=f"/terms/{name}",
            )
    if any(offer.equity_usd_per_gpu_hour for offer in terms.offers):
        raise Refusal("backstop_equity", "a backstop pays its price in cash; offer no equity", pointer="/terms/offers")


def require_lasting(terms: OrderTerms) -> None:
    """Refuse a note or a warrant that ends while the run may still draw it; see the module for the order."""
    latest = terms.start_latest + timedelta(hours=terms.duration_hours) + NOTE_TAIL
    match terms.instrument:
        case NoteTerms() as note:
            require_note(note, "/terms/instrument")
            if note.matures_on < latest.date():
                raise Refusal(
                    "note_too_short",
                    f"the note falls due on {note.matures_on}, and what is delivered may accrue until {latest.date()};"
                    " let it fall due then or later",
                    pointer="/terms/instrument/matures_on",
                    matures_on=note.matures_on.isoformat(),
                    matures_on_min=latest.date().isoformat(),
                )
        case WarrantTerms() as warrant:
            if warrant.expires_at < latest:
                raise Refusal(
                    "warrant_too_short",
                    f"the warrant expires at {warrant.expires_at.isoformat()}, and what is delivered may accrue until"
                    f" {latest.isoformat()}; let it expire then or later",
                    pointer="/terms/instrument/expires_at",
                    expires_at=warrant.expires_at.isoformat(),
                    expires_at_min=latest.isoformat(),
                )
        case _:
            return
