"""Acts of one person that another one must approve; see `marketplace.domain.billing.account_approvals`."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from events.account import AccountAct, AccountDebited, AccountHoldPlaced
from events.financing import AssumedGrants
from events.issuer import IssuerLiquidityDeclared
from events.types import Event
from marketplace.core.ids import derive_id, rename_id
from marketplace.core.money import ZERO
from marketplace.domain.billing.account import ACCOUNT, RequestApproval, UseLimit
from marketplace.domain.billing.account_commands import UNIT
from marketplace.execution.unit_of_work import Context, UnitOfWork


def find_alone(context: Context) -> datetime | None:
    """Return the time of an act that a party's person does alone; None for the platform."""
    return None if context.party_id is None else context.at


def name_person(context: Context) -> str:
    """Return the person who acts. All persons of the platform count as one."""
    return "platform" if context.party_id is None else context.actor_person


async def ask_second(unit: UnitOfWork, account_id: str, act: AccountAct, currency: str = UNIT) -> None:
    """Request an act that needs a second person. The request's id derives from the command's.

    Raises:
        Refusal: ``person_missing`` · refusals of the account.
    """
    command = RequestApproval(
        account_id=account_id,
        approval_id=derive_id("apv", unit.context.command_id),
        act=act,
        person=name_person(unit.context),
        at=unit.context.at,
        unit=currency,
    )
    await unit.decide(ACCOUNT, account_id, command)


async def count_own(unit: UnitOfWork, events: Iterable[Event]) -> None:
    """Count the money that the sender alone spends by an act on an issuer, and refuse an act that needs two persons.

    Args:
        unit: The decision.
        events: What the act records, or would record.

    Raises:
        Refusal: ``limit_exceeded``.
    """
    party_id = unit.context.party_id
    amount = ZERO if party_id is None else sum((_find_spent(each, party_id) for each in events), ZERO)
    if party_id is not None and amount:
        account_id = rename_id("acc", party_id)
        use = UseLimit(account_id=account_id, amount_usd=amount, cause=unit.context.command_id, at=unit.context.at)
        await unit.decide(ACCOUNT, account_id, use)


def _find_spent(event: Event, party_id: str) -> Decimal:
    """Return what an event takes from a party's account, or will.

    The company pays a sale's proceeds from its account, and a buyer the grants that it takes over.
    """
    match event:
        case AccountDebited() | AccountHoldPlaced() if event.party_id == party_id:
            return event.amount_usd
        case IssuerLiquidityDeclared() if rename_id("pty", event.issuer_id) == party_id:
            return sum((each.cash_usd for each in event.waterfall.payouts if each.holder_id != party_id), ZERO)
        case IssuerLiquidityDeclared(assumed=AssumedGrants(issuer_id=buyer_id, grants=grants)) if (
            rename_id("pty", buyer_id) == party_id
        ):
            return sum((each.cash_usd_max for each in grants), ZERO)
        case _:
            return ZERO
