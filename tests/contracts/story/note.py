"""A provider lends to another startup on a note, which falls due unpaid."""

from datetime import date
from decimal import Decimal
from fractions import Fraction

import msgspec

from events.instrument import (
    InstrumentAmended,
    InstrumentIssued,
    InstrumentMatured,
    InstrumentPrincipalAccrued,
)
from events.issuer import IssuerInstrumentSigned
from events.types import NoteTerms
from tests.contracts.story.demand import QUILLWORK_ISSUER
from tests.contracts.story.identifiers import name
from tests.contracts.story.supply import NORTHFJORD, PLATFORM, QUILLWORK
from tests.contracts.story.teller import Teller


def tell_note(teller: Teller) -> None:
    """A provider's note falls due unpaid, and is extended by two years."""
    note, lent = name("ins", "note"), Decimal("20000.00")
    both = {"instrument_id": note, "issuer_id": QUILLWORK_ISSUER, "holder_id": NORTHFJORD}
    terms = NoteTerms(
        annual_rate=Decimal("0.08"),
        interest="simple",
        day_count="actual_365",
        matures_on=date(2026, 6, 12),
        valuation_cap_usd=Decimal("9000000.00"),
    )
    teller.tell(
        "2026-06-10T11:00",
        QUILLWORK,
        InstrumentIssued(**both, terms=terms, commitment_usd=lent, funding="paid_at_once"),
        IssuerInstrumentSigned(**both, commitment_usd=lent, terms=terms),
        InstrumentPrincipalAccrued(
            **both,
            tranche_id=name("trn", note),
            principal_usd=lent,
            statement_id=None,
            terms_version=1,
            interest_from=date(2026, 4, 10),
        ),
    )
    owed = Fraction(20_000) * (1 + Fraction(8, 100) * Fraction(63, 365))
    teller.tell(
        "2026-06-13T00:00",
        "timer",
        InstrumentMatured(
            **both,
            matures_on=terms.matures_on,
            principal_usd=lent,
            amount_exact=f"{owed.numerator}/{owed.denominator}",
            amount_usd=Decimal("20276.17"),
        ),
    )
    extended = msgspec.structs.replace(terms, matures_on=date(2028, 6, 12))
    teller.tell(
        "2026-06-14T09:00",
        PLATFORM,
        InstrumentAmended(instrument_id=note, terms=extended, terms_version=2, applies_to_earlier=True),
    )
