"""Commands to issuers on what warrants are measured by; `marketplace.domain.equity.issuer.issuer` decides them."""

from datetime import date
from decimal import Decimal

import msgspec

from events.types import Instant


class OpenProgramme(msgspec.Struct, frozen=True, kw_only=True):
    """Let purchases of named customers from named vendors count together for warrants.

    `counts_outside` says whether purchases outside this market count too.
    """

    issuer_id: str
    programme_id: str
    name: str
    customer_ids: tuple[str, ...]
    vendor_ids: tuple[str, ...]
    counts_outside: bool = False


class AddProgrammeGrant(msgspec.Struct, frozen=True, kw_only=True):
    """Let a grant between parties of a programme count in it; `customer_id` pays for it."""

    issuer_id: str
    programme_id: str
    grant_id: str
    customer_id: str
    vendor_id: str
    delivered_before: bool = False


class StatePurchases(msgspec.Struct, frozen=True, kw_only=True):
    """State purchases that the parties of a programme made outside this market; see the event."""

    issuer_id: str
    purchases_id: str
    programme_id: str
    customer_id: str
    vendor_id: str
    starts_on: date
    ends_on: date
    gpu_seconds: int
    kilowatts: int
    purchased_usd: Decimal
    paid_usd: Decimal
    document: str
    excludes_market: bool
    at: Instant
    replaces: str | None = None


class NamePriceSource(msgspec.Struct, frozen=True, kw_only=True):
    """Name who records prices of a share; without `recorder_id`, the platform does."""

    issuer_id: str
    source_id: str
    name: str
    recorder_id: str | None = None


class ObservePrice(msgspec.Struct, frozen=True, kw_only=True):
    """Record the price of a share on a day.

    Attributes:
        issuer_id: The issuer.
        source_id: The source.
        day: The day.
        price_usd_per_share: The mean price of the day, of shares as they are now.
        volume: Shares traded on it.
        recorder_id: Who records it; None: the platform.
        at: Now.
        related_ids: Parties that firm relations connect with the recorder.
        insider_ids: Parties that firm relations connect with the company.
    """

    issuer_id: str
    source_id: str
    day: date
    price_usd_per_share: Decimal
    volume: int
    recorder_id: str | None
    at: Instant
    related_ids: frozenset[str] = frozenset()
    insider_ids: frozenset[str] = frozenset()


class CorrectPrice(msgspec.Struct, frozen=True, kw_only=True):
    """Correct the price of a day that a source has recorded; see the event.

    Attributes:
        issuer_id: The issuer.
        source_id: The source.
        day: The day.
        price_usd_per_share: The mean price of the day, of shares as they are now.
        volume: Shares traded on it.
        reason: Why.
        recorder_id: Who corrects it; None: the platform.
        related_ids: Parties that firm relations connect with the recorder.
        insider_ids: Parties that firm relations connect with the company.
    """

    issuer_id: str
    source_id: str
    day: date
    price_usd_per_share: Decimal
    volume: int
    reason: str
    recorder_id: str | None
    related_ids: frozenset[str] = frozenset()
    insider_ids: frozenset[str] = frozenset()


ProgrammeCommand = OpenProgramme | AddProgrammeGrant | StatePurchases | NamePriceSource | ObservePrice | CorrectPrice
