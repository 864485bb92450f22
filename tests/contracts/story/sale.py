"""Last chapter: shares change hands, options and a warrant are exercised, and the startup is bought."""

from decimal import Decimal
from fractions import Fraction

from events.account import AccountCredited, AccountDebited, AccountDeposited
from events.financing import Approval, ConvertingInstrument, Payout, Waterfall
from events.instrument import InstrumentDebtPaid, InstrumentPrincipalReversed, InstrumentRepaid, TakenShares
from events.issuer import (
    IssuerDistributionPaid,
    IssuerLiquidityDeclared,
    IssuerLiquidityWithdrawn,
    IssuerOptionExercised,
    IssuerStockRepurchased,
    IssuerStockTransferred,
    IssuerWarrantExercised,
    IssuerWarrantIssued,
)
from events.types import SafeTerms
from tests.contracts.story.certificates import load_certificate
from tests.contracts.story.clearing import COMPUTE_SAFE
from tests.contracts.story.demand import LATTICE_ISSUER
from tests.contracts.story.equity import EMPLOYEES, FOUNDERS, SERIES_A, issue_safe
from tests.contracts.story.identifiers import name
from tests.contracts.story.supply import LATTICE, LATTICE_CASH, NORTHFJORD, PLATFORM, TIDEWATER, TIDEWATER_CASH, at
from tests.contracts.story.teller import Teller

BRIDGE_SAFE = name("ins", "bridge SAFE")
_BRIDGE_TERMS = SafeTerms(conversion_timing="post_money", valuation_cap_usd=Decimal("80000000.00"))
_SALE = name("liq", "sale of Lattice Bio")
_FORMER_SALE = name("liq", "former sale of Lattice Bio")
_OPTION = name("opt", "first grant")
_Holding = tuple[str, str, int]
_PROCEEDS_CENTS = 60_000_000_00
_BRIDGE_CENTS = 100_000_00


def tell_sale(teller: Teller, series_a_shares: dict[str, int], compute_price: str) -> None:
    """Sell the startup for 60 million dollars.

    Args:
        teller: Where to tell it.
        series_a_shares: Series A shares by holder, as the round issued them.
        compute_price: Price at which the SAFE for compute converted in it, exact.
    """
    _tell_clawback(teller, compute_price)
    _tell_exchanges(teller)
    preferred = [(holder, "series-a", series_a_shares[holder]) for holder in sorted(series_a_shares)]
    common = {TIDEWATER: 100_000, NORTHFJORD: 40_000, EMPLOYEES: 100_000, FOUNDERS: 7_850_000}
    waterfall = _share_out(preferred, [(holder, "common", shares) for holder, shares in common.items()])
    terms = {"kind": "acquisition", "waterfall": waterfall, "pay_until": at("2027-01-15T09:00")}
    former = {"issuer_id": LATTICE_ISSUER, "liquidity_id": _FORMER_SALE}
    teller.tell(
        "2026-11-16T09:00",
        LATTICE,
        IssuerLiquidityDeclared(**former, **terms),
        IssuerLiquidityWithdrawn(**former, cause="agreed", reason="another buyer at the same price"),
        IssuerLiquidityDeclared(issuer_id=LATTICE_ISSUER, liquidity_id=_SALE, **terms),
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


def _tell_clawback(teller: Teller, compute_price: str) -> None:
    """Take 4 dollars of the first day back, which an audit found undelivered; the fund keeps the shares and pays."""
    amount, payment = Decimal("4.00"), name("pay", "clawback of 9 March")
    both = {"instrument_id": COMPUTE_SAFE, "issuer_id": LATTICE_ISSUER, "holder_id": TIDEWATER}
    teller.tell(
        "2026-05-27T09:00",
        PLATFORM,
        InstrumentPrincipalReversed(
            **both,
            tranche_id=name("trn", name("stm", "9 March")),
            principal_usd=amount,
            reason="an audit of the meters found 2 GPU-hours that were never delivered",
            became="shares",
            reduction="debt",
            taken=TakenShares(
                cause=SERIES_A,
                class_id="series-a",
                amount_exact="4/1",
                price_usd_per_share=compute_price,
                shares_exact=_text(Fraction(amount) / Fraction(compute_price)),
                shares_due=0,
                shares=0,
            ),
            debt_exact="4/1",
            debt_usd=amount,
        ),
    )
    teller.tell(
        "2026-05-28T09:00",
        TIDEWATER,
        InstrumentDebtPaid(**both, cause=payment, amount_usd=amount),
        AccountDebited(
            account_id=TIDEWATER_CASH,
            party_id=TIDEWATER,
            amount_usd=amount,
            payee_account_id=LATTICE_CASH,
            cause=payment,
        ),
        AccountCredited(
            account_id=LATTICE_CASH,
            party_id=LATTICE,
            amount_usd=amount,
            payer_account_id=TIDEWATER_CASH,
            cause=payment,
        ),
    )


def _tell_exchanges(teller: Teller) -> None:
    issuer, paper = LATTICE_ISSUER, Approval(document="agreements/secondary-2026-06.pdf", note="right waived")
    warrant = name("wrt", "provider's warrant")
    teller.tell(
        "2026-06-01T09:00",
        LATTICE,
        IssuerStockTransferred(
            issuer_id=issuer,
            transfer_id=name("trf", "founders to the fund"),
            holder_id=FOUNDERS,
            holder_id_after=TIDEWATER,
            class_id="common",
            shares=100_000,
            approval=paper,
        ),
        IssuerStockRepurchased(
            issuer_id=issuer,
            repurchase_id=name("rep", "founders' buyback"),
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
            settlement="either",
        ),
    )
    _tell_exercises(teller, warrant)
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
    teller.tell("2026-09-15T09:00", TIDEWATER, *issue_safe(BRIDGE_SAFE, "100000.00", _BRIDGE_TERMS))


def _tell_exercises(teller: Teller, warrant: str) -> None:
    issuer = LATTICE_ISSUER
    teller.tell(
        "2026-09-01T09:00",
        LATTICE,
        IssuerOptionExercised(
            issuer_id=issuer,
            exercise_id=name("exr", "of the option"),
            option_id=_OPTION,
            holder_id=EMPLOYEES,
            class_id="common",
            shares=100_000,
        ),
        IssuerWarrantExercised(
            issuer_id=issuer,
            exercise_id=name("exr", "of the warrant"),
            warrant_id=warrant,
            holder_id=NORTHFJORD,
            class_id="common",
            shares=40_000,
            shares_surrendered=20_000,
            fair_value_usd=Decimal("3.00"),
        ),
    )


def _share_out(preferred: list[_Holding], common: list[_Holding]) -> Waterfall:
    """Return the waterfall: the bridge SAFE is paid back, all stock and options share the rest.

    400,000 options are outstanding; they pay their price of 0.25 into the rest and get it deducted.
    """
    options = (EMPLOYEES, _OPTION, 400_000)
    outstanding = sum(shares for _, _, shares in [*preferred, *common, options])
    strike = options[2] * 25
    per_share = Fraction(_PROCEEDS_CENTS - _BRIDGE_CENTS + strike, outstanding)
    rows = [
        *((holder, security, per_share * shares, shares) for holder, security, shares in preferred),
        (TIDEWATER, BRIDGE_SAFE, Fraction(_BRIDGE_CENTS), None),
        *((holder, security, per_share * shares, shares) for holder, security, shares in common),
        (EMPLOYEES, _OPTION, per_share * options[2] - strike, options[2]),
    ]
    cents = _round_to_sum([row[2] for row in rows])
    return Waterfall(
        engine_version="equity-1",
        price_per_common_share_exact=_text(per_share / 100),
        proceeds_usd=_dollars(_PROCEEDS_CENTS),
        instruments=(
            ConvertingInstrument(
                instrument_id=BRIDGE_SAFE,
                holder_id=TIDEWATER,
                principal_usd=_dollars(_BRIDGE_CENTS),
                terms=_BRIDGE_TERMS,
            ),
        ),
        payouts=tuple(
            _payout(holder, security, amount, whole, shares)
            for (holder, security, amount, shares), whole in zip(rows, cents, strict=True)
        ),
        certificate_json=load_certificate("sale"),
    )


def _round_to_sum(amounts: list[Fraction]) -> list[int]:
    """Return whole cents that sum to the whole: floors, and one more for the largest remainders."""
    cents = [int(amount) for amount in amounts]
    by_remainder = sorted(range(len(amounts)), key=lambda place: cents[place] - amounts[place])
    for place in by_remainder[: int(sum(amounts)) - sum(cents)]:
        cents[place] += 1
    return cents


def _payout(holder: str, security: str, exact_cents: Fraction, cents: int, shares: int | None) -> Payout:
    exact = exact_cents / 100
    return Payout(
        holder_id=holder,
        security=security,
        amount_exact=_text(exact),
        amount_usd=_dollars(cents),
        cash_usd=_dollars(cents),
        as_converted=security == "series-a",
        shares=shares,
    )


def _text(value: Fraction) -> str:
    return f"{value.numerator}/{value.denominator}"


def _dollars(cents: int) -> Decimal:
    return Decimal(cents).scaleb(-2)
