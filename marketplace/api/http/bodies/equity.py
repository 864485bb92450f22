"""Bodies of instruments, financings and sales."""

from typing import Annotated

from msgspec import Meta

from events.financing import Approval, ClassId
from events.issuer_holders import HolderTerms, StatedAgreement
from events.types import Id, Instant, Name, PrincipalTerms, Reduction, Text, Usd
from marketplace.api.http.bodies import Body
from marketplace.api.http.bodies.issuers import Seniority
from marketplace.domain.equity.issuer.terms import RoundDraft


class InvestBody(Body, frozen=True, kw_only=True):
    """Cash for an instrument. The startup requests it; the mandate's rules and budget are the holder's consent.

    Attributes:
        startup_id: Who is paid.
        mandate_id: Who pays, by its mandate.
        amount_usd: How much; all of it accrues as principal at once.
        terms: The instrument's terms.
    """

    startup_id: Id
    mandate_id: Id
    amount_usd: Usd
    terms: PrincipalTerms


class AmendInstrumentBody(Body, frozen=True, kw_only=True):
    """New terms. From one side they are a proposal; from the platform, terms that both sides have agreed on.

    Attributes:
        terms: The terms from now on.
        applies_to_earlier: Whether they also apply to earlier tranches.
    """

    terms: PrincipalTerms
    applies_to_earlier: bool


class ReversePrincipalBody(Body, frozen=True, kw_only=True):
    """A tranche to reverse, in part or in full.

    Attributes:
        tranche_id: The tranche.
        principal_usd: The principal to reverse.
        reason: Why.
        reduction: Needed if the tranche became shares: the shares that this principal bought are cancelled, or the
            holder owes their price.
        approval: The document behind the cancellation of shares.
    """

    tranche_id: Id
    principal_usd: Usd
    reason: Text
    reduction: Reduction | None = None
    approval: Approval | None = None


class PayDebtBody(Body, frozen=True, kw_only=True):
    """A payment of a holder's debt.

    Attributes:
        amount_usd: How much.
    """

    amount_usd: Usd


class NoticeMfnBody(Body, frozen=True, kw_only=True):
    """A later SAFE or note of which the holder of a most-favoured SAFE was notified, and more time to elect it.

    Attributes:
        later_instrument_id: The later SAFE or note.
        elect_until: Until when its terms may be elected.
    """

    later_instrument_id: Id
    elect_until: Instant


class ElectMfnBody(Body, frozen=True, kw_only=True):
    """The decision of the holder of a most-favoured SAFE.

    Attributes:
        later_instrument_id: The later SAFE whose terms it adopts, or the note whose cap and discount;
            None: it keeps its own.
    """

    later_instrument_id: Id | None


class OpenFinancingBody(Body, frozen=True, kw_only=True):
    """A priced round.

    Attributes:
        name: Its name.
        terms: Its terms. A missing convention is refused by name.
        closing_days: Days in which it may close at a price.
        open_days: Days in which it may be priced; then it ends.
    """

    name: Name
    terms: RoundDraft
    closing_days: Annotated[int, Meta(ge=1, le=92)] = 30
    open_days: Annotated[int, Meta(ge=1, le=365)] = 120


class CloseFinancingBody(Body, frozen=True, kw_only=True):
    """The document behind a closing.

    Attributes:
        approval: The document.
    """

    approval: Approval


class BuyerStockBody(Body, frozen=True, kw_only=True):
    """The buyer's stock.

    Attributes:
        buyer: Name of the buyer.
        price_usd_per_share: Agreed value of one share of the stock.
        buyer_issuer_id: The buyer's issuer here: it agrees, and issues shares as the sale is paid.
        class_id: The class of the buyer's stock; needed with `buyer_issuer_id`.
    """

    buyer: Text
    price_usd_per_share: Usd
    buyer_issuer_id: Id | None = None
    class_id: ClassId | None = None


class HolderTermsBody(Body, frozen=True, kw_only=True):
    """Holder terms, in place of earlier ones.

    Attributes:
        terms: The terms.
        approval: The document behind them.
    """

    terms: HolderTerms
    approval: Approval


class AnswerProRataBody(Body, frozen=True, kw_only=True):
    """A holder's answer to a pro rata offer.

    Attributes:
        amount_usd: How much it invests; 0 declines.
        holder_id: For whom the platform answers.
    """

    amount_usd: Usd
    holder_id: Id | None = None


class DeclareLiquidityBody(Body, frozen=True, kw_only=True):
    """An acquisition.

    Attributes:
        proceeds_usd: The proceeds to share among the holders.
        safe_seniority: Rank of SAFEs among preferred stock; needed if its classes have several ranks.
        stock: The buyer's stock that it is paid in; None: cash.
        agreed: Stockholders without a key that agreed, each with the document; they count in a drag-along.
        assumed_by: The buyer's issuer, if it takes over the grants paid for in equity, in cash. It agrees.
        pay_days: Days in which it may be agreed to and paid.
    """

    proceeds_usd: Usd
    safe_seniority: Seniority | None = None
    stock: BuyerStockBody | None = None
    agreed: Annotated[tuple[StatedAgreement, ...], Meta(max_length=500)] = ()
    assumed_by: Id | None = None
    pay_days: Annotated[int, Meta(ge=1, le=92)] = 60
