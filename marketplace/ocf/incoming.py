"""From a package of others to acts of the marketplace; what has no counterpart is reported, never guessed.

The company, its stakeholders, classes, pool and stock are taken over with every act on its day. Convertibles are taken
over as they stand: one that was converted, cancelled or transferred is left to what came of it.
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
from marketplace.ocf.incoming_convertibles import take_convertible
from marketplace.ocf.incoming_ground import ImportContext
from marketplace.ocf.incoming_losses import note_comments, note_files, note_losses
from marketplace.ocf.incoming_rights import RIGHTS
from marketplace.ocf.intake import Intake
from marketplace.ocf.numbers import find_whole
from marketplace.ocf.reading import Located, Package
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
    """Return what a package of others will record; see `take_sidecar` for the arguments."""
    ground = ImportContext(package, findings, issuer_id=issuer_id, cause=cause)
    _take_issuer(ground, party_id)
    for located in package.items:
        note_losses(ground, located)
    note_comments(ground)
    note_files(files, package, findings)
    for located in package.items:
        if isinstance(located.item, ocf.Stakeholder):
            _take_stakeholder(ground, located, located.item)
        if isinstance(located.item, ocf.StockClass):
            ground.name_class(located.item)
    _take_plans(ground)
    _take_transactions(ground)
    for located in package.items:
        if isinstance(located.item, ocf.Valuation):
            _take_valuation(ground, located, located.item)
    return Intake(
        issuer_id=issuer_id,
        source=source,
        package_hash=compute_hash(files),
        acts=tuple(sorted(ground.acts, key=lambda taken: taken.time)),
        instruments=ground.instruments,
        origins=ground.origins,
    )


def _take_transactions(ground: ImportContext) -> None:
    """Take the transactions over, each class just before the first that needs it, and last what none needs."""
    for located, item in order_transactions(ground.package):
        for uncreated in ground.list_uncreated(item):
            _take_class(ground, uncreated, item.date)
        handle = _TRANSACTIONS.get(type(item))
        if handle is not None:
            handle(ground, located, item)
    for uncreated in ground.list_uncreated():
        _take_class(ground, uncreated, max((item.date for item in ground.transactions), default=ground.formed_on))


def _take_issuer(ground: ImportContext, party_id: str) -> None:
    issuer = ground.package.manifest.issuer
    located = Located("Manifest", issuer)
    ground.origins[ground.issuer_id] = issuer.id
    ground.add(
        located,
        issuer.formation_date,
        issuers.IssuerFormed(
            issuer_id=ground.issuer_id,
            party_id=party_id,
            legal_name=issuer.legal_name,
            jurisdiction=issuer.country_of_formation,
            formed_on=issuer.formation_date,
        ),
    )
    note_losses(ground, located)


def _take_stakeholder(ground: ImportContext, located: Located, item: ocf.Stakeholder) -> None:
    relationship = item.current_relationship
    kind: Any = "other" if relationship is UNSET else _KINDS.get(relationship, "other")
    ground.add(
        located,
        ground.formed_on,
        issuers.IssuerStakeholderAdded(
            issuer_id=ground.issuer_id, holder_id=ground.name_holder(item.id), name=item.name.legal_name, kind=kind
        ),
    )


def _take_class(ground: ImportContext, located: Located, day: date) -> None:
    item = located.item
    assert isinstance(item, ocf.StockClass), "what is created is a class"
    class_id = ground.classes[item.id]
    authorised = ground.find_authorised(item)
    seniority = find_whole(item.seniority)
    if not authorised:
        reason = f"the marketplace needs a whole number of authorised shares, not {item.initial_shares_authorized}"
        ground.refuse(located, "authorised_shares_missing", reason)
    if seniority is None:
        ground.refuse(located, "seniority_not_whole", f"seniority {item.seniority} is no whole rank")
    preferred = item.class_type == "PREFERRED"
    price = ground.find_usd(located, item.price_per_share) if preferred else None
    multiple = item.liquidation_preference_multiple
    cap = None if item.participation_cap_multiple is UNSET else Decimal(item.participation_cap_multiple)
    if preferred and (price is None or multiple is UNSET):
        reason = "a preferred class needs price_per_share and liquidation_preference_multiple"
        ground.refuse(located, "preference_missing", reason)
    ground.add(
        located,
        day,
        issuers.IssuerStockClassCreated(
            issuer_id=ground.issuer_id,
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


def _take_plans(ground: ImportContext) -> None:
    """Take all plans over as one pool."""
    plans = [located for located in ground.package.items if isinstance(located.item, ocf.StockPlan)]
    for located in plans[1:]:
        ground.lose(located, "plans_joined", "the marketplace keeps one pool; the plans are added up")
    for located in plans:
        assert isinstance(located.item, ocf.StockPlan)
        ground.set_plan(located, located.item.id, located.item.initial_shares_reserved, ground.formed_on)


def _adjust_plan(ground: ImportContext, located: Located, item: tx.PlanAdjustment) -> None:
    ground.set_plan(located, item.stock_plan_id, item.shares_reserved, item.date)


def _issue_stock(ground: ImportContext, located: Located, item: tx.StockIssuance) -> None:
    if ground.is_implied(item.security_id) or ground.is_retracted(item.security_id):
        return
    price = ground.find_usd(located, item.share_price)
    shares = ground.find_shares(located, item.quantity)
    if item.stock_plan_id is not UNSET:
        ground.lose(located, "member_not_kept", "stock from a plan is kept as stock; the pool does not shrink by it")
    if price is None or shares is None:
        return
    ground.add(
        located,
        item.date,
        issuers.IssuerStockIssued(
            issuer_id=ground.issuer_id,
            security_id=ground.name("sec", item.security_id),
            holder_id=ground.name_holder(item.stakeholder_id),
            class_id=ground.classes.get(item.stock_class_id, item.stock_class_id),
            shares=shares,
            price_usd_per_share=price,
        ),
    )


def _transfer(ground: ImportContext, located: Located, item: tx.StockTransfer) -> None:
    issuance = ground.find_issuance(item.security_id)
    if not isinstance(issuance, tx.StockIssuance):
        return
    for name in item.resulting_security_ids:
        made = ground.find_issuance(name)
        shares = ground.find_shares(located, made.quantity) if isinstance(made, tx.StockIssuance) else None
        if not isinstance(made, tx.StockIssuance) or shares is None:
            continue
        if made.stakeholder_id == issuance.stakeholder_id:
            ground.lose(located, "transfer_to_self", f"{made.stakeholder_id} is on both sides; nothing moves")
            continue
        ground.add(
            located,
            item.date,
            issuers.IssuerStockTransferred(
                issuer_id=ground.issuer_id,
                transfer_id=ground.name("trf", f"{item.id}/{name}"),
                holder_id=ground.name_holder(issuance.stakeholder_id),
                holder_id_after=ground.name_holder(made.stakeholder_id),
                class_id=ground.classes.get(issuance.stock_class_id, issuance.stock_class_id),
                shares=shares,
            ),
        )


def _repurchase(ground: ImportContext, located: Located, item: tx.StockRepurchase) -> None:
    _take_back(ground, located, item, item.quantity, item.price)


def _cancel_stock(ground: ImportContext, located: Located, item: tx.StockCancellation) -> None:
    ground.lose(located, "kept_as_repurchase", "a cancellation is kept as a repurchase for nothing")
    _take_back(ground, located, item, item.quantity, Monetary(amount="0", currency="USD"))


def _take_back(ground: ImportContext, located: Located, item: tx.OfSecurity, quantity: str, price: Monetary) -> None:
    issuance = ground.find_issuance(item.security_id)
    shares, price_usd = ground.find_shares(located, quantity), ground.find_usd(located, price)
    if isinstance(issuance, tx.StockIssuance) and shares is not None and price_usd is not None:
        ground.add(
            located,
            item.date,
            issuers.IssuerStockRepurchased(
                issuer_id=ground.issuer_id,
                repurchase_id=ground.name("rep", item.id),
                holder_id=ground.name_holder(issuance.stakeholder_id),
                class_id=ground.classes.get(issuance.stock_class_id, issuance.stock_class_id),
                shares=shares,
                price_usd_per_share=price_usd,
            ),
        )


def _split(ground: ImportContext, located: Located, item: tx.StockClassSplit) -> None:
    together = ground.list_splits(item)
    if {split.stock_class_id for split in together} != set(ground.created):
        reason = "the marketplace splits every class at once; this day's splits leave classes out or differ in ratio"
        ground.refuse(located, "split_of_some_classes", reason)
    if together[0] is not item:
        return
    numerator, denominator = find_whole(item.split_ratio.numerator), find_whole(item.split_ratio.denominator)
    if not numerator or not denominator:
        ground.refuse(located, "split_not_whole", "a split has a whole numerator and denominator")
        return
    ground.split_counts(Fraction(numerator, denominator))
    ground.add(
        located,
        item.date,
        issuers.IssuerStockSplit(
            issuer_id=ground.issuer_id,
            split_id=ground.name("spl", item.id),
            numerator=numerator,
            denominator=denominator,
        ),
    )


def _reissue(ground: ImportContext, located: Located, item: tx.StockReissuance) -> None:
    before = ground.find_issuance(item.security_id)
    for name in list_results(item):
        made = ground.find_issuance(name)
        if isinstance(before, tx.StockIssuance) and made is not None and not _is_alike(before, made):
            reason = f"security {name} has another holder or class than {item.security_id}, which it replaces"
            ground.refuse(located, "reissuance_differs", reason)


def _adjust_authorised(ground: ImportContext, located: Located, item: tx.ClassAuthorized) -> None:
    ground.set_authorised(located, item)


def _convert(ground: ImportContext, located: Located, item: tx.StockConversion) -> None:
    issuance = ground.find_issuance(item.security_id)
    made = [ground.find_issuance(name) for name in item.resulting_security_ids]
    stock = [each for each in made if isinstance(each, tx.StockIssuance)]
    shares = ground.find_shares(located, item.quantity_converted)
    if not isinstance(issuance, tx.StockIssuance) or len(stock) != 1 or shares is None:
        ground.refuse(located, "conversion_without_stock", "a conversion makes one certificate of another class")
        return
    joined = [each for each in ground.transactions if stock[0].security_id in list_results(each)]
    if joined[0] is not item:
        return
    for each in joined[1:]:
        before = ground.find_issuance(each.security_id) if isinstance(each, tx.StockConversion) else None
        if not isinstance(each, tx.StockConversion) or not _is_alike(issuance, before) or each.date != item.date:
            reason = f"security {stock[0].security_id} comes out of {item.id} and {each.id}, which are of unlike stock"
            ground.refuse(located, "conversions_joined", reason)
            return
        shares += ground.find_shares(located, each.quantity_converted) or 0
    after = ground.find_shares(located, stock[0].quantity) or 0
    ground.add(
        located,
        item.date,
        issuers.IssuerStockConverted(
            issuer_id=ground.issuer_id,
            conversion_id=ground.name("cnv", item.id),
            holder_id=ground.name_holder(issuance.stakeholder_id),
            class_id=ground.classes.get(issuance.stock_class_id, issuance.stock_class_id),
            shares=shares,
            class_id_after=ground.classes.get(stock[0].stock_class_id, stock[0].stock_class_id),
            shares_exact=f"{after}/1",
            shares_after=after,
            reason="voluntary",
        ),
    )


def _is_alike(first: tx.StockIssuance, other: tx.Issuance | None) -> bool:
    """Tell whether two certificates are of one holder and class."""
    if not isinstance(other, tx.StockIssuance):
        return False
    return (first.stakeholder_id, first.stock_class_id) == (other.stakeholder_id, other.stock_class_id)


def _refuse_unknown(ground: ImportContext, located: Located, item: tx.Transaction) -> None:
    del item
    reason = f"the marketplace has no counterpart of {located.item.__struct_config__.tag}"
    ground.refuse(located, "transaction_not_importable", reason)


def _take_valuation(ground: ImportContext, located: Located, item: ocf.Valuation) -> None:
    price = ground.find_usd(located, item.price_per_share)
    if price is None:
        return
    ground.add(
        located,
        max(item.effective_date, ground.formed_on),
        issuers.IssuerValuationRecorded(
            issuer_id=ground.issuer_id,
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
