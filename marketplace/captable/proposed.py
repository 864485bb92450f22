"""What a proposal would change: the cap table and the principal before and after its effects."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from events.proposal import ProposedEvent
from events.registry import parse_body
from marketplace.captable.history import History
from marketplace.core.ids import is_id
from marketplace.core.money import ZERO, floor_cents
from marketplace.domain.equity.instrument.instrument import INSTRUMENT
from marketplace.domain.equity.instrument.state import Instrument
from marketplace.domain.equity.issuer.implied_value import measure_ranking
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.equity.issuer.state import Issuer, list_rows, total_shares


class SharesChange(msgspec.Struct, frozen=True, kw_only=True):
    """Shares of one holder in one security, before and after.

    Attributes:
        kind: ``stock``, ``option``, ``warrant``, ``promised`` or ``pool``.
        holder_id: Who holds it; empty for the pool; the issuer for the sum of others.
        name: What the cap table shows; None for the pool and for sums.
        security: The class of stock, or the id of the option, warrant or promise, or ``pool``.
        before: Shares now.
        after: Shares once the proposal has taken effect.
    """

    kind: str
    holder_id: str
    name: str | None
    security: str
    before: int
    after: int


class PrincipalChange(msgspec.Struct, frozen=True, kw_only=True):
    """Principal of an instrument that is neither converted nor repaid, before and after.

    Attributes:
        instrument_id: The instrument.
        holder_id: Who holds it.
        before_usd: Principal before.
        after_usd: Principal after.
    """

    instrument_id: str
    holder_id: str
    before_usd: Decimal
    after_usd: Decimal


class ProposedChanges(msgspec.Struct, frozen=True, kw_only=True):
    """What a proposal changes of a cap table; what stays as it is, is left out.

    Attributes:
        proposal_id: The proposal.
        outstanding_before: Outstanding shares now.
        outstanding_after: Outstanding shares after it.
        fully_diluted_before: Fully diluted shares now.
        fully_diluted_after: Fully diluted shares after it.
        shares: By kind, holder and security.
        principal: By instrument.
        preference_added_usd: What stock, rights and principal get more before common stock.
    """

    proposal_id: str
    outstanding_before: int
    outstanding_after: int
    fully_diluted_before: int
    fully_diluted_after: int
    shares: tuple[SharesChange, ...]
    principal: tuple[PrincipalChange, ...]
    preference_added_usd: Decimal


def compare_effects(history: History, proposal_id: str, effects: Iterable[ProposedEvent]) -> ProposedChanges:
    """Return what the effects of a proposal change.

    Raises:
        Refusal: ``issuer_unknown``.
    """
    issuer, instruments = history.get_issuer(), history.list_instruments()
    after, instruments_after = _apply(issuer, instruments, effects)
    shares, shares_after = _read_shares(issuer), _read_shares(after)
    principal, principal_after = _read_principal(instruments), _read_principal(instruments_after)
    names = {holder_id: one.name for holder_id, one in after.stakeholders.items()}
    totals, totals_after = total_shares(issuer), total_shares(after)
    return ProposedChanges(
        proposal_id=proposal_id,
        outstanding_before=totals.stock,
        outstanding_after=totals_after.stock,
        fully_diluted_before=totals.fully_diluted,
        fully_diluted_after=totals_after.fully_diluted,
        shares=tuple(
            SharesChange(
                kind=kind,
                holder_id=holder_id,
                name=names.get(holder_id),
                security=security,
                before=shares.get((kind, holder_id, security), 0),
                after=shares_after.get((kind, holder_id, security), 0),
            )
            for kind, holder_id, security in _list_changed(shares, shares_after, 0)
        ),
        principal=tuple(
            PrincipalChange(
                instrument_id=instrument_id,
                holder_id=holder_id,
                before_usd=principal.get((instrument_id, holder_id), ZERO),
                after_usd=principal_after.get((instrument_id, holder_id), ZERO),
            )
            for instrument_id, holder_id in _list_changed(principal, principal_after, ZERO)
        ),
        preference_added_usd=floor_cents(measure_ranking(after) - measure_ranking(issuer)),
    )


def list_named_classes(issuer_id: str, effects: Iterable[ProposedEvent]) -> set[tuple[str, str]]:
    """Return the classes of stock that effects name, each with its issuer: of a sale for stock, the buyer."""
    found: set[tuple[str, str]] = set()
    for effect in effects:
        _add_named(found, issuer_id, msgspec.json.decode(effect.body_json))
    return found


def _add_named(found: set[tuple[str, str]], issuer_id: str, part: Any) -> None:
    if isinstance(part, dict):
        if isinstance(part.get("class_id"), str):
            found.add((part.get("buyer_issuer_id") or issuer_id, part["class_id"]))
        part = part.values()
    for each in part if not isinstance(part, str) and isinstance(part, Iterable) else ():
        _add_named(found, issuer_id, each)


def _apply(
    issuer: Issuer, instruments: Mapping[str, Instrument], effects: Iterable[ProposedEvent]
) -> tuple[Issuer, dict[str, Instrument]]:
    after = dict(instruments)
    for effect in effects:
        event: Any = parse_body(effect.type, effect.body_json.encode())
        if effect.aggregate_id == issuer.formed.issuer_id:
            folded = ISSUER.fold([event], issuer)
            assert isinstance(folded, Issuer), "an issuer that was formed stays one"
            issuer = folded
        elif is_id(effect.aggregate_id, "ins"):
            instrument = INSTRUMENT.fold([event], after.get(effect.aggregate_id))
            assert instrument is not None, "an event of an instrument makes it"
            after[effect.aggregate_id] = instrument
    return issuer, after


def _read_shares(issuer: Issuer) -> dict[tuple[str, str, str], int]:
    return {(row.kind, row.holder_id or "", row.security): row.shares for row in list_rows(issuer)}


def _read_principal(instruments: Mapping[str, Instrument]) -> dict[tuple[str, str], Decimal]:
    return {(key, each.holder_id): each.outstanding_usd for key, each in instruments.items()}


def _list_changed(before: Mapping[Any, Any], after: Mapping[Any, Any], none: Any) -> list[Any]:
    return [key for key in sorted(before.keys() | after.keys()) if before.get(key, none) != after.get(key, none)]
