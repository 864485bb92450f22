"""The rules of a mandate: which rules are consistent, and which offers they accept regardless of the budget.

`marketplace.domain.trading.mandate` documents the order of refusals.
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Final, NamedTuple, Protocol

from events.mandate import InstrumentKind, MandateTerms
from events.types import NoteTerms, PricedTerms, PrincipalTerms, SafeTerms, Stage, StockTerms, WarrantTerms
from marketplace.core.errors import Refusal
from marketplace.core.instants import render_instant
from marketplace.core.intervals import require_aware
from marketplace.core.money import ZERO, require_price, require_price_per_share, require_share, require_usd
from marketplace.domain.refusals import require_all
from marketplace.domain.supply.gpu_vendors import find_vendor

_AMOUNTS: Final[tuple[tuple[Callable[..., None], tuple[str, ...]], ...]] = (
    (
        require_usd,
        (
            "direct_budget_usd",
            "sector_usd_max",
            "approval_above_usd",
            "valuation_cap_usd_min",
            "valuation_cap_usd_max",
        ),
    ),
    (
        require_share,
        (
            "discount_min",
            "discount_max",
            "note_rate_min",
            "dilution_max",
            "vendor_share_max",
            "generation_share_max",
        ),
    ),
    (partial(require_price_per_share, zero=True), ("strike_usd_min", "strike_usd_max")),
    (require_price, ("usd_per_gpu_hour_max", "list_price_multiple_max")),
)
"""Amounts that a mandate may state, by what each must be."""
CAP_USD_MAX: Final = Decimal(100_000_000)
"""The greatest cap that a mandate takes unless it states another."""
PRICE_USD_MAX: Final = Decimal(100)
"""The greatest price of a GPU-hour that a mandate takes unless it states another, absolute or by a price list."""
_KINDS: Final[dict[type[PrincipalTerms], InstrumentKind]] = {
    SafeTerms: "safe",
    NoteTerms: "convertible_note",
    StockTerms: "stock",
    WarrantTerms: "warrant",
}


class Asked(NamedTuple):
    """A mandate that is asked to pay, as far as its rules need it. Its budget is checked elsewhere."""

    mandate_id: str
    terms: MandateTerms
    revoked: bool


class OfferedPrice(NamedTuple):
    """The price of a GPU-hour that a mandate is asked to pay.

    Attributes:
        gpu_class: The class of GPUs.
        usd_per_gpu_hour: Cash and credited principal together.
        list_usd_per_gpu_hour: The class's price in the mandate's price list; None if that has none.
    """

    gpu_class: str
    usd_per_gpu_hour: Decimal
    list_usd_per_gpu_hour: Decimal | None = None


class Offer(Protocol):
    """What a mandate is asked to take, when an order is placed and again at its match; see `HoldBudget`."""

    @property
    def issuer_id(self) -> str: ...  # noqa: D102

    @property
    def instrument(self) -> PrincipalTerms: ...  # noqa: D102

    @property
    def sector(self) -> str | None: ...  # noqa: D102

    @property
    def at(self) -> datetime: ...  # noqa: D102

    @property
    def implied_cap_usd(self) -> Decimal | None: ...  # noqa: D102

    @property
    def pending_cap_usd(self) -> Decimal | None: ...  # noqa: D102

    @property
    def stage(self) -> Stage | None: ...  # noqa: D102

    @property
    def prices(self) -> tuple[OfferedPrice, ...]: ...  # noqa: D102


def require_terms(terms: MandateTerms) -> None:
    """Refuse amounts out of range, and rules that contradict one another.

    Raises:
        Refusal: ``instrument_kinds_missing`` to ``time_naive``, as `mandate` lists them.
    """
    require_all(partial(_require_kinds, terms), *_list_checks_of_amounts(terms))
    ranges = (
        ("cap", "valuation_cap_usd", terms.valuation_cap_usd_min, terms.valuation_cap_usd_max or CAP_USD_MAX),
        ("discount", "discount", terms.discount_min, terms.discount_max),
        ("strike", "strike_usd", terms.strike_usd_min, terms.strike_usd_max),
    )
    require_all(
        partial(_require_share_of_budget, terms),
        partial(_require_pricelist, terms),
        *(partial(_require_range, *each) for each in ranges),
        partial(_require_note_days, terms),
        partial(_require_expiry, terms),
    )


def _require_kinds(terms: MandateTerms) -> None:
    if not terms.instrument_kinds:
        raise Refusal(
            "instrument_kinds_missing", "name at least one kind of instrument", pointer="/terms/instrument_kinds"
        )


def _require_share_of_budget(terms: MandateTerms) -> None:
    issuer, budgets = terms.issuer_usd_max, terms.budget_usd + (terms.direct_budget_usd or ZERO)
    if issuer > budgets:
        text = f"one issuer may get {issuer}, more than the whole budget of {budgets}; state that or less"
        raise Refusal("issuer_above_budget", text, pointer="/terms/issuer_usd_max")


def _require_pricelist(terms: MandateTerms) -> None:
    if (terms.list_price_multiple_max is None) != (terms.pricelist_id is None):
        text = "list_price_multiple_max and pricelist_id belong together; state both or none"
        raise Refusal("pricelist_missing", text, pointer="/terms/pricelist_id")


def _require_range(name: str, member: str, low: Decimal | None, high: Decimal | None) -> None:
    if not _is_within(low or ZERO, None, high):
        text = f"the {name} range is empty: {low} is above {high}; swap them"
        raise Refusal(f"{name}_range_empty", text, pointer=f"/terms/{member}_max")


def _require_note_days(terms: MandateTerms) -> None:
    if terms.note_days_min > terms.note_days_max:
        text = f"the range of maturities is empty: {terms.note_days_min} is above {terms.note_days_max}; state both"
        raise Refusal("note_days_empty", text, pointer="/terms/note_days_max")


def _require_expiry(terms: MandateTerms) -> None:
    if terms.expires_at is not None:
        require_aware(terms.expires_at, "/terms/expires_at")


def _list_checks_of_amounts(terms: MandateTerms) -> Iterator[Callable[[], None]]:
    yield partial(require_share, terms.equity_credit, "/terms/equity_credit")
    yield partial(require_usd, terms.budget_usd, "/terms/budget_usd", zero=terms.direct_budget_usd is not None)
    yield partial(require_usd, terms.issuer_usd_max, "/terms/issuer_usd_max")
    for require, names in _AMOUNTS:
        for name in names:
            if getattr(terms, name) is not None:
                yield partial(require, getattr(terms, name), f"/terms/{name}")


def find_expiry(terms: MandateTerms, at: datetime) -> datetime | None:
    """Return when a mandate expired; None while it is in force at `at`."""
    return terms.expires_at if terms.expires_at is not None and terms.expires_at <= at else None


def require_move(mandate: Asked, start_before: datetime, start: datetime) -> None:
    """Refuse to move what a mandate pays beyond the mandate's end.

    Raises:
        Refusal: ``mandate_revoked`` · ``mandate_expired``.
    """
    mandate_id, terms, revoked = mandate
    if revoked:
        said = f"mandate {mandate_id}, which pays a part, is revoked; shorten the grant, keep it or end it"
        raise Refusal("mandate_revoked", said, mandate_id=mandate_id)
    ends = find_expiry(terms, start)
    if ends is not None and ends > start_before:
        said = f"mandate {mandate_id}, which pays a part, ends at {render_instant(ends)}; begin before that"
        raise Refusal("mandate_expired", said, mandate_id=mandate_id, pointer="/start")


def require_welcome(mandate: Asked, offer: Offer) -> None:
    """Refuse an offer that a mandate's rules exclude, regardless of its budget.

    Raises:
        Refusal: ``mandate_revoked`` to ``price_above_mandate``, as `mandate` lists them.
    """
    mandate_id, terms, revoked = mandate
    if revoked:
        raise Refusal("mandate_revoked", f"mandate {mandate_id} is revoked; name another", mandate_id=mandate_id)
    if (expired := find_expiry(terms, offer.at)) is not None:
        raise Refusal(
            "mandate_expired",
            f"mandate {mandate_id} ended at {render_instant(expired)}; name another",
            mandate_id=mandate_id,
        )
    kind = _KINDS[type(offer.instrument)]
    if kind not in terms.instrument_kinds:
        raise Refusal(
            "instrument_kind_unwelcome",
            _tell(mandate_id, f"{', '.join(terms.instrument_kinds)}, not a {kind}"),
            mandate_id=mandate_id,
        )
    timing = offer.instrument.conversion_timing if isinstance(offer.instrument, SafeTerms) else "post_money"
    if terms.post_money_only and timing != "post_money":
        text = "SAFEs with a post-money cap, not with a pre-money one"
        raise Refusal("instrument_kind_unwelcome", _tell(mandate_id, text), mandate_id=mandate_id)
    _require_cap(mandate_id, terms, offer)
    if isinstance(offer.instrument, SafeTerms | NoteTerms):
        discount, low, high = offer.instrument.discount or ZERO, terms.discount_min, terms.discount_max
        if not _is_within(discount, low, high):
            text = f"discounts from {low or 0} to {1 if high is None else high}, not {discount}"
            raise Refusal("discount_outside_range", _tell(mandate_id, text), mandate_id=mandate_id)
    if isinstance(offer.instrument, NoteTerms):
        _require_note(mandate_id, terms, offer.instrument, offer.at)
    if isinstance(offer.instrument, WarrantTerms):
        _require_warrant(mandate_id, terms, offer.instrument, offer.at)
    _require_issuer(mandate_id, terms, offer)
    for price in offer.prices:
        _require_price(mandate_id, terms, price)


def require_related_welcome(mandate: Asked) -> None:
    """Refuse to pay for a trade whose buyer is related to who sells or delivers, unless the mandate says so.

    Raises:
        Refusal: ``related_unwelcome``.
    """
    if not mandate.terms.related_parties:
        text = _tell(mandate.mandate_id, "no trades among related parties; pay in cash, or ask its holder")
        raise Refusal("related_unwelcome", text, mandate_id=mandate.mandate_id)


def refuse_issuer(mandate_id: str, issuer_id: str) -> Refusal:
    """Return the refusal of an issuer that the holder did not choose, or of which it refused an order."""
    text = _tell(mandate_id, f"only issuers that its holder chose, not {issuer_id}")
    return Refusal("issuer_unwelcome", text, mandate_id=mandate_id)


def _require_issuer(mandate_id: str, terms: MandateTerms, offer: Offer) -> None:
    if terms.issuer_ids and offer.issuer_id not in terms.issuer_ids:
        raise refuse_issuer(mandate_id, offer.issuer_id)
    if terms.sectors and offer.sector not in terms.sectors:
        text = f"issuers of {', '.join(terms.sectors)}, not {offer.sector or 'an order without a sector'}"
        raise Refusal("sector_unwelcome", _tell(mandate_id, text), mandate_id=mandate_id)
    if terms.stages and offer.stage not in terms.stages:
        text = f"issuers of the stages {', '.join(terms.stages)}, not {offer.stage or 'one without a recorded stage'}"
        raise Refusal("stage_unwelcome", _tell(mandate_id, text), mandate_id=mandate_id)


def _require_price(mandate_id: str, terms: MandateTerms, price: OfferedPrice) -> None:
    if terms.gpu_vendors and (vendor := find_vendor(price.gpu_class)) not in terms.gpu_vendors:
        text = f"GPUs of {', '.join(terms.gpu_vendors)}, not {price.gpu_class} of {vendor}"
        raise Refusal("vendor_unwelcome", _tell(mandate_id, text), mandate_id=mandate_id)
    most, multiple, listed = terms.usd_per_gpu_hour_max, terms.list_price_multiple_max, price.list_usd_per_gpu_hour
    if multiple is not None:
        if listed is None:
            text = f"only classes that price list {terms.pricelist_id} has, not {price.gpu_class}"
            raise Refusal("list_price_missing", _tell(mandate_id, text), mandate_id=mandate_id)
        most = multiple * listed if most is None else min(most, multiple * listed)
    most = PRICE_USD_MAX if most is None else most
    if price.usd_per_gpu_hour > most:
        text = f"at most {most} per GPU-hour of {price.gpu_class}, not {price.usd_per_gpu_hour}"
        raise Refusal("price_above_mandate", _tell(mandate_id, text), mandate_id=mandate_id)


def _require_cap(mandate_id: str, terms: MandateTerms, offer: Offer) -> None:
    stated = _find_stated_cap(offer.instrument)
    cap = stated if offer.implied_cap_usd is None else offer.implied_cap_usd
    if cap is None:
        if not terms.uncapped and not isinstance(offer.instrument, PricedTerms):
            raise Refusal(
                "uncapped_unwelcome",
                _tell(mandate_id, "no uncapped terms; offer a valuation cap"),
                mandate_id=mandate_id,
            )
        return
    low, high = terms.valuation_cap_usd_min, terms.valuation_cap_usd_max or CAP_USD_MAX
    if _is_within(cap, low, high) and offer.pending_cap_usd is not None:
        cap = max(cap, offer.pending_cap_usd)
    if not _is_within(cap, low, high):
        seen = "" if cap == stated else " with what converts, price protection, and what ranks before the stock"
        raise Refusal(
            "cap_outside_range",
            _tell(mandate_id, f"caps from {low or 0} to {high}, not {cap}{seen}"),
            mandate_id=mandate_id,
            cap_usd=str(cap),
        )


def _find_stated_cap(instrument: PrincipalTerms) -> Decimal | None:
    return instrument.valuation_cap_usd if isinstance(instrument, SafeTerms | NoteTerms) else None


def _require_note(mandate_id: str, terms: MandateTerms, note: NoteTerms, at: datetime) -> None:
    """Refuse a note that matures too early or late, bears too little, or divides its cap by a part of the company."""
    become = note.at_maturity
    counts_all = become is None or become.capitalization_definition == "existing_fully_diluted"
    days, least, most = (note.matures_on - at.date()).days, terms.note_days_min, terms.note_days_max
    if not counts_all or not least <= days <= most or note.annual_rate < terms.note_rate_min:
        text = (
            f"notes that mature in {least} to {most} days, bear {terms.note_rate_min} of interest a year or"
            " more and become stock at their cap over all existing shares (existing_fully_diluted)"
        )
        raise Refusal("note_unwelcome", _tell(mandate_id, text), mandate_id=mandate_id)


def _require_warrant(mandate_id: str, terms: MandateTerms, warrant: WarrantTerms, at: datetime) -> None:
    strike, low = warrant.exercise_price_usd, terms.strike_usd_min
    high = warrant.price_usd_per_share if terms.strike_usd_max is None else terms.strike_usd_max
    if not _is_within(strike, low, high):
        text = f"exercise prices from {low or 0} to {high}, not {strike}"
        raise Refusal("strike_outside_range", _tell(mandate_id, text), mandate_id=mandate_id)
    if warrant.expires_at < at + timedelta(days=terms.warrant_days_min):
        ends = render_instant(warrant.expires_at)
        text = f"warrants of {terms.warrant_days_min} days or more, not one that ends at {ends}"
        raise Refusal("warrant_too_brief", _tell(mandate_id, text), mandate_id=mandate_id)


def _is_within(value: Decimal, low: Decimal | None, high: Decimal | None) -> bool:
    return (low is None or value >= low) and (high is None or value <= high)


def _tell(mandate_id: str, accepted: str) -> str:
    return f"mandate {mandate_id} accepts {accepted}"
