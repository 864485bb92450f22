"""Between the fund's investment and Series A: the startup limits what its instruments may come to."""

from decimal import Decimal

from events.issuer import IssuerDilutionLimited, IssuerExposureRecorded
from events.issuer_dilution import CountedInstrument, Exposure
from events.types import SafeTerms
from tests.contracts.story.clearing import COMPUTE_SAFE
from tests.contracts.story.demand import LATTICE_ISSUER, SAFE
from tests.contracts.story.identifiers import name
from tests.contracts.story.supply import LATTICE
from tests.contracts.story.teller import Teller

DIRECT_SAFE = name("ins", "SAFE for cash")
AMENDED = SafeTerms(
    conversion_timing="post_money",
    valuation_cap_usd=Decimal("18000000.00"),
    discount=Decimal("0.20"),
    service_consequence="credit",
)


def tell_limit(teller: Teller) -> None:
    """Limit what instruments may come to, and count an order that is cancelled the same day."""
    drawn = (Exposure(terms=AMENDED, amount_usd=Decimal("7116.00")),)
    invested = (Exposure(terms=SAFE, amount_usd=Decimal("250000.00")),)
    teller.tell(
        "2026-04-02T09:00",
        LATTICE,
        IssuerDilutionLimited(
            issuer_id=LATTICE_ISSUER,
            dilution_max=Decimal("0.15"),
            valuation_usd=Decimal("40000000.00"),
            instruments=(
                CountedInstrument(instrument_id=COMPUTE_SAFE, exposures=drawn),
                CountedInstrument(instrument_id=DIRECT_SAFE, exposures=invested),
            ),
        ),
    )
    order = name("ord", "an order that was thought better of")
    offered = (Exposure(terms=SAFE, amount_usd=Decimal("30000.00")),)
    for when, exposures in (("2026-04-02T10:00", offered), ("2026-04-02T16:00", ())):
        counted = IssuerExposureRecorded(issuer_id=LATTICE_ISSUER, subject_id=order, exposures=exposures)
        teller.tell(when, LATTICE, counted)
