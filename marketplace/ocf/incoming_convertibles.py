"""Convertibles of a package of others; see `incoming`."""

from decimal import Decimal

from msgspec import UNSET

from events import instrument as instruments
from events import issuer as issuers
from events.types import SafeTerms
from marketplace.ocf import transactions as tx
from marketplace.ocf.incoming_ground import Ground, at_midnight
from marketplace.ocf.intake import Taken
from marketplace.ocf.reading import Located
from marketplace.ocf.values import SafeMechanism


def take_convertible(ground: Ground, located: Located, item: tx.ConvertibleIssuance) -> None:
    """Take a convertible over that is still there, as an instrument paid at once on its day."""
    ended = _find_end(ground, item.security_id)
    if ended is not None:
        reason = f"it ended by {ended.__struct_config__.tag} {ended.id}; what came of it is kept, and it is not"
        ground.lose(located, "ended_convertible_not_kept", reason)
        return
    terms = _find_terms(ground, located, item)
    amount = ground.find_usd(located, item.investment_amount)
    if terms is None or amount is None:
        return
    instrument_id, holder_id = ground.name("ins", item.security_id), ground.name_holder(item.stakeholder_id)
    of = {"instrument_id": instrument_id, "issuer_id": ground.issuer_id, "holder_id": holder_id}
    issued = instruments.InstrumentIssued(**of, terms=terms, commitment_usd=amount, funding="paid_at_once")
    accrued = instruments.InstrumentPrincipalAccrued(
        instrument_id=instrument_id,
        issuer_id=ground.issuer_id,
        holder_id=holder_id,
        tranche_id=ground.name("trn", item.security_id),
        principal_usd=amount,
        statement_id=None,
        terms_version=1,
        interest_from=item.date,
    )
    time = at_midnight(item.date)
    ground.instruments[instrument_id] = tuple(
        Taken(event, time, located.file, located.label) for event in (issued, accrued)
    )
    ground.add(located, item.date, issuers.IssuerInstrumentSigned(**of, commitment_usd=amount, terms=terms))


def _find_end(ground: Ground, security_id: str) -> tx.Transaction | None:
    ends = (tx.ConvertibleConversion, tx.ConvertibleTransfer, tx.ConvertibleCancellation, tx.Retraction)
    return next(
        (item for item in ground.transactions if isinstance(item, ends) and item.security_id == security_id), None
    )


def _find_terms(ground: Ground, located: Located, item: tx.ConvertibleIssuance) -> SafeTerms | None:
    mechanisms = [trigger.conversion_right.conversion_mechanism for trigger in item.conversion_triggers]
    safes = list(dict.fromkeys(mechanism for mechanism in mechanisms if isinstance(mechanism, SafeMechanism)))
    if item.convertible_type != "SAFE" or len(safes) != 1:
        reason = f"a {item.convertible_type} with {len(safes)} SAFE mechanisms; the marketplace keeps SAFEs of one"
        ground.refuse(located, "convertible_not_kept", reason)
        return None
    safe = safes[0]
    if safe.conversion_timing is UNSET:
        reason = "conversion_timing is absent: whether the cap is on pre- or post-money capitalisation is not guessed"
        ground.refuse(located, "conversion_timing_missing", reason)
        return None
    if safe.exit_multiple is not UNSET:
        ground.lose(located, "member_not_kept", "the marketplace keeps no exit_multiple of a SAFE")
    cap = ground.find_usd(located, safe.conversion_valuation_cap)
    discount = None if safe.conversion_discount is UNSET else Decimal(safe.conversion_discount or "0")
    return SafeTerms(
        conversion_timing="post_money" if safe.conversion_timing == "POST_MONEY" else "pre_money",
        valuation_cap_usd=cap,
        discount=discount,
        most_favoured_nation=safe.conversion_mfn,
    )
