"""Translates another system's package into acts of the marketplace; what has no counterpart is reported, never guessed.

The company, its stakeholders, classes, pool and stock are imported with every act on its day. Convertibles are imported
as they stand at the end: one that was converted, cancelled or transferred is not imported, only what it became.
"""

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from msgspec import UNSET

from events import issuer as issuers
from marketplace.ocf import objects as ocf
from marketplace.ocf import transactions as tx
from marketplace.ocf.container import Files, compute_hash
from marketplace.ocf.findings import Findings
from marketplace.ocf.import_context import ImportContext
from marketplace.ocf.incoming_convertibles import take_convertible
from marketplace.ocf.incoming_losses import note_comments, note_files, note_losses
from marketplace.ocf.incoming_rights import RIGHTS
from marketplace.ocf.intake import Intake
from marketplace.ocf.numbers import find_whole
from marketplace.ocf.parsing import Located, Package
from marketplace.ocf.securities import list_results, order_transactions
from marketplace.ocf.values import Monetary

_KINDS: Final = {"FOUNDER": "founder", "EMPLOYEE": "employee", "INVESTOR": "investor"}


def translate_package(
    package: Package,
    files: Files,
    findings: Findings,
    *,
    issuer_id: str,
    party_id: str,
    source: str,
    cause: str,
) -> Intake:
    """Return what the import of another system's package will record; see `take_sidecar` for the arguments."""
    context = ImportContext(package, findings, issuer_id=issuer_id, cause=cause)
    _take_issuer(context, party_id)
    for located in package.items:
        note_losses(context, located)
    note_comments(context)
    note_files(files, package, findings)
    for located in package.items:
        if isinstance(located.item, ocf.Stakeholder):
            _take_stakeholder(context, located, located.item)
        if isinstance(located.item, ocf.StockClass):
            context.name_class(located.item)
    _take_plans(context)
    _take_transactions(context)
    for located in package.items:
        if isinstance(located.item, ocf.Valuation):
            _take_valuation(context, located, located.item)
    return Intake(
        issuer_id=issuer_id,
        source=source,
        package_hash=compute_hash(files),
        acts=tuple(sorted(context.acts, key=lambda taken: taken.time)),
        instruments=context.instruments,
        origins=context.origins,
    )


def _take_transactions(context: ImportContext) -> None:
    """Import the transactions; create each class just before the first that needs it, and unused ones last."""
    for located, item in order_transactions(context.package):
        for uncreated in context.list_uncreated(item):
            _take_class(context, uncreated, item.date)
        handle = _TRANSACTIONS.get(type(item))
        if handle is not None:
            handle(context, located, item)
    for uncreated in context.list_uncreated():
        _take_class(context, uncreated, max((item.date for item in context.transactions), default=context.formed_on))


def _take_issuer(context: ImportContext, party_id: str) -> None:
    issuer = context.package.manifest.issuer
    located = Located("Manifest", issuer)
    context.origins[context.issuer_id] = issuer.id
    context.add(
        located,
        issuer.formation_date,
        issuers.IssuerFormed(
            issuer_id=context.issuer_id,
            party_id=party_id,
            legal_name=issuer.legal_name,
            jurisdiction=issuer.country_of_formation,
            formed_on=issuer.formation_date,
        ),
    )
    note_losses(context, located)


def _take_stakeholder(context: ImportContext, located: Located, item: ocf.Stakeholder) -> None:
    relationship = item.current_relationship
    kind: Any = "other" if relationship is UNSET else _KINDS.get(relationship, "other")
    context.add(
        located,
        context.formed_on,
        issuers.IssuerStakeholderAdded(
            issuer_id=context.issuer_id, holder_id=context.name_holder(item.id), name=item.name.legal_name, kind=kind
        ),
    )


def _take_class(context: ImportContext, located: Located, day: date) -> None:
    item = located.item
    assert isinstance(item, ocf.StockClass), "what is created is a class"
    class_id = context.classes[item.id]
    authorised = context.find_authorised(item)
    seniority = find_whole(item.seniority)
    if not authorised:
        reason = f"the marketplace needs a whole number of authorised shares, not {item.initial_shares_authorized}"
        context.report_problem(located, "authorised_shares_missing", reason)
    if seniority is None:
        context.report_problem(located, "seniority_not_whole", f"seniority {item.seniority} is no whole rank")
    preferred = item.class_type == "PREFERRED"
    price = context.find_usd(located, item.price_per_share) if preferred else None
    multiple = item.liquidation_preference_multiple
    cap = None if item.participation_cap_multiple is UNSET else Decimal(item.participation_cap_multiple)
    if preferred and (price is None or multiple is UNSET):
        reason = "a preferred class needs price_per_share and liquidation_preference_multiple"
        context.report_problem(located, "preference_missing", reason)
    context.add(
        located,
        day,
        issuers.IssuerStockClassCreated(
            issuer_id=context.issuer_id,
            class_id=class_id,
            kind="preferred" if preferred else "common",
            shares_authorised=authorised or 1,
            price_per_share_usd=price,
            liquidation_multiple=Decimal(multiple) if preferred and multiple is not UNSET else None,
            seniority=seniority or 0,
            participation="none" if cap is None else "capped",
            participation_cap_multiple=cap,
        ),
    )


def _take_plans(context: ImportContext) -> None:
    """Import all plans as one pool."""
    plans = [located for located in context.package.items if isinstance(located.item, ocf.StockPlan)]
    for located in plans[1:]:
        context.report_loss(located, "plans_joined", "the marketplace keeps one pool; the plans are added up")
    for located in plans:
        assert isinstance(located.item, ocf.StockPlan)
        context.set_plan(located, located.item.id, located.item.initial_shares_reserved, context.formed_on)


def _adjust_plan(context: ImportContext, located: Located, item: tx.PlanAdjustment) -> None:
    context.set_plan(located, item.stock_plan_id, item.shares_reserved, item.date)


def _issue_stock(context: ImportContext, located: Located, item: tx.StockIssuance) -> None:
    if context.is_implied(item.security_id) or context.is_retracted(item.security_id):
        return
    price = context.find_usd(located, item.share_price)
    shares = context.find_shares(located, item.quantity)
    if item.stock_plan_id is not UNSET:
        context.report_loss(
            located, "member_not_kept", "stock from a plan is kept as stock; the pool does not shrink by it"
        )
    if price is None or shares is None:
        return
    context.add(
        located,
        item.date,
        issuers.IssuerStockIssued(
            issuer_id=context.issuer_id,
            security_id=context.name("sec", item.security_id),
            holder_id=context.name_holder(item.stakeholder_id),
            class_id=context.find_class(item.stock_class_id),
            shares=shares,
            price_usd_per_share=price,
        ),
    )


def _transfer(context: ImportContext, located: Located, item: tx.StockTransfer) -> None:
    issuance = context.find_issuance(item.security_id)
    if not isinstance(issuance, tx.StockIssuance):
        return
    for name in item.resulting_security_ids:
        made = context.find_issuance(name)
        shares = context.find_shares(located, made.quantity) if isinstance(made, tx.StockIssuance) else None
        if not isinstance(made, tx.StockIssuance) or shares is None:
            continue
        if made.stakeholder_id == issuance.stakeholder_id:
            context.report_loss(located, "transfer_to_self", f"{made.stakeholder_id} is on both sides; nothing moves")
            continue
        context.add(
            located,
            item.date,
            issuers.IssuerStockTransferred(
                issuer_id=context.issuer_id,
                transfer_id=context.name("trf", f"{item.id}/{name}"),
                holder_id=context.name_holder(issuance.stakeholder_id),
                holder_id_after=context.name_holder(made.stakeholder_id),
                class_id=context.find_class(issuance.stock_class_id),
                shares=shares,
            ),
        )


def _repurchase(context: ImportContext, located: Located, item: tx.StockRepurchase) -> None:
    _take_back(context, located, item, item.quantity, item.price)


def _cancel_stock(context: ImportContext, located: Located, item: tx.StockCancellation) -> None:
    context.report_loss(located, "kept_as_repurchase", "a cancellation is kept as a repurchase for nothing")
    _take_back(context, located, item, item.quantity, Monetary(amount="0", currency="USD"))


def _take_back(context: ImportContext, located: Located, item: tx.OfSecurity, quantity: str, price: Monetary) -> None:
    issuance = context.find_issuance(item.security_id)
    shares, price_usd = context.find_shares(located, quantity), context.find_usd(located, price)
    if isinstance(issuance, tx.StockIssuance) and shares is not None and price_usd is not None:
        context.add(
            located,
            item.date,
            issuers.IssuerStockRepurchased(
                issuer_id=context.issuer_id,
                repurchase_id=context.name("rep", item.id),
                holder_id=context.name_holder(issuance.stakeholder_id),
                class_id=context.find_class(issuance.stock_class_id),
                shares=shares,
                price_usd_per_share=price_usd,
            ),
        )


def _split(context: ImportContext, located: Located, item: tx.StockClassSplit) -> None:
    together = context.list_splits(item)
    if {split.stock_class_id for split in together} != set(context.created):
        reason = "the marketplace splits every class at once; this day's splits leave classes out or differ in ratio"
        context.report_problem(located, "split_of_some_classes", reason)
    if together[0] is not item:
        return
    numerator, denominator = find_whole(item.split_ratio.numerator), find_whole(item.split_ratio.denominator)
    if not numerator or not denominator:
        context.report_problem(located, "split_not_whole", "a split has a whole numerator and denominator")
        return
    context.split_counts(Fraction(numerator, denominator))
    context.add(
        located,
        item.date,
        issuers.IssuerStockSplit(
            issuer_id=context.issuer_id,
            split_id=context.name("spl", item.id),
            numerator=numerator,
            denominator=denominator,
        ),
    )


def _reissue(context: ImportContext, located: Located, item: tx.StockReissuance) -> None:
    before = context.find_issuance(item.security_id)
    for name in list_results(item):
        made = context.find_issuance(name)
        if isinstance(before, tx.StockIssuance) and made is not None and not _is_alike(before, made):
            reason = f"security {name} has another holder or class than {item.security_id}, which it replaces"
            context.report_problem(located, "reissuance_differs", reason)


def _adjust_authorised(context: ImportContext, located: Located, item: tx.ClassAuthorized) -> None:
    context.set_authorised(located, item)


def _convert(context: ImportContext, located: Located, item: tx.StockConversion) -> None:
    issuance = context.find_issuance(item.security_id)
    made = [context.find_issuance(name) for name in item.resulting_security_ids]
    stock = [each for each in made if isinstance(each, tx.StockIssuance)]
    shares = context.find_shares(located, item.quantity_converted)
    if not isinstance(issuance, tx.StockIssuance) or len(stock) != 1 or shares is None:
        context.report_problem(
            located, "conversion_without_stock", "a conversion makes one certificate of another class"
        )
        return
    joined = [each for each in context.transactions if stock[0].security_id in list_results(each)]
    if joined[0] is not item:
        return
    for each in joined[1:]:
        before = context.find_issuance(each.security_id) if isinstance(each, tx.StockConversion) else None
        if not isinstance(each, tx.StockConversion) or not _is_alike(issuance, before) or each.date != item.date:
            reason = f"security {stock[0].security_id} comes out of {item.id} and {each.id}, which are of unlike stock"
            context.report_problem(located, "conversions_joined", reason)
            return
        shares += context.find_shares(located, each.quantity_converted) or 0
    after = context.find_shares(located, stock[0].quantity) or 0
    context.add(
        located,
        item.date,
        issuers.IssuerStockConverted(
            issuer_id=context.issuer_id,
            conversion_id=context.name("cnv", item.id),
            holder_id=context.name_holder(issuance.stakeholder_id),
            class_id=context.find_class(issuance.stock_class_id),
            shares=shares,
            class_id_after=context.find_class(stock[0].stock_class_id),
            shares_exact=f"{after}/1",
            shares_after=after,
            reason="voluntary",
        ),
    )


def _is_alike(first: tx.StockIssuance, other: tx.Issuance | None) -> bool:
    """Return whether two certificates are of one holder and class."""
    if not isinstance(other, tx.StockIssuance):
        return False
    return (first.stakeholder_id, first.stock_class_id) == (other.stakeholder_id, other.stock_class_id)


def _refuse_unknown(context: ImportContext, located: Located, item: tx.Transaction) -> None:
    del item
    reason = f"the marketplace has no counterpart of {located.item.__struct_config__.tag}"
    context.report_problem(located, "transaction_not_importable", reason)


def _take_valuation(context: ImportContext, located: Located, item: ocf.Valuation) -> None:
    price = context.find_usd(located, item.price_per_share)
    if price is None:
        return
    context.add(
        located,
        max(item.effective_date, context.formed_on),
        issuers.IssuerValuationRecorded(
            issuer_id=context.issuer_id,
            price_usd_per_share=price,
            method=item.valuation_type,
            effective_on=item.effective_date,
        ),
    )


_TRANSACTIONS: Final[dict[type[Any], Callable[[ImportContext, Located, Any], None]]] = {
    tx.StockIssuance: _issue_stock,
    tx.StockTransfer: _transfer,
    tx.StockRepurchase: _repurchase,
    tx.StockCancellation: _cancel_stock,
    tx.StockClassSplit: _split,
    tx.StockReissuance: _reissue,
    tx.PlanAdjustment: _adjust_plan,
    tx.ConvertibleIssuance: take_convertible,
    tx.StockConversion: _convert,
    tx.ClassAuthorized: _adjust_authorised,
    tx.ClassRatio: _refuse_unknown,
    tx.CompensationRelease: _refuse_unknown,
    tx.CompensationTransfer: _refuse_unknown,
    tx.WarrantTransfer: _refuse_unknown,
    **RIGHTS,
}
