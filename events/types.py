"""Values that events are made of.

On the wire money, prices and shares of a whole are decimal strings, exact fractions are strings such as
``"7/3"``, instants are RFC 3339 with an offset, GPU quantity is whole GPU-seconds, shares are whole numbers.
Nothing here is ever a binary float.
"""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Instant = Annotated[datetime, Meta(tz=True, description="RFC 3339 instant with an offset; spans are half-open")]
Usd = Annotated[Decimal, Meta(description="US dollars, exact decimal string")]
UsdPerGpuHour = Annotated[Decimal, Meta(description="US dollars per GPU-hour, exact decimal string")]
Share = Annotated[Decimal, Meta(description="A share of one, from 0 to 1, exact decimal string")]
Multiple = Annotated[Decimal, Meta(description="A factor, exact decimal string")]
KilowattHours = Annotated[Decimal, Meta(description="Kilowatt-hours, exact decimal string")]
Ratio = Annotated[str, Meta(pattern=r"^-?[0-9]+/[1-9][0-9]*(?!\n)$", description="Exact fraction")]
Id = Annotated[
    str,
    Meta(
        pattern=r"^[a-z]{3}_[0-9a-z]{26}(?!\n)$",
        description="Prefixed id, a TypeID",
    ),
]
Hours = Annotated[Decimal, Meta(description="Hours of work, exact decimal string, at most 4 places")]
GpuSeconds = Annotated[int, Meta(ge=0, description="GPU-seconds of one class")]
Shares = Annotated[int, Meta(ge=0, description="Whole shares")]
Nodes = Annotated[int, Meta(ge=1, le=100_000, description="Whole nodes")]
RunHours = Annotated[int, Meta(ge=1, le=24 * 366 * 5, description="Hours of a run; at most five years")]
Text = Annotated[str, Meta(min_length=1, max_length=500)]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
Region = Annotated[str, Meta(pattern=r"^[a-z]{2}(-[a-z0-9]+)+(?!\n)$", max_length=40, description="Such as us-east")]
GpuClass = Annotated[str, Meta(pattern=r"^[A-Z0-9][A-Z0-9_]{1,39}(?!\n)$", description="Such as H100_SXM")]
Country = Annotated[str, Meta(pattern=r"^[A-Z]{2}(?!\n)$", description="ISO 3166-1 alpha-2")]

Role = Literal["startup", "provider", "fund", "platform"]
Stage = Literal["pre_seed", "seed", "series_a", "series_b", "series_c", "growth", "public"]
Person = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9][a-z0-9._@-]{0,63}(?!\n)$",
        description="The party's own identifier of a natural person who acts for it",
    ),
]
GpuVendor = Literal["amd", "aws", "google", "intel", "nvidia", "other"]
Interconnect = Literal["ethernet", "infiniband"]


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """Something that happened to one aggregate. It is stored for ever under its tag and never edited."""


class LotShare(msgspec.Struct, frozen=True, kw_only=True):
    """Nodes of one lot that carry part of a grant for a span.

    Attributes:
        lot_id: The lot.
        nodes: Nodes taken from it.
        start: First instant.
        end: Instant after the last.
    """

    lot_id: Id
    nodes: Nodes
    start: Instant
    end: Instant


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """Why an order was not matched; the first of several is decisive.

    Attributes:
        code: Stable code, for example ``outbid``.
        text: One sentence with the numbers in it.
        facts: The numbers, as strings, for machines.
    """

    code: str
    text: str
    facts: dict[str, str] = {}


ServiceConsequence = Literal["roll_forward", "exclude", "credit"]
"""What a statement period below the promised availability does to a drawdown.

What was delivered is charged and accrues under each. ``roll_forward``: the grant is extended by what was not delivered;
``exclude``: what was not delivered lapses; ``credit``: the published share of what is charged is paid back.
"""


Reduction = Literal["cancel_shares", "debt"]
"""What a correction of delivery takes once principal became shares: these shares, or their price in dollars."""
StockKind = Literal["common", "preferred"]
"""What a class of stock is."""
StakeholderKind = Literal["founder", "employee", "investor", "provider", "other"]
"""What a stakeholder is to the company."""
Funding = Literal["cash", "own_capacity"]
"""What a mandate pays with: dollars, or capacity that its holder delivers itself."""
Cancellation = Literal["forfeited", "cancelled", "expired"]
"""How shares of an option ended: the holder left before they vested, by agreement, or their time is over."""
TerminationDays = Annotated[int, Meta(ge=1, le=3_660)]
"""Days after the end of a holder's service in which it may exercise what has vested."""
Settlement = Literal["cash", "net", "either"]
"""How a warrant may be paid for: in cash, by giving rights up (net), or either."""
WarrantReduction = Literal["keep", "claw_back"]
"""What happens to vested and unexercised shares when what was counted is reduced: they stay, or are unvested again."""
WarrantTransfer = Literal["none", "affiliates"]
"""To whom a warrant may be transferred."""
FractionRule = Literal["cash_in_lieu", "give_up", "round_up"]
"""What happens to shares that a split makes a fraction: they are bought back, given up, or rounded up."""


class SafeTerms(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="safe"):
    """A Simple Agreement for Future Equity (Y Combinator's form).

    Attributes:
        conversion_timing: Whether the cap is on the post-money or the pre-money capitalisation.
        valuation_cap_usd: The cap; None for an uncapped SAFE.
        discount: Share taken off the round's price, for example 0.20; None for none.
        most_favoured_nation: Whether the holder may elect the terms of a later SAFE.
        service_consequence: What a period below the promised availability does; stated if delivery draws it.
        reduction: What a correction takes once principal became shares.
    """

    conversion_timing: Literal["post_money", "pre_money"]
    valuation_cap_usd: Usd | None = None
    discount: Share | None = None
    most_favoured_nation: bool = False
    service_consequence: ServiceConsequence | None = None
    reduction: Reduction = "cancel_shares"


class MaturityConversion(msgspec.Struct, frozen=True, kw_only=True):
    """The automatic conversion of a note that matures unpaid: into stock at its cap.

    Attributes:
        class_id: Class of stock, which has to exist by then.
        capitalization_definition: The shares that the cap is divided by for the price.
        share_rounding: How the fraction of a share is treated.
    """

    class_id: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}(?!\n)$", description="Short name of a class")]
    capitalization_definition: Literal["existing_fully_diluted", "outstanding_and_granted", "outstanding"]
    share_rounding: Literal["floor", "ceiling", "half_up", "half_even"]


class NoteTerms(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="note"):
    """A convertible note. The principal of each tranche earns interest from the day on which it accrued.

    Attributes:
        annual_rate: Interest per year, 0.08 for 8%.
        interest: Simple, or compounding at an interval.
        day_count: How days become years.
        matures_on: Last day of interest; nothing accrues later until it is extended.
        valuation_cap_usd: The cap; None for none.
        discount: Share taken off the round's price; None for none.
        repayment_multiple: Multiple of the principal that is owed in a sale, beside the interest.
        service_consequence: What a period below the promised availability does; stated if delivery draws it.
        at_maturity: What it becomes at maturity; None: it stays a debt until it is repaid or extended.
        reduction: What a correction takes once principal became shares.
    """

    annual_rate: Share
    interest: Literal["simple", "compound_annual", "compound_semiannual", "compound_quarterly", "compound_monthly"]
    day_count: Literal["actual_365", "actual_360", "thirty_360"]
    matures_on: date
    valuation_cap_usd: Usd | None = None
    discount: Share | None = None
    repayment_multiple: Multiple = Decimal(1)
    service_consequence: ServiceConsequence | None = None
    reduction: Reduction = "cancel_shares"
    at_maturity: MaturityConversion | None = None


class StockTerms(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="stock"):
    """Priced stock: principal buys shares at a price of its signing, in the append in which it accrues.

    Attributes:
        class_id: Class of stock that it buys.
        price_usd_per_share: Price of one share as shares are when it is signed; a split since then is counted.
        service_consequence: What a period below the promised availability does; stated if delivery draws it.
        reduction: What a correction takes once principal became shares.
    """

    class_id: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}(?!\n)$", description="Short name of a class")]
    price_usd_per_share: Usd
    service_consequence: ServiceConsequence | None = None
    reduction: Reduction = "cancel_shares"


class WarrantTerms(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="warrant"):
    """A warrant: principal buys rights in the append in which it accrues. A right buys a share when exercised.

    Both prices are of one share as shares are when it is signed; a split since then is counted.

    Attributes:
        class_id: Class of stock that a right buys.
        price_usd_per_share: Principal that buys the right to one share.
        exercise_price_usd: What one share costs then; may be 0.
        expires_at: Last instant of exercise.
        settlement: How it may be paid for: in cash, by giving rights up (net), or either.
        service_consequence: What a period below the promised availability does; stated if delivery draws it.
        reduction: What a correction takes once principal became shares.
    """

    class_id: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}(?!\n)$", description="Short name of a class")]
    price_usd_per_share: Usd
    exercise_price_usd: Usd
    expires_at: Instant
    settlement: Settlement = "either"
    service_consequence: ServiceConsequence | None = None
    reduction: Reduction = "cancel_shares"


PrincipalTerms = SafeTerms | NoteTerms | StockTerms | WarrantTerms
"""Terms of an instrument whose principal accrues and becomes shares, or rights to them."""
PricedTerms = StockTerms | WarrantTerms
"""Terms under which principal buys at an agreed price in the append in which it accrues."""
