"""An appendix to the fourth chapter: after all was settled, a little is taken back."""

from events.account import AccountCredited, AccountDebited
from events.instrument import InstrumentPrincipalReversed
from events.mandate import MandateBudgetReleased
from events.statement import Adjustment, Charges, StatementCredited
from events.types import Event
from events.usage import UsageCorrected
from tests.contracts.story.clearing import COMPUTE_SAFE, FOLDING_GRANT
from tests.contracts.story.demand import FOLDING_HOLD, LATTICE_ISSUER
from tests.contracts.story.identifiers import name
from tests.contracts.story.metered import METER, USAGE, price, reading
from tests.contracts.story.supply import (
    LATTICE,
    LATTICE_CASH,
    MANDATE,
    NORTHFJORD,
    NORTHFJORD_CASH,
    TIDEWATER,
    TIDEWATER_CASH,
    at,
)
from tests.contracts.story.teller import Teller


def tell_credit(teller: Teller) -> None:
    """Take back seven and a half minutes that the meter ran past the handover, after all was settled."""
    third, credit = name("stm", "11 to 15 March"), name("stm", "11 to 15 March, adjusted")
    before = reading("2026-03-11/15", "2026-03-11T00:00", "2026-03-16T00:00", 4)
    after = reading("2026-03-11/15", "2026-03-11T00:00", "2026-03-15T23:52:30", 4)
    reason = "the meter ran past the handover"
    teller.tell(
        "2026-03-23T06:00",
        METER,
        UsageCorrected(usage_id=USAGE, grant_id=FOLDING_GRANT, source=METER, before=before, after=after, reason=reason),
    )
    teller.tell(
        "2026-03-23T06:01",
        "timer",
        StatementCredited(
            statement_id=credit,
            grant_id=FOLDING_GRANT,
            startup_id=LATTICE,
            provider_id=NORTHFJORD,
            period_start=at("2026-03-11T00:00"),
            period_end=at("2026-03-16T00:00"),
            charges=price(4),
            adjustment=Adjustment(
                statement_id=third, gpu_seconds_before=3_840 * 3_600, gpu_seconds_after=3_836 * 3_600
            ),
        ),
        *_pay_back(credit, third, price(4)),
    )


def _pay_back(credit: str, statement: str, paid: Charges) -> tuple[Event, ...]:
    """Return what follows a credit: both are paid back, and principal is reversed."""
    payees = ((LATTICE_CASH, LATTICE, paid.cash_usd), (TIDEWATER_CASH, TIDEWATER, paid.holder_usd))
    payer = {"account_id": NORTHFJORD_CASH, "party_id": NORTHFJORD, "cause": credit}
    payments = [
        (
            AccountDebited(**payer, amount_usd=amount, payee_account_id=account),
            AccountCredited(
                account_id=account, party_id=party, amount_usd=amount, payer_account_id=NORTHFJORD_CASH, cause=credit
            ),
        )
        for account, party, amount in payees
    ]
    reversal = InstrumentPrincipalReversed(
        instrument_id=COMPUTE_SAFE,
        tranche_id=name("trn", statement),
        issuer_id=LATTICE_ISSUER,
        holder_id=TIDEWATER,
        principal_usd=paid.principal_usd,
        reason=f"credit {credit}",
    )
    why = "a credit after the grant's end"
    freed = MandateBudgetReleased(
        mandate_id=MANDATE, hold_id=FOLDING_HOLD, amount_usd=paid.holder_usd, reason=why, committed=True
    )
    return *(event for payment in payments for event in payment), reversal, freed
