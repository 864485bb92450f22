"""An issuer's own dilution limit on its instruments, and what counts toward it."""

from datetime import date
from typing import Annotated

import msgspec
from msgspec import Meta

from events.types import Event, Id, PrincipalTerms, Share, Usd


class Exposure(msgspec.Struct, frozen=True, kw_only=True):
    """Principal that may still become equity.

    Attributes:
        terms: On which terms.
        amount_usd: How much: outstanding, and what may still accrue.
        interest_from: First day of interest of a note; None of a SAFE.
        offered_cap_usd: The lowest post-money cap of which the holder of a most-favoured SAFE got notice, while its
            clause is not used; None: none.
        offered_pre_money_cap_usd: The lowest pre-money cap of such a notice, or cap of a note; None: none.
        offered_discount: The highest discount of such a notice; None: none.
    """

    terms: PrincipalTerms
    amount_usd: Usd
    interest_from: date | None = None
    offered_cap_usd: Usd | None = None
    offered_pre_money_cap_usd: Usd | None = None
    offered_discount: Share | None = None


class CountedInstrument(msgspec.Struct, frozen=True, kw_only=True):
    """What one instrument may still become, as it stood when a limit was set.

    Attributes:
        instrument_id: The instrument.
        exposures: One per set of terms.
    """

    instrument_id: Id
    exposures: Annotated[tuple[Exposure, ...], Meta(max_length=100)]


class IssuerDilutionLimited(Event, frozen=True, kw_only=True, tag="issuer.dilution_limited.v1"):
    """The issuer set or lifted a limit on the share of the company that all instruments together may become.

    Attributes:
        issuer_id: The issuer.
        dilution_max: The most, as a share of the fully diluted company; None: no limit any more.
        valuation_usd: Company value at which an instrument without a cap counts; None: such instruments are refused.
        instruments: Open instruments when the limit was set; they count together with later ones.
    """

    issuer_id: Id
    dilution_max: Share | None
    valuation_usd: Usd | None = None
    instruments: Annotated[tuple[CountedInstrument, ...], Meta(max_length=1_000)] = ()


class IssuerExposureRecorded(Event, frozen=True, kw_only=True, tag="issuer.exposure_recorded.v1"):
    """What may become equity under an instrument or an order changed, or an auction binds the order.

    Attributes:
        issuer_id: The issuer.
        subject_id: The order or the instrument.
        exposures: What may become equity from now on; empty for nothing.
        holder_id: Who holds the instrument from now on, if it passed to a party; else None.
    """

    issuer_id: Id
    subject_id: Id
    exposures: Annotated[tuple[Exposure, ...], Meta(max_length=100)]
    holder_id: Id | None = None
