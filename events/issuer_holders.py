"""Terms between a company and its holders: on sales, on further rounds, and on what holders may see."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from events.financing import Approval, ClassId, PayToPlayDuty
from events.types import Event, Id, Instant, Share, Text, Usd

Depth = Literal["own", "summary", "full"]
"""What a holder sees of the issuer: its own rows, these and totals by security, or everything."""


class DragAlong(msgspec.Struct, frozen=True, kw_only=True):
    """A share of the stockholders that binds all others, and options and warrants, to a sale.

    The company states which stockholders without a key agree; more than half of the shares of the others must agree
    too. Holders of principal agree by themselves.

    Attributes:
        share_needed: Share of all shares, as converted, whose holders must agree; above one half.
        classes: Classes of stock that must agree by themselves too.
    """

    share_needed: Share
    classes: Annotated[tuple[ClassId, ...], Meta(max_length=20)] = ()


class StatedAgreement(msgspec.Struct, frozen=True, kw_only=True):
    """The company states that a stockholder that is not a party here agreed to a sale.

    Attributes:
        holder_id: The stakeholder.
        document: Where its agreement is kept.
    """

    holder_id: Id
    document: Text


class HolderTerms(msgspec.Struct, frozen=True, kw_only=True):
    """Terms between a company and its holders. The defaults hold until they agree on others.

    Attributes:
        sale_share_needed: Share of the weight of each group that must agree to a sale; None: more than half.
        directors: Parties that must agree to a sale by majority, besides the company.
        drag_along: The share of the holders that binds the rest; None: every group agrees.
        pro_rata: Holders that may take part in every further round, besides investors here.
        pro_rata_waived: Investors that gave that up.
        pro_rata_days: For how long a round is offered.
        depth: What holders see.
        depths: What holders of a class of stock see where it is more.
    """

    sale_share_needed: Share | None = None
    directors: Annotated[tuple[Id, ...], Meta(max_length=20)] = ()
    drag_along: DragAlong | None = None
    pro_rata: Annotated[tuple[Id, ...], Meta(max_length=50)] = ()
    pro_rata_waived: Annotated[tuple[Id, ...], Meta(max_length=50)] = ()
    pro_rata_days: Annotated[int, Meta(ge=7, le=60)] = 10
    depth: Depth = "summary"
    depths: Annotated[dict[ClassId, Depth], Meta(max_length=50)] = {}


class IssuerHolderTermsAgreed(Event, frozen=True, kw_only=True, tag="issuer.holder_terms_agreed.v1"):
    """The company and its holders agreed on terms, which replace earlier ones.

    Attributes:
        issuer_id: The issuer.
        terms: The terms.
        approval: The document behind them.
        bound: The parties that held something then. Who comes later sees at least a ``summary``, and is dragged along
            by nobody.
    """

    issuer_id: Id
    terms: HolderTerms
    approval: Approval
    bound: tuple[Id, ...] = ()


class ProRataOffer(msgspec.Struct, frozen=True, kw_only=True):
    """What a holder may take of a round by its right.

    Attributes:
        holder_id: Who.
        amount_max_usd: Its part of the company times the money of the round, less what it invests already.
        duty: What it must take to keep its stock of the duty's class (`pay_to_play`); None: a right alone.
        until: Until when, if not ``pro_rata_until``.
    """

    holder_id: Id
    amount_max_usd: Usd
    duty: PayToPlayDuty | None = None
    until: Instant | None = None


class IssuerProRataAnswered(Event, frozen=True, kw_only=True, tag="issuer.pro_rata_answered.v1"):
    """A holder takes its part of a round, or declines it.

    Attributes:
        issuer_id: The issuer.
        financing_id: The round.
        holder_id: Who.
        amount_usd: How much it invests; 0: nothing.
    """

    issuer_id: Id
    financing_id: Id
    holder_id: Id
    amount_usd: Usd
