"""The capital of the scenario: funds, mandates, SAFE terms, cap tables, and the fate of three startups."""

from decimal import Decimal
from typing import Literal

from events.types import Funding, Name, SafeTerms, Share, Shares, StockKind, Usd
from marketplace.cli.scenario.words import Key, Organisation, Shape


class Fund(Organisation, frozen=True, kw_only=True):
    """A fund.

    Attributes:
        deposit_usd: Cash that it brings.
    """

    deposit_usd: Usd


class Safe(Shape, frozen=True, kw_only=True):
    """Terms of a post-money SAFE.

    Attributes:
        key: Its key.
        form: The published form.
        valuation_cap_usd: Post-money cap; None for an uncapped SAFE.
        discount: Share taken off the round's price; None for none.
        source: Where the form and its figures come from.
    """

    key: Key
    form: Name
    valuation_cap_usd: Usd | None
    discount: Share | None
    source: str

    @property
    def terms(self) -> SafeTerms:
        """The terms as orders and instruments carry them."""
        return SafeTerms(
            conversion_timing="post_money",
            valuation_cap_usd=self.valuation_cap_usd,
            discount=self.discount,
            service_consequence="credit",
        )


class Mandate(Shape, frozen=True, kw_only=True):
    """The terms on which a holder takes equity.

    Attributes:
        key: Its key.
        holder: A fund, or a provider that pays with its own capacity.
        funding: Whether the holder pays providers in cash or is the provider itself.
        instrument_kinds: Accepted kinds of instrument.
        equity_credit: h, dollars paid per dollar of principal.
        budget_usd: Total dollars.
        issuer_usd_max: The most dollars for one issuer.
        valuation_cap_usd_min: Lowest accepted cap; None for no bound.
        valuation_cap_usd_max: Highest accepted cap; None for no bound, uncapped included.
        sectors: Accepted sectors; empty for any.
    """

    key: Key
    holder: Key
    funding: Funding
    instrument_kinds: tuple[Literal["safe"], ...]
    equity_credit: Share
    budget_usd: Usd
    issuer_usd_max: Usd
    valuation_cap_usd_min: Usd | None
    valuation_cap_usd_max: Usd | None
    sectors: tuple[Name, ...]

    def accepts(self, safe: Safe, sector: str) -> bool:
        """Return whether the mandate accepts an instrument with these terms, of an issuer in this sector."""
        if self.sectors and sector not in self.sectors:
            return False
        cap = safe.valuation_cap_usd
        if cap is None:
            return self.valuation_cap_usd_max is None
        above_minimum = self.valuation_cap_usd_min is None or cap >= self.valuation_cap_usd_min
        return above_minimum and (self.valuation_cap_usd_max is None or cap <= self.valuation_cap_usd_max)


class StockClass(Shape, frozen=True, kw_only=True):
    """A class of stock.

    Attributes:
        key: Its key.
        name: Its name.
        kind: Common or preferred.
        shares_authorised: Shares that may be issued.
        original_issue_price_usd: Price per share; None for common.
        liquidation_multiple: Times the issue price that it is paid first; None for common.
    """

    key: Key
    name: Name
    kind: StockKind
    shares_authorised: Shares
    original_issue_price_usd: Usd | None
    liquidation_multiple: Decimal | None


class Holding(Shape, frozen=True, kw_only=True):
    """Shares of one stakeholder.

    Attributes:
        stakeholder: Who, described by role: no person is named.
        stock_class: Class of the shares.
        shares: How many.
    """

    stakeholder: Name
    stock_class: Key
    shares: Shares


class Startup(Organisation, frozen=True, kw_only=True):
    """A startup and its cap table before the first auction.

    Attributes:
        sector: Line of business.
        deposit_usd: Cash that it brings.
        safe: Terms of the equity that it offers for compute.
        stock_classes: Its classes of stock.
        holdings: Who holds which shares.
        pool_shares_reserved: Shares of its option pool, none granted yet.
    """

    sector: Name
    deposit_usd: Usd
    safe: Key
    stock_classes: tuple[StockClass, ...]
    holdings: tuple[Holding, ...]
    pool_shares_reserved: Shares


class DirectInvestment(Shape, frozen=True, kw_only=True):
    """Cash for a SAFE, beside compute.

    Attributes:
        startup: The issuer.
        holder: The fund that pays.
        amount_usd: Cash, and principal.
        safe: Terms.
    """

    startup: Key
    holder: Key
    amount_usd: Usd
    safe: Key


class Financing(Shape, frozen=True, kw_only=True):
    """A priced round.

    Attributes:
        startup: The issuer.
        investor: The fund that leads it alone.
        stock_class: Name of the class that is issued.
        pre_money_usd: Pre-money valuation.
        investment_usd: New money.
        pool_post_money: Unallocated option pool, share of the fully diluted shares after the round.
        pricing_convention: How the price per share follows from the valuation.
        liquidation_multiple: Times the issue price that the class is paid first.
    """

    startup: Key
    investor: Key
    stock_class: Name
    pre_money_usd: Usd
    investment_usd: Usd
    pool_post_money: Share
    pricing_convention: Literal["percent_ownership"]
    liquidation_multiple: Decimal


class Acquisition(Shape, frozen=True, kw_only=True):
    """A sale of the whole company for cash.

    Attributes:
        startup: The issuer.
        price_usd: Proceeds to be distributed.
        preference: How preferred stock takes part.
    """

    startup: Key
    price_usd: Usd
    preference: Literal["non_participating"]
