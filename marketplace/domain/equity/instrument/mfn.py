"""The most-favoured clause of a SAFE: notice of every later SAFE or note, a window, and one recorded election.

The append that signs or amends a SAFE or a note notifies the holders of most-favoured SAFEs; the startup may extend a
window and opens none of its own, so that it gives nobody the terms of an earlier SAFE. A window is at least `WINDOW`
long, and extended by `EXTENSION_MAX` in all. While the last one is open, the holder chooses among all instruments of
which it was notified.

An election adopts all of the later terms, of a note its cap and discount, once (Y Combinator's MFN form, section 3).
While a window is open and the holder has neither elected nor declined, no round is priced, because nobody may guess the
holder's choice.
Silence until the last window ends declines. What is elected are the terms of the last notice: those that the later
instrument had then, also if it converted, was repaid or was cancelled since, because the company has offered them.

Terms are measured by cap and discount. A lower cap is better, any cap is better than none, and a cap on the
capitalisation before the money is worse than an equal one after it; a higher discount is better. Terms that are better
in nothing and worse in something are not elected (`terms_worse`). An election that is worse in something, or that uses
the clause up while better terms may be elected, gives principal up: it counts toward the limit of one person
(`gives_up`). What delivery and corrections do under the terms is not measured, because neither choice is better for
every holder.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from msgspec import structs

from events.instrument import InstrumentEvent, InstrumentMfnElected, InstrumentMfnNoticed
from events.types import NoteTerms, SafeTerms
from marketplace.core.errors import Refusal
from marketplace.core.instants import render_instant
from marketplace.core.intervals import require_aware
from marketplace.core.money import ZERO
from marketplace.domain.equity.instrument.commands import ElectMfn, NoticeMfn
from marketplace.domain.equity.instrument.state import Instrument
from marketplace.domain.refusals import refuse_unknown, require_found

WINDOW: Final = timedelta(days=10)
"""The shortest time in which a holder may elect after a notice (Y Combinator's MFN form, section 3)."""


EXTENSION_MAX: Final = timedelta(days=30)
"""The most by which a startup extends a window: while it is open, no round is priced and no sale is proposed, which
binds the other holders too."""


def has_open_clause(state: Instrument) -> bool:
    """Return whether an instrument is a most-favoured SAFE without an election yet, with or awaiting principal."""
    terms = state.terms
    favoured = isinstance(terms, SafeTerms) and terms.most_favoured_nation and state.election is None
    return favoured and (state.outstanding_usd > ZERO or state.open_usd > ZERO)


def find_offer(state: Instrument, later: Instrument) -> SafeTerms | None:
    """Return the terms that a later instrument lets the holder of a most-favoured SAFE elect; None if it lets none.

    Of a SAFE these are its terms. Of a note these are the holder's own terms with the note's cap and discount, the cap
    on the capitalisation before the money of the round.
    """
    own, terms = state.terms, later.terms
    if isinstance(terms, SafeTerms):
        return terms
    has_price = isinstance(terms, NoteTerms) and (terms.valuation_cap_usd is not None or terms.discount is not None)
    if not has_price or not isinstance(own, SafeTerms) or not isinstance(terms, NoteTerms):
        return None
    return structs.replace(
        own,
        conversion_timing="pre_money",
        valuation_cap_usd=terms.valuation_cap_usd,
        discount=terms.discount,
        most_favoured_nation=False,
    )


def _is_worse(terms: SafeTerms, than: SafeTerms) -> bool:
    """Return whether terms may be worse for the holder by their cap or their discount."""
    if (terms.discount or ZERO) < (than.discount or ZERO):
        return True
    if than.valuation_cap_usd is None or terms.valuation_cap_usd is None:
        return than.valuation_cap_usd is not None
    is_earlier = (terms.conversion_timing, than.conversion_timing) == ("pre_money", "post_money")
    return is_earlier or terms.valuation_cap_usd > than.valuation_cap_usd


def is_better(terms: SafeTerms, than: SafeTerms) -> bool:
    """Return whether terms may be better for the holder by their cap or their discount.

    A cap before the money may be better than one after it only if it is lower.
    """
    if (terms.discount or ZERO) > (than.discount or ZERO):
        return True
    if than.valuation_cap_usd is None or terms.valuation_cap_usd is None:
        return terms.valuation_cap_usd is not None
    is_later = (terms.conversion_timing, than.conversion_timing) == ("post_money", "pre_money")
    return is_later or terms.valuation_cap_usd < than.valuation_cap_usd


def gives_up(elected: SafeTerms, state: Instrument, at: datetime) -> bool:
    """Return whether an election gives up value of the holder: its terms may be worse than its own, or than others.

    Others count if they may still be elected and the elected terms are better in nothing.

    Args:
        elected: The terms that the holder adopts, or keeps.
        state: The SAFE before the election.
        at: When it elects.
    """
    own = state.terms
    open_terms = [own, *(each.terms for each in state.notices.values())] if state.has_open_notice(at) else [own]
    return any(
        _is_worse(elected, each) and (each is own or not is_better(elected, each))
        for each in open_terms
        if isinstance(each, SafeTerms)
    )


def require_electable(state: Instrument, later: Instrument) -> SafeTerms:
    """Return the terms of another instrument of the same issuer that the holder may elect.

    Raises:
        Refusal: ``not_most_favoured`` · ``not_electable``, if it is the same instrument, of another issuer, or neither
            a SAFE nor a note with a cap or discount · ``notice_unknown``, if the holder got no notice of it.
    """
    _require_clause(state.issued.instrument_id, state)
    issuer_id, later_id, terms = state.issued.issuer_id, later.issued.instrument_id, find_offer(state, later)
    if later_id == state.issued.instrument_id or terms is None or later.issued.issuer_id != issuer_id:
        raise Refusal(
            "not_electable",
            f"{later_id} is not another SAFE of {issuer_id}, nor a note of it with a cap or a discount",
            pointer="/later_instrument_id",
        )
    if later_id not in state.notices:
        raise refuse_unknown("notice", later_id)
    return terms


def notice_mfn(command: NoticeMfn, state: Instrument) -> Sequence[InstrumentEvent]:
    """Return the notice; nothing if it is recorded. It replaces one of the same instrument whose window is no longer.

    Raises:
        Refusal: ``notice_exists`` · ``not_most_favoured`` · ``election_made`` · ``time_naive`` · ``window_over`` ·
            ``window_short`` · ``window_long``.
    """
    event = InstrumentMfnNoticed(
        instrument_id=command.instrument_id,
        later_instrument_id=command.later_instrument_id,
        terms=command.terms,
        elect_until=command.elect_until,
        principal_usd=state.outstanding_usd + state.open_usd,
    )
    known = state.notices.get(command.later_instrument_id)
    if known is not None and structs.replace(event, principal_usd=known.principal_usd) == known:
        return []
    if known is not None and command.elect_until < known.elect_until:
        raise Refusal(
            "notice_exists",
            f"the terms of {command.later_instrument_id} may be elected until {render_instant(known.elect_until)}, and"
            " no window is shortened; state a later end",
            pointer="/elect_until",
            elect_until=render_instant(known.elect_until),
        )
    _require_clause(command.instrument_id, state)
    if state.election is not None:
        raise refuse_decided(command.instrument_id)
    require_aware(command.elect_until, "/elect_until")
    if command.elect_until <= command.at:
        raise Refusal(
            "window_over",
            f"the window would end at {render_instant(command.elect_until)}, which has passed; state a later end",
            pointer="/elect_until",
        )
    if command.elect_until < command.at + WINDOW:
        raise Refusal(
            "window_short",
            f"the window would end at {render_instant(command.elect_until)}; a holder has at least {WINDOW.days} days"
            f" to elect, until {render_instant(command.at + WINDOW)}",
            pointer="/elect_until",
            elect_until_min=render_instant(command.at + WINDOW),
        )
    if known is not None and known.terms == command.terms:
        _require_extension(command, state.first_windows[command.later_instrument_id])
    return [event]


def _require_extension(command: NoticeMfn, first: datetime) -> None:
    """Refuse to extend a window further than `EXTENSION_MAX` after its `first` end."""
    latest = render_instant(first + EXTENSION_MAX)
    if command.elect_until > first + EXTENSION_MAX:
        raise Refusal(
            "window_long",
            f"the window would end at {render_instant(command.elect_until)}; it is extended by"
            f" {EXTENSION_MAX.days} days in all, until {latest}",
            pointer="/elect_until",
            elect_until_max=latest,
        )


def elect_mfn(command: ElectMfn, state: Instrument) -> Sequence[InstrumentEvent]:
    """Return the election; nothing if it is recorded.

    Raises:
        Refusal: ``not_most_favoured`` · ``election_made`` · ``notice_unknown`` · ``window_over`` · ``terms_worse``.
    """
    election = state.election
    if election is not None and election.later_instrument_id == command.later_instrument_id:
        return []
    terms = _require_clause(command.instrument_id, state)
    if election is not None:
        raise refuse_decided(command.instrument_id)
    if command.later_instrument_id is not None:
        terms = _get_noticed(command, state, terms)
    return [
        InstrumentMfnElected(
            instrument_id=command.instrument_id, later_instrument_id=command.later_instrument_id, terms=terms
        )
    ]


def _get_noticed(command: ElectMfn, state: Instrument, own: SafeTerms) -> SafeTerms:
    assert command.later_instrument_id is not None, "the caller has looked"
    notice = require_found("notice", command.later_instrument_id, state.notices.get(command.later_instrument_id))
    if not state.has_open_notice(command.at):
        until = max(each.elect_until for each in state.notices.values())
        raise Refusal(
            "window_over",
            f"the terms of {command.later_instrument_id} could be elected until {render_instant(until)}",
            pointer="/later_instrument_id",
            elect_until=render_instant(until),
        )
    if _is_worse(notice.terms, own) and not is_better(notice.terms, own):
        raise Refusal(
            "terms_worse",
            f"the cap and the discount of {command.later_instrument_id} are worse than those of"
            f" {command.instrument_id}; keep these, or elect better ones",
            pointer="/later_instrument_id",
            later_instrument_id=command.later_instrument_id,
        )
    return notice.terms


def _require_clause(instrument_id: str, state: Instrument) -> SafeTerms:
    terms = state.terms
    if not isinstance(terms, SafeTerms) or not terms.most_favoured_nation:
        raise Refusal(
            "not_most_favoured", f"instrument {instrument_id} has no most-favoured clause", instrument_id=instrument_id
        )
    return terms


def refuse_decided(instrument_id: str) -> Refusal:
    """Return the refusal of a second election, and of terms that would state the clause anew."""
    return Refusal(
        "election_made",
        f"the holder of {instrument_id} has already elected; the clause can be used once",
        instrument_id=instrument_id,
    )
