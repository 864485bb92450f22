"""Cash for a warrant: it buys rights at once, and a part of it is taken back with the rights that it bought."""

from datetime import date
from decimal import Decimal

from events.instrument import (
    InstrumentConverted,
    InstrumentIssued,
    InstrumentPrincipalAccrued,
    InstrumentPrincipalReversed,
    TakenShares,
)
from events.issuer import IssuerInstrumentSigned, IssuerWarrantCancelled, IssuerWarrantIssued
from events.types import WarrantTerms
from tests.contracts.story.demand import QUILLWORK_ISSUER
from tests.contracts.story.identifiers import name
from tests.contracts.story.supply import NORTHFJORD, QUILLWORK, at
from tests.contracts.story.teller import Teller

_INSTRUMENT, _WARRANT, _TRANCHE = name("ins", "bought warrant"), name("wrt", "bought"), name("trn", "bought warrant")
_PAID, _BACK, _PRICE = Decimal("10000.00"), Decimal("1000.00"), Decimal("0.50")
_BOTH = {"instrument_id": _INSTRUMENT, "issuer_id": QUILLWORK_ISSUER, "holder_id": NORTHFJORD}
_HELD = {"issuer_id": QUILLWORK_ISSUER, "warrant_id": _WARRANT, "holder_id": NORTHFJORD}


def tell_bought_warrant(teller: Teller) -> None:
    """Tell of the rights that ten thousand dollars bought, and of a tenth of them that ended."""
    terms = WarrantTerms(
        class_id="common",
        price_usd_per_share=_PRICE,
        exercise_price_usd=Decimal("0.80"),
        expires_at=at("2031-06-16T00:00"),
    )
    teller.tell(
        "2026-06-16T09:00",
        QUILLWORK,
        InstrumentIssued(**_BOTH, terms=terms, commitment_usd=_PAID, funding="paid_at_once"),
        IssuerInstrumentSigned(**_BOTH, commitment_usd=_PAID, terms=terms),
        InstrumentPrincipalAccrued(
            **_BOTH,
            tranche_id=_TRANCHE,
            principal_usd=_PAID,
            statement_id=None,
            terms_version=1,
            interest_from=date(2026, 6, 16),
        ),
        InstrumentConverted(
            **_BOTH,
            cause=_WARRANT,
            principal_usd=_PAID,
            amount_exact="10000/1",
            branch="agreed_price",
            price_usd_per_share="1/2",
            class_id="common",
            shares_exact="20000/1",
            shares=20_000,
        ),
        IssuerWarrantIssued(
            **_HELD,
            class_id="common",
            shares=20_000,
            exercise_price_usd=terms.exercise_price_usd,
            expires_at=terms.expires_at,
            settlement="either",
            cause=_INSTRUMENT,
        ),
    )
    _tell_clawback(teller)


def _tell_clawback(teller: Teller) -> None:
    taken = TakenShares(
        cause=_WARRANT,
        class_id="common",
        amount_exact="1000/1",
        price_usd_per_share="1/2",
        shares_exact="2000/1",
        shares_due=2_000,
        shares=2_000,
    )
    teller.tell(
        "2026-06-18T09:00",
        "platform",
        InstrumentPrincipalReversed(
            **_BOTH,
            tranche_id=_TRANCHE,
            principal_usd=_BACK,
            reason="paid twice",
            became="shares",
            reduction="cancel_shares",
            taken=taken,
        ),
        IssuerWarrantCancelled(**_HELD, cancellation_id=name("can", "bought warrant"), shares=2_000, cause=_INSTRUMENT),
    )
