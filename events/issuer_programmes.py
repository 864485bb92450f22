"""Programmes of purchases and price sources: what warrants of customers and vendors are measured by."""

from datetime import date
from typing import Annotated

from msgspec import Meta

from events.types import Event, GpuSeconds, Id, Name, Shares, Text, Usd


class IssuerProgrammeOpened(Event, frozen=True, kw_only=True, tag="issuer.programme_opened.v1"):
    """Grants between named parties count together for warrants that name the programme.

    Attributes:
        issuer_id: The issuer.
        programme_id: The programme.
        name: What people call it.
        customer_ids: Parties that buy: a customer and its affiliates.
        vendor_ids: Parties that deliver: a vendor and its affiliates.
        counts_outside: Whether purchases outside this market count, where both sides state them.
    """

    issuer_id: Id
    programme_id: Id
    name: Name
    customer_ids: Annotated[tuple[Id, ...], Meta(min_length=1, max_length=20)]
    vendor_ids: Annotated[tuple[Id, ...], Meta(min_length=1, max_length=20)]
    counts_outside: bool = False


class IssuerProgrammeGrantAdded(Event, frozen=True, kw_only=True, tag="issuer.programme_grant_added.v1"):
    """A grant between parties of a programme counts in it.

    Attributes:
        issuer_id: The issuer.
        programme_id: The programme.
        grant_id: The grant.
        customer_id: Who buys under it.
        vendor_id: Who delivers under it.
        delivered_before: Whether a statement of it was accepted before.
    """

    issuer_id: Id
    programme_id: Id
    grant_id: Id
    customer_id: Id
    vendor_id: Id
    delivered_before: bool = False


class IssuerPurchasesStated(Event, frozen=True, kw_only=True, tag="issuer.purchases_stated.v1"):
    """Both sides of a programme stated purchases of a span that were made outside this market.

    Attributes:
        issuer_id: The issuer.
        purchases_id: The statement.
        programme_id: The programme.
        customer_id: Who bought.
        vendor_id: Who delivered.
        starts_on: First day.
        ends_on: Last day.
        gpu_seconds: Delivered.
        kilowatts: Power of the delivered nodes.
        purchased_usd: Dollars of capacity that was purchased.
        paid_usd: How many of these dollars were paid.
        document: The paper that both signed.
        replaces: The statement of the same parties and span that it corrects.
        excludes_market: Both sides state that this capacity was not delivered through this market.
    """

    issuer_id: Id
    purchases_id: Id
    programme_id: Id
    customer_id: Id
    vendor_id: Id
    starts_on: date
    ends_on: date
    gpu_seconds: GpuSeconds
    kilowatts: Annotated[int, Meta(ge=0)]
    purchased_usd: Usd
    paid_usd: Usd
    document: Text
    excludes_market: bool
    replaces: Id | None = None


class IssuerPriceSourceNamed(Event, frozen=True, kw_only=True, tag="issuer.price_source_named.v1"):
    """Someone independent will record the price of a share day by day.

    Attributes:
        issuer_id: The issuer.
        source_id: The source.
        name: Such as the exchange.
        recorder_id: The party that records it, which holds nothing of the issuer; None: the platform.
    """

    issuer_id: Id
    source_id: Id
    name: Name
    recorder_id: Id | None


class IssuerPriceObserved(Event, frozen=True, kw_only=True, tag="issuer.price_observed.v1"):
    """A source recorded the price of a share on a day, of shares as they are when it is recorded.

    Attributes:
        issuer_id: The issuer.
        source_id: The source.
        day: The day; later than the one recorded before.
        price_usd_per_share: The mean price of the day.
        volume: Shares traded on it, the price's weight in a mean over days.
    """

    issuer_id: Id
    source_id: Id
    day: date
    price_usd_per_share: Usd
    volume: Shares


class IssuerPriceCorrected(Event, frozen=True, kw_only=True, tag="issuer.price_corrected.v1"):
    """The recorder of a source corrected a day's price. What vested or was priced before stays.

    Attributes:
        issuer_id: The issuer.
        source_id: The source.
        day: The day.
        price_usd_per_share: Its mean price, of shares as they are now.
        volume: Shares traded on it; 0 takes the price out of every mean.
        reason: Why.
        recorder_id: Who corrects it; None: the platform.
        used_by: Warrants that counted with the source up to this day or a later one. Their holders and the company
            agreed.
    """

    issuer_id: Id
    source_id: Id
    day: date
    price_usd_per_share: Usd
    volume: Shares
    reason: Text
    recorder_id: Id | None
    used_by: Annotated[tuple[Id, ...], Meta(max_length=1_000)] = ()
