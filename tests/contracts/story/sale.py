"""Last chapter: shares change hands, options and a warrant are exercised, and the startup is bought."""

from decimal import Decimal
from fractions import Fraction

from events.account import AccountDeposited
from events.financing import Approval, Payout, Waterfall
from events.instrument import InstrumentRepaid
from events.issuer import (
    IssuerDistributionPaid,
    IssuerLiquidityDeclared,
    IssuerOptionExercised,
    IssuerStockRepurchased,
    IssuerStockTransferred,
    IssuerWarrantExercised,
    IssuerWarrantIssued,
)
from events.types import SafeTerms
from tests.contracts.story.demand import LATTICE_ISSUER
from tests.contracts.story.equity import EMPLOYEES, FOUNDERS, issue_safe
from tests.contracts.story.identifiers import name
from tests.contracts.story.supply import LATTICE, NORTHFJORD, PLATFORM, TIDEWATER, TIDEWATER_CASH, at
from tests.contracts.story.teller import Teller

BRIDGE_SAFE = name("ins", "bridge SAFE")
_SALE = name("liq", "sale of Lattice Bio")
_PROCEEDS_CENTS = 60_000_000_00
_BRIDGE_CENTS = 100_000_00


def tell_sale(teller: Teller, series_a_shares: dict[str, int]) -> None:
    """Sell the startup for 60 million dollars.

    Args:
        teller: Where to tell it.
        series_a_shares: Series A shares by holder, as the round issued them.
    """
    _tell_exchanges(teller)
    common = {FOUNDERS: 7_850_000, TIDEWATER: 100_000, EMPLOYEES: 100_000, NORTHFJORD: 40_000}
    holdings = [
        *((holder, "common", shares) for holder, shares in common.items()),
        *((holder, "series-a", shares) for holder, shares in series_a_shares.items()),
    ]
    waterfall = _share_out(holdings)
    teller.tell(
        "2026-11-16T09:00",
        LATTICE,
        IssuerLiquidityDeclared(issuer_id=LATTICE_ISSUER, liquidity_id=_SALE, kind="acquisition", waterfall=waterfall),
    )
    teller.tell(
        "2026-11-30T09:00",
        LATTICE,
        IssuerDistributionPaid(issuer_id=LATTICE_ISSUER, liquidity_id=_SALE, amount_usd=waterfall.proceeds_usd),
        InstrumentRepaid(
            instrument_id=BRIDGE_SAFE,
            issuer_id=LATTICE_ISSUER,
            holder_id=TIDEWATER,
            cause=_SALE,
            principal_usd=Decimal("100000.00"),
            amount_usd=Decimal("100000.00"),
        ),
    )


def _tell_exchanges(teller: Teller) -> None:
    issuer, paper = LATTICE_ISSUER, Approval(document="agreements/secondary-2026-06.pdf", note="right waived")
    warrant, option = name("wrt", "provider's warrant"), name("opt", "first grant")
    teller.tell(
        "2026-06-01T09:00",
        LATTICE,
        IssuerStockTransferred(
            issuer_id=issuer,
            holder_id=FOUNDERS,
            holder_id_after=TIDEWATER,
            class_id="common",
            shares=100_000,
            approval=paper,
        ),
        IssuerStockRepurchased(
            issuer_id=issuer,
            holder_id=FOUNDERS,
            class_id="common",
            shares=50_000,
            price_usd_per_share=Decimal("1.00"),
            approval=paper,
        ),
        IssuerWarrantIssued(
            issuer_id=issuer,
            warrant_id=warrant,
            holder_id=NORTHFJORD,
            class_id="common",
            shares=60_000,
            exercise_price_usd=Decimal("1.00"),
            expires_at=at("2031-06-01T00:00"),
        ),
    )
    teller.tell(
        "2026-09-01T09:00",
        LATTICE,
        IssuerOptionExercised(
            issuer_id=issuer, option_id=option, holder_id=EMPLOYEES, class_id="common", shares=100_000
        ),
        IssuerWarrantExercised(
            issuer_id=issuer,
            warrant_id=warrant,
            holder_id=NORTHFJORD,
            class_id="common",
            shares=40_000,
            shares_surrendered=20_000,
        ),
    )
    teller.tell(
        "2026-09-14T09:00",
        PLATFORM,
        AccountDeposited(
            account_id=TIDEWATER_CASH,
            party_id=TIDEWATER,
            amount_usd=Decimal("100000.00"),
            reference="wire 2026-09-14",
        ),
    )
    terms = SafeTerms(conversion_timing="post_money", valuation_cap_usd=Decimal("80000000.00"))
    teller.tell("2026-09-15T09:00", TIDEWATER, *issue_safe(BRIDGE_SAFE, "100000.00", terms))


def _share_out(holdings: list[tuple[str, str, int]]) -> Waterfall:
    """Return the waterfall: the bridge SAFE is paid back, all stock shares the rest; leftover cents in order."""
    rest = _PROCEEDS_CENTS - _BRIDGE_CENTS
    outstanding = sum(shares for _, _, shares in holdings)
    exact = [Fraction(rest * shares, outstanding) for _, _, shares in holdings]
    cents = [int(amount) for amount in exact]
    for place in range(rest - sum(cents)):
        cents[place] += 1
    payouts = [
        _payout(holder, class_id, amount, whole, as_converted=class_id != "common")
        for (holder, class_id, _), amount, whole in zip(holdings, exact, cents, strict=True)
    ]
    bridge = _payout(TIDEWATER, BRIDGE_SAFE, Fraction(_BRIDGE_CENTS), _BRIDGE_CENTS, as_converted=False)
    return Waterfall(
        engine_version="1.0.0",
        proceeds_usd=_dollars(_PROCEEDS_CENTS),
        payouts=(bridge, *payouts),
        certificate_json='{"equilibrium":true,"preference_converts":["series-a"]}',
    )


def _payout(holder: str, security: str, exact_cents: Fraction, cents: int, *, as_converted: bool) -> Payout:
    exact = exact_cents / 100
    return Payout(
        holder_id=holder,
        security=security,
        amount_exact=f"{exact.numerator}/{exact.denominator}",
        amount_usd=_dollars(cents),
        as_converted=as_converted,
    )


def _dollars(cents: int) -> Decimal:
    return Decimal(cents).scaleb(-2)
