"""What a reader sees of an issuer over HTTP: views, cut to the reader's depth.

`marketplace.domain.equity.information` has the table of depths, and the rules for what events contain.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from fractions import Fraction
from typing import Final, NamedTuple

from msgspec import structs
from sqlalchemy.ext.asyncio import AsyncConnection

from events.issuer import IssuerStockClassCreated
from events.issuer_holders import HolderTerms
from events.registry import parse_body
from marketplace.api.http.queries import Reader
from marketplace.api.http.visibility import ISSUER
from marketplace.application.steps.access import is_company
from marketplace.captable.proposed import ProposedChanges, SharesChange
from marketplace.core.money import ZERO, round_ratio
from marketplace.domain.equity.information import (
    Sight,
    choose_depth,
    find_waterfall,
    keep_seen,
    limit_consents,
    limit_effects,
    limit_payouts,
    limit_pricing,
    limit_terms,
    limit_waterfall,
    list_hidden,
    split_shares,
    sum_payouts,
)
from marketplace.domain.equity.proposal import list_acts, list_missing, stands
from marketplace.domain.refusals import refuse_unknown, require_found
from marketplace.projections.equity.cap_tables import find_depth, find_held_stock, find_issuer, is_bound, is_director
from marketplace.projections.equity.proposals import list_selling
from marketplace.projections.views.equity import (
    CapTableRow,
    CapTableView,
    FinancingView,
    IssuerView,
    LiquidityView,
    ProposalView,
    SaleSummary,
    StockClassView,
)

_CREATED: Final = IssuerStockClassCreated.__struct_config__.tag


class SeenIssuer(NamedTuple):
    """An issuer, and how deep the reader sees into it."""

    view: IssuerView
    sight: Sight


async def load_seen(connection: AsyncConnection, reader: Reader, issuer_id: str) -> SeenIssuer:
    """Return an issuer that the reader may see: as its company, as the platform, or as a holder of its securities.

    A director sees as much as the company. Who would get stock or a warrant, or sign a round or an instrument, reads as
    a holder until the proposal ends: it sees what ranks before it, and what makes its price. If the company proposes
    it, it does so at the depth ``summary`` or deeper; if a holder does, as the holder terms say. For others nothing of
    the issuer is read, so that the time of the answer does not tell whether there is one.

    Raises:
        Refusal: ``issuer_unknown``.
    """
    party_id = reader.party_id
    if party_id is None or is_company(party_id, issuer_id):
        view = reader.show(await find_issuer(connection, issuer_id), ISSUER, issuer_id)
        return SeenIssuer(view, Sight(issuer_id, party_id))
    held = await find_held_stock(connection, issuer_id, party_id)
    selling = await list_selling(connection, issuer_id, party_id)
    directs = await is_director(connection, issuer_id, party_id)
    if held is None and not selling and not directs:
        raise refuse_unknown("issuer", issuer_id)
    view = require_found("issuer", issuer_id, await find_issuer(connection, issuer_id))
    if directs:
        return SeenIssuer(view, Sight(issuer_id, party_id))
    bound = view.party_id not in selling and (held is None or await is_bound(connection, issuer_id, party_id))
    depth = choose_depth(view.holder_terms, held or (), is_bound=bound)
    return SeenIssuer(view, Sight(issuer_id, party_id, depth))


async def load_sight(connection: AsyncConnection, reader: Reader, issuer_id: str) -> Sight:
    """Return how deep the reader sees into an issuer that it may see; see `load_seen`."""
    return (await load_seen(connection, reader, issuer_id)).sight


async def load_voter_sight(connection: AsyncConnection, reader: Reader, issuer_id: str) -> Sight:
    """Return how deep a reader of a proposal sees into its issuer.

    A director sees as much as the company. A voter that holds nothing, such as a buyer, sees as at the depth ``own``:
    terms and totals.

    Raises:
        Refusal: ``issuer_unknown``.
    """
    view, party_id = await find_issuer(connection, issuer_id), reader.party_id
    if view is None:
        raise refuse_unknown("issuer", issuer_id)
    directors = (view.holder_terms or HolderTerms()).directors
    if party_id is None or party_id in {view.party_id, *directors}:
        return Sight(issuer_id, party_id)
    return Sight(issuer_id, party_id, await find_depth(connection, view, party_id) or "own")


def limit_cap_table(table: CapTableView, sight: Sight) -> CapTableView:
    """Return what the reader may see of a cap table. The totals are always those of the whole table."""
    seen, others = split_shares(table.rows, sight)
    sums = (
        CapTableRow(
            kind=kind,
            holder_id=holder_id,
            name=None,
            security=security,
            class_id=rows[0].class_id if kind == "stock" else None,
            shares=sum(row.shares for row in rows),
            last_sequence=max(row.last_sequence for row in rows),
        )
        for (kind, holder_id, security), rows in others.items()
    )
    return structs.replace(table, rows=(*seen, *sums))


def limit_financing(view: FinancingView, sight: Sight) -> FinancingView:
    """Return what the reader may see of a round; below the depth ``full``, of other holders nothing but totals."""
    return structs.replace(
        view,
        terms=limit_terms(view.terms, sight),
        pro_rata=keep_seen(view.pro_rata, sight),
        pro_rata_taken={holder: amount for holder, amount in view.pro_rata_taken.items() if sight.sees(holder)},
        pricing=None if view.pricing is None else limit_pricing(view.pricing, sight),
    )


def limit_sale(view: LiquidityView, sight: Sight) -> LiquidityView:
    """Return what the reader may see of a sale."""
    return structs.replace(
        view,
        waterfall=limit_waterfall(view.waterfall, sight),
        payouts=limit_payouts(view.payouts, sight),
        later=keep_seen(view.later, sight),
    )


def limit_changes(changes: ProposedChanges, sight: Sight) -> ProposedChanges:
    """Return what the reader may see of what a proposal changes.

    Below the depth ``full`` it contains the principal of nobody else, and the shares of others only as sums by
    security; with the depth ``own`` not these either.
    """
    seen, others = split_shares(changes.shares, sight)
    sums = (
        SharesChange(
            kind=kind,
            holder_id=holder_id,
            name=None,
            security=security,
            before=sum(each.before for each in rows),
            after=sum(each.after for each in rows),
        )
        for (kind, holder_id, security), rows in others.items()
    )
    return structs.replace(changes, shares=(*seen, *sums), principal=keep_seen(changes.principal, sight))


def add_classes(
    view: ProposalView, named: Iterable[tuple[str, str]], known: Mapping[tuple[str, str], StockClassView]
) -> ProposalView:
    """Return a proposal with the terms of the classes that its effects name: as they are, or as it creates them."""
    created = {
        (event.issuer_id, event.class_id): _show_created(event, view.last_sequence)
        for event in (parse_body(each.type, each.body_json.encode()) for each in view.effects if each.type == _CREATED)
        if isinstance(event, IssuerStockClassCreated)
    }
    found = (known.get(name) or created.get(name) for name in sorted(named))
    return structs.replace(view, classes=tuple(each for each in found if each is not None))


def _show_created(event: IssuerStockClassCreated, last_sequence: int) -> StockClassView:
    price_usd, multiple = event.price_per_share_usd or ZERO, event.liquidation_multiple or ZERO
    return StockClassView(
        **structs.asdict(event),
        shares_outstanding=0,
        conversion_price_usd=event.price_per_share_usd,
        preference_usd=round_ratio(Fraction(price_usd) * Fraction(multiple)),
        last_sequence=last_sequence,
    )


def limit_proposal(view: ProposalView, sight: Sight, now: datetime) -> ProposalView:
    """Return what the reader may see of a proposal and do with it; of a sale, with what it pays each security."""
    vote = next((each.vote for each in view.votes if each.party_id == sight.party_id), None)
    is_proposer = sight.party_id == view.proposer_id
    waterfall, hidden = find_waterfall(view.effects), list_hidden(view.consents, sight)
    agreed, refused = (
        frozenset(each.party_id for each in view.votes if each.vote == cast) for cast in ("agreed", "refused")
    )
    is_ready = not list_missing(view.consents, agreed, refused, now)
    may = list_acts(view.status, view.decide_until, vote=vote, is_proposer=is_proposer, at=now, is_ready=is_ready)
    willing = {view.proposer_id, *agreed}
    if view.status == vote == "refused" and stands(view.consents, sight.party_id or "", view.issuer_id, willing):
        may = ("agree",)  # it takes the refusal back
    view = structs.replace(
        view,
        consents=limit_consents(view.consents, sight),
        votes=tuple(vote for vote in view.votes if vote.party_id not in hidden),
        effects=limit_effects(view.effects, sight),
        may=may,
    )
    if waterfall is None:
        return view
    yours = tuple(payout for payout in waterfall.payouts if payout.holder_id == sight.party_id)
    sale = SaleSummary(
        proceeds_usd=waterfall.proceeds_usd,
        yours=yours,
        yours_usd=sum((payout.amount_usd for payout in yours), ZERO),
        by_security={each.security: each.amount_usd for each in sum_payouts(waterfall.payouts, sight.issuer_id)},
    )
    return structs.replace(view, sale=sale)
