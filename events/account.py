"""Accounts: one party's money in one unit, available or held."""

from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from events.mandate import MandateTerms
from events.order import OrderTerms
from events.register import Owner, RelationKind
from events.types import Event, Id, Instant, Person, Text, Usd

Reference = Annotated[str, Meta(min_length=1, max_length=200)]
ProviderName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,39}(?!\n)$", description="Name of a payment provider")]


class WithdrawalAct(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="withdrawal"):
    """Money that would go out.

    Attributes:
        amount_usd: How much.
        reference: The payment's own id.
        booked_at: When it was booked outside, as the platform knows; None where that is not known.
    """

    amount_usd: Usd
    reference: Reference
    booked_at: Instant | None = None


class DepositAct(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="deposit"):
    """Money from outside that would be recorded.

    Attributes:
        amount_usd: How much.
        reference: The payment's own id.
        booked_at: When it was booked outside; None where that is not known.
    """

    amount_usd: Usd
    reference: Reference
    booked_at: Instant | None = None


class HoldAct(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="hold"):
    """Money that would be set aside for another account.

    Attributes:
        amount_usd: How much.
        payee_account_id: Who could be paid from it.
        expires_at: When the rest would be available again.
    """

    amount_usd: Usd
    payee_account_id: Id
    expires_at: Instant


class LimitAct(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="limit"):
    """Other limits.

    Attributes:
        limit_usd: What one person alone may let go in 24 hours; None for no limit.
        order_limit_usd: What one order that one person alone places may cost, in cash and principal; None for none.
        week_limit_usd: What all that single persons buy in 7 days may cost likewise; None for no limit.
    """

    limit_usd: Usd | None
    order_limit_usd: Usd | None = None
    week_limit_usd: Usd | None = None


class MandateAct(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="mandate"):
    """A mandate that would be granted or amended, which pays from the account.

    Attributes:
        mandate_id: The mandate.
        amount_usd: How much more would be held for it.
        terms: Its rules from then on.
    """

    mandate_id: Id
    amount_usd: Usd
    terms: MandateTerms


class OrderAct(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="order"):
    """An order that would be placed or amended, which the account pays.

    Attributes:
        order_id: The order.
        amount_usd: How much more would be held for it.
        terms: Its terms from then on.
    """

    order_id: Id
    amount_usd: Usd
    terms: OrderTerms


class ConsentAct(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="consent"):
    """An agreement to a proposal, which would be given in the name of the party. Nothing is held for it.

    Attributes:
        proposal_id: The proposal.
        value_usd: What the party may lose by it: what it pays or gives up, as a voting holder all that it has in the
            company; None: unknown, and so above every limit.
    """

    proposal_id: Id
    value_usd: Usd | None


class RelationAct(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="relation"):
    """A relation that would be stated in the name of the party. Nothing is held for it.

    Attributes:
        related_id: The other party; None for an owner outside this market.
        owner: That owner; None for a party.
        relation: What the other one is to the party.
        since: Since when; None: always.
        reason: Why.
    """

    related_id: Id | None = None
    owner: Owner | None = None
    relation: RelationKind
    since: Instant | None = None
    reason: Text


AccountAct = WithdrawalAct | DepositAct | HoldAct | LimitAct | MandateAct | OrderAct | ConsentAct | RelationAct


class AccountOpened(Event, frozen=True, kw_only=True, tag="account.opened.v1"):
    """A party has an account.

    Attributes:
        account_id: The account.
        party_id: Whose it is.
        unit: Unit of every amount in it.
    """

    account_id: Id
    party_id: Id
    unit: Literal["USD"]


class AccountClosed(Event, frozen=True, kw_only=True, tag="account.closed.v1"):
    """The account was closed to anything new. It still receives what it is owed, and may be emptied.

    Attributes:
        account_id: The account.
        party_id: Whose it is.
        reason: Why.
    """

    account_id: Id
    party_id: Id
    reason: Text


class AccountDeposited(Event, frozen=True, kw_only=True, tag="account.deposited.v1"):
    """Money came in from outside.

    Attributes:
        account_id: The account.
        party_id: Whose it is.
        amount_usd: How much.
        reference: The payment's own id; no other deposit of the market has it.
        provider: Who vouches for it; ``manual``: the platform's operator, by hand.
        booked_at: When it was booked outside; None where that is not known.
        alone_at: When one person of the platform alone recorded it; None: two did, or a payment provider.
    """

    account_id: Id
    party_id: Id
    amount_usd: Usd
    reference: Reference
    provider: ProviderName = "manual"
    booked_at: Instant | None = None
    alone_at: Instant | None = None


class AccountWithdrawn(Event, frozen=True, kw_only=True, tag="account.withdrawn.v1"):
    """Money went out.

    Attributes:
        account_id: The account.
        party_id: Whose it is.
        amount_usd: How much.
        reference: The payment's own id.
        provider: Who vouches for it; ``manual``: the platform's operator, by hand.
        booked_at: When it was booked outside; None where that is not known.
    """

    account_id: Id
    party_id: Id
    amount_usd: Usd
    reference: Reference
    provider: ProviderName = "manual"
    booked_at: Instant | None = None


class AccountHoldPlaced(Event, frozen=True, kw_only=True, tag="account.hold_placed.v1"):
    """Money was set aside.

    Attributes:
        account_id: The account.
        party_id: Whose it is.
        hold_id: The hold.
        amount_usd: How much.
        purpose: Id of what it is for: an order, grant, mandate, quote, approval, bond, round or service line; or of
            the account that may be paid from it.
        expires_at: When the rest is available again; None if it ends with its purpose.
        bought_at: When one person alone bought by it; None: two persons did, or it pays for no purchase.
        principal_usd: The most principal that this purchase of one person may owe beside the money.
    """

    account_id: Id
    party_id: Id
    hold_id: Id
    amount_usd: Usd
    purpose: Id
    expires_at: Instant | None = None
    bought_at: Instant | None = None
    principal_usd: Usd = Decimal(0)


class AccountHoldCaptured(Event, frozen=True, kw_only=True, tag="account.hold_captured.v1"):
    """Held money was paid.

    Attributes:
        account_id: The account.
        party_id: Whose it is.
        hold_id: The hold.
        amount_usd: How much.
        payee_account_id: Who is paid; its `account.credited` stands in the same atomic batch.
        cause: What it was paid for: an id, such as that of a statement, an instrument, a quote or a claim's payment.
    """

    account_id: Id
    party_id: Id
    hold_id: Id
    amount_usd: Usd
    payee_account_id: Id
    cause: Id


class AccountHoldReleased(Event, frozen=True, kw_only=True, tag="account.hold_released.v1"):
    """Held money is available again.

    Attributes:
        account_id: The account.
        party_id: Whose it is.
        hold_id: The hold.
        amount_usd: How much.
        reason: Why.
    """

    account_id: Id
    party_id: Id
    hold_id: Id
    amount_usd: Usd
    reason: Text


class AccountHoldExpired(Event, frozen=True, kw_only=True, tag="account.hold_expired.v1"):
    """A hold expired; the money that was left in it is available again.

    Attributes:
        account_id: The account.
        party_id: Whose it is.
        hold_id: The hold.
        amount_usd: How much was left.
        at: When the expiry was noticed.
    """

    account_id: Id
    party_id: Id
    hold_id: Id
    amount_usd: Usd
    at: Instant


class AccountDebited(Event, frozen=True, kw_only=True, tag="account.debited.v1"):
    """Available money was paid to another account.

    Attributes:
        account_id: The account.
        party_id: Whose it is.
        amount_usd: How much.
        payee_account_id: Who is paid; its `account.credited` stands in the same atomic batch.
        cause: What it was paid for: an id, such as that of a statement, an instrument or a liquidity event.
    """

    account_id: Id
    party_id: Id
    amount_usd: Usd
    payee_account_id: Id
    cause: Id


class AccountCredited(Event, frozen=True, kw_only=True, tag="account.credited.v1"):
    """Another account paid.

    Attributes:
        account_id: The account.
        party_id: Whose it is.
        amount_usd: How much.
        payer_account_id: Who paid.
        cause: What it was paid for.
    """

    account_id: Id
    party_id: Id
    amount_usd: Usd
    payer_account_id: Id
    cause: Id


class AccountLimitSet(Event, frozen=True, kw_only=True, tag="account.limit_set.v1"):
    """What one person alone may let go or buy changed. More than that takes a second person.

    Attributes:
        account_id: The account.
        party_id: Whose it is.
        limit_usd: What one person alone may let go in 24 hours; None for no limit.
        order_limit_usd: What one order that one person alone places may cost, in cash and principal; None for none.
        week_limit_usd: What all that single persons buy in 7 days may cost likewise; None for no limit.
    """

    account_id: Id
    party_id: Id
    limit_usd: Usd | None
    order_limit_usd: Usd | None = None
    week_limit_usd: Usd | None = None


class AccountLimitUsed(Event, frozen=True, kw_only=True, tag="account.limit_used.v1"):
    """One person alone let money or value go that counts toward the limit for 24 hours.

    Attributes:
        account_id: The account.
        party_id: Whose it is.
        amount_usd: How much.
        at: When.
        cause: Its command, or an id that derives from it; None for a withdrawal, a hold or a mandate.
    """

    account_id: Id
    party_id: Id
    amount_usd: Usd
    at: Instant
    cause: Id | None = None


class AccountReserved(Event, frozen=True, kw_only=True, tag="account.reserved.v1"):
    """Part of what the account has covers what is owed: it pays that, and is neither withdrawn nor held.

    A later event with the same cause replaces it.

    Attributes:
        account_id: The account.
        party_id: Whose it is.
        amount_usd: How much; 0 once it is needed no more.
        until: Until when.
        cause: The payment for delivery that may be corrected, the correction that could not be paid yet, the statement
            of a grant on credit that is not paid yet, the claim for undelivered hours that no bond covers (of an early
            end, also before it is made), the proposal whose refund is kept, the closing pool whose fees of early ends
            are kept, or the declared sale whose proceeds are kept for the holders.
    """

    account_id: Id
    party_id: Id
    amount_usd: Usd
    until: Instant
    cause: Id


class AccountCreditLimited(Event, frozen=True, kw_only=True, tag="account.credit_limited.v1"):
    """A provider said how much of its delivery a startup may pay by accepted statements alone.

    A later one replaces it for new orders. What orders and grants took before stays theirs.

    Attributes:
        account_id: The startup's account.
        party_id: Whose it is.
        provider_id: Who gives the credit and bears its risk.
        limit_usd: The most that its orders and grants may take together; 0: no new order takes any.
    """

    account_id: Id
    party_id: Id
    provider_id: Id
    limit_usd: Usd


class AccountCreditCommitted(Event, frozen=True, kw_only=True, tag="account.credit_committed.v1"):
    """An order, and then its grant, takes a part of a provider's credit in place of money.

    Attributes:
        account_id: The account.
        party_id: Whose it is.
        lender_id: The provider that gives the credit. It does not see the event, because the amount may tell what an
            order offers.
        hold_id: The hold of the order or grant.
        amount_usd: How much it takes from now on; 0 once it ends and all of its statements are paid.
    """

    account_id: Id
    party_id: Id
    lender_id: Id
    hold_id: Id
    amount_usd: Usd


class AccountApprovalRequested(Event, frozen=True, kw_only=True, tag="account.approval_requested.v1"):
    """One person asked for an act that takes two. The money that it needs is held, and nothing else has happened.

    Attributes:
        account_id: The account.
        party_id: Whose it is.
        approval_id: The request.
        act: What will be done once another person approves it.
        person: Who asks.
        operator: Who of the platform stands behind the key that asked: its person, or who named the party's person;
            None for the platform's first key, and for who got the key from that.
        hold_id: The hold on its money; None if it needs none.
        approve_until: Silence until then ends it.
    """

    account_id: Id
    party_id: Id
    approval_id: Id
    act: AccountAct
    person: Person
    operator: Text | None = None
    hold_id: Id | None
    approve_until: Instant


class AccountApprovalGiven(Event, frozen=True, kw_only=True, tag="account.approval_given.v1"):
    """A second person approved; the act is in the same atomic batch.

    Attributes:
        account_id: The account.
        party_id: Whose it is.
        approval_id: The request.
        person: Who approved.
        operator: Who of the platform stands behind the key that approved, as in `account.approval_requested`; the
            request's is another one, or none.
    """

    account_id: Id
    party_id: Id
    approval_id: Id
    person: Person
    operator: Text | None = None


class AccountApprovalEnded(Event, frozen=True, kw_only=True, tag="account.approval_ended.v1"):
    """The act will not be done; its money is available again.

    Attributes:
        account_id: The account.
        party_id: Whose it is.
        approval_id: The request.
        outcome: ``refused`` by another person or the platform, ``withdrawn`` by the one who asked, or ``lapsed``.
        reason: Why.
        person: Who ended it; None for the platform and for a lapse.
    """

    account_id: Id
    party_id: Id
    approval_id: Id
    outcome: Literal["refused", "withdrawn", "lapsed"]
    reason: Text
    person: Person | None = None


AccountEvent = (
    AccountOpened
    | AccountClosed
    | AccountDeposited
    | AccountWithdrawn
    | AccountHoldPlaced
    | AccountHoldCaptured
    | AccountHoldReleased
    | AccountHoldExpired
    | AccountDebited
    | AccountCredited
    | AccountLimitSet
    | AccountLimitUsed
    | AccountReserved
    | AccountCreditLimited
    | AccountCreditCommitted
    | AccountApprovalRequested
    | AccountApprovalGiven
    | AccountApprovalEnded
)
