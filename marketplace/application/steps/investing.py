"""A cash investment under a mandate, without compute: the money moves and the whole principal accrues at once."""

from datetime import datetime
from decimal import Decimal

from marketplace.application.steps.access import (
    load_mandate,
    load_related_issuers,
    require_unfrozen,
)
from marketplace.application.steps.dilution import sign_instrument, track_instrument
from marketplace.application.steps.paying import pay
from marketplace.application.steps.stock_agreements import issue_owed
from marketplace.core.ids import rename_id
from marketplace.domain.billing.account import ACCOUNT
from marketplace.domain.billing.account_commands import CaptureHold
from marketplace.domain.billing.account_state import require_open
from marketplace.domain.equity.instrument.commands import AccruePrincipal, IssueInstrument
from marketplace.domain.equity.instrument.instrument import INSTRUMENT
from marketplace.domain.equity.issuer.implied_value import find_implied_cap
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.equity.issuer.state import Issuer
from marketplace.domain.party import PARTY, Party, require_trader
from marketplace.domain.trading.mandate import MANDATE, CaptureBudget, HoldBudget, Mandate
from marketplace.domain.trading.resale import require_cash_for_investment
from marketplace.execution.unit_of_work import UnitOfWork


async def take_investment(
    unit: UnitOfWork,
    issue: IssueInstrument,
    *,
    tranche_id: str,
    at: datetime,
) -> None:
    """Sign an instrument, let its principal accrue, and pay the startup from the hold of the holder's mandate.

    Args:
        unit: The decision.
        issue: The instrument; its commitment is the amount.
        tranche_id: The one tranche of its principal.
        at: When the principal accrues; only its date is recorded.

    Raises:
        Refusal: Refusals of the party · ``mandate_unknown`` · ``party_suspended`` for the holder ·
            ``mandate_not_cash`` · ``account_closed`` for the startup · refusals of the instrument and of the mandate.
    """
    startup_id, instrument_id = rename_id("pty", issue.issuer_id), issue.instrument_id
    assert issue.mandate_id is not None, "an investment names its mandate"
    party = require_trader(await unit.load(PARTY, startup_id), startup_id, "startup")
    mandate = await load_mandate(unit, issue.mandate_id)
    await require_unfrozen(unit, mandate.granted.holder_id)
    require_cash_for_investment(mandate)
    account_id = rename_id("acc", startup_id)
    require_open(account_id, await unit.get(ACCOUNT, account_id))
    await sign_instrument(unit, issue, invested_on=at.date())
    accrue = AccruePrincipal(
        instrument_id=instrument_id,
        tranche_id=tranche_id,
        principal_usd=issue.commitment_usd,
        statement_id=None,
        on_day=at.date(),
    )
    await unit.decide(INSTRUMENT, instrument_id, accrue)
    await track_instrument(unit, instrument_id)
    issuer = await unit.get(ISSUER, issue.issuer_id, Issuer)
    implied_cap_usd = find_implied_cap(issuer, issue.terms, own_id=instrument_id)
    await issue_owed(unit, instrument_id)
    least_usd = mandate.terms.valuation_cap_usd_min
    pending_cap_usd = find_implied_cap(issuer, issue.terms, own_id=instrument_id, pending=True, least_usd=least_usd)
    await _use_budget(unit, mandate, issue, party, (implied_cap_usd, pending_cap_usd))
    capture = CaptureHold(
        account_id=rename_id("acc", mandate.granted.holder_id),
        hold_id=rename_id("hld", issue.mandate_id),
        amount_usd=issue.commitment_usd,
        payee_account_id=account_id,
        cause=instrument_id,
    )
    await pay(unit, capture)


async def _use_budget(
    unit: UnitOfWork,
    mandate: Mandate,
    issue: IssueInstrument,
    party: Party,
    caps: tuple[Decimal | None, Decimal | None],
) -> None:
    mandate_id, hold_id = mandate.granted.mandate_id, rename_id("hld", issue.instrument_id)
    hold = HoldBudget(
        mandate_id=mandate_id,
        hold_id=hold_id,
        order_id=issue.instrument_id,
        issuer_id=issue.issuer_id,
        instrument=issue.terms,
        sector=party.registered.sector,
        stage=party.stage,
        amount_usd=issue.commitment_usd,
        at=unit.context.at,
        implied_cap_usd=caps[0],
        pending_cap_usd=caps[1],
        direct=True,
        related_ids=await load_related_issuers(unit, mandate, party.registered.party_id),
    )
    await unit.decide(MANDATE, mandate_id, hold)
    capture = CaptureBudget(
        mandate_id=mandate_id, hold_id=hold_id, grant_id=issue.instrument_id, amount_usd=issue.commitment_usd
    )
    await unit.decide(MANDATE, mandate_id, capture)
