"""What a reader sees of an issuer over HTTP: views, cut to the reader's depth.

`marketplace.domain.equity.information` has the table of depths, and the rules for what events contain.
"""

from datetime import datetime
from typing import NamedTuple

from msgspec import structs
from sqlalchemy.ext.asyncio import AsyncConnection

from events.issuer_holders import HolderTerms
from marketplace.api.http.queries import Reader
from marketplace.api.http.visibility import ISSUER
from marketplace.captable.proposed import ProposedChanges, SharesChange
from marketplace.core.money import ZERO
from marketplace.domain.equity.information import (
    Sight,
    find_waterfall,
    limit_consents,
    limit_effects,
    limit_pricing,
    limit_terms,
    limit_waterfall,
    list_hidden,
    sum_payouts,
)
from marketplace.domain.equity.proposal import list_acts
from marketplace.domain.refusals import refuse_unknown
from marketplace.projections.equity.cap_tables import find_depth, find_issuer
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


class SeenIssuer(NamedTuple):
    """An issuer, and how deep the reader sees into it."""

    view: IssuerView
    sight: Sight


async def load_seen(connection: AsyncConnection, reader: Reader, issuer_id: str) -> SeenIssuer:
    """Return an issuer that the reader may see: as its company, as the platform, or as a holder of its securities.

    Raises:
        Refusal: ``issuer_unknown``.
    """
    view, party_id = await find_issuer(connection, issuer_id), reader.party_id
    if view is not None and party_id is not None and party_id != view.party_id:
        depth = await find_depth(connection, view, party_id)
        if depth is not None:
            return SeenIssuer(view, Sight(issuer_id, party_id, depth))
    view = reader.show(view, ISSUER, issuer_id)
    return SeenIssuer(view, Sight(issuer_id, party_id))


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
    """Return what the reader may see of a cap table.

    At the depth ``full`` that is everything; at ``summary`` the reader's own rows and the sums of the others'; at
    ``own`` only the reader's rows. The totals are always those of the whole table.
    """
    if sight.depth == "full":
        return table
    own = [row for row in table.rows if row.holder_id == sight.party_id]
    others = [] if sight.depth == "own" else _sum_rows(table, sight)
    return structs.replace(table, rows=(*own, *others))


def _sum_rows(table: CapTableView, sight: Sight) -> list[CapTableRow]:
    """Return one row per class of stock, and one each for options, warrants, promises and the pool."""
    found: dict[tuple[str, str], CapTableRow] = {}
    for row in table.rows:
        if row.holder_id == sight.party_id:
            continue
        key = (row.kind, row.security if row.kind == "stock" else row.kind)
        known = found.get(key)
        shares = row.shares + (0 if known is None else known.shares)
        sequence = max(row.last_sequence, 0 if known is None else known.last_sequence)
        found[key] = CapTableRow(
            kind=row.kind,
            holder_id="" if row.kind == "pool" else sight.issuer_id,
            name=None,
            security=key[1],
            class_id=row.class_id if row.kind == "stock" else None,
            shares=shares,
            last_sequence=sequence,
        )
    return list(found.values())


def limit_financing(view: FinancingView, sight: Sight) -> FinancingView:
    """Return what the reader may see of a round; below the depth ``full``, of other holders nothing but totals."""
    if sight.depth == "full":
        return view
    return structs.replace(
        view,
        terms=limit_terms(view.terms, sight),
        pro_rata=tuple(each for each in view.pro_rata if each.holder_id == sight.party_id),
        pro_rata_taken={holder: amount for holder, amount in view.pro_rata_taken.items() if holder == sight.party_id},
        pricing=None if view.pricing is None else limit_pricing(view.pricing, sight),
    )


def limit_sale(view: LiquidityView, sight: Sight) -> LiquidityView:
    """Return what the reader may see of a sale."""
    return structs.replace(view, waterfall=limit_waterfall(view.waterfall, sight))


def limit_classes(classes: list[StockClassView], sight: Sight) -> list[StockClassView]:
    """Return what the reader may see of the classes of stock: their terms, and beyond ``own`` how many shares exist."""
    if sight.depth != "own":
        return classes
    return [structs.replace(each, shares_outstanding=None) for each in classes]


def limit_changes(changes: ProposedChanges, sight: Sight) -> ProposedChanges:
    """Return what the reader may see of what a proposal changes.

    Below the depth ``full`` it contains the principal of nobody else, and the shares of others only as sums by
    security; with the depth ``own`` not these either.
    """
    if sight.depth == "full":
        return changes
    nobody = "" if sight.depth == "summary" else sight.party_id
    shares = [each for each in changes.shares if each.holder_id in {nobody, sight.party_id}]
    sums: dict[tuple[str, str], SharesChange] = {}
    for each in changes.shares:
        if each not in shares and sight.depth != "own":
            key = (each.kind, each.security if each.kind == "stock" else each.kind)
            known = sums.get(key)
            sums[key] = SharesChange(
                kind=each.kind,
                holder_id=sight.issuer_id,
                name=None,
                security=key[1],
                before=each.before + (0 if known is None else known.before),
                after=each.after + (0 if known is None else known.after),
            )
    principal = tuple(each for each in changes.principal if each.holder_id == sight.party_id)
    return structs.replace(changes, shares=(*shares, *sums.values()), principal=principal)


def limit_proposal(view: ProposalView, sight: Sight, now: datetime) -> ProposalView:
    """Return what the reader may see of a proposal and do with it; of a sale, with what it pays each security."""
    vote = next((each.vote for each in view.votes if each.party_id == sight.party_id), None)
    is_proposer = sight.party_id == view.proposer_id
    waterfall, hidden = find_waterfall(view.effects), list_hidden(view.consents, sight)
    view = structs.replace(
        view,
        consents=limit_consents(view.consents, sight),
        votes=tuple(vote for vote in view.votes if vote.party_id not in hidden),
        effects=limit_effects(view.effects, sight),
        may=list_acts(view.status, view.decide_until, vote=vote, is_proposer=is_proposer, at=now),
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
