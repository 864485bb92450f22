"""Bodies of OCF packages, of scenarios of rounds and sales, and of the recovery question."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from events.types import Id, Text, Usd
from marketplace.api.http.bodies import Body
from marketplace.api.http.bodies.issuers import Seniority
from marketplace.captable.plots import Range
from marketplace.domain.equity.issuer.terms import RoundDraft
from marketplace.ocf.findings import Finding
from marketplace.projections.views.equity import CapTableRow, OptionView


class ImportIssuerBody(Body, frozen=True, kw_only=True):
    """An OCF package to import an issuer from.

    Attributes:
        party_id: The startup, which has no issuer yet.
        source: The name of the package.
        package_base64: The package, a zip.
    """

    party_id: Id
    source: Text
    package_base64: Annotated[
        str, Meta(pattern=r"^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?(?!\n)$", description="Base64")
    ]


class ScenarioBody(Body, frozen=True, kw_only=True):
    """A round at which pending conversions are counted in a cap table.

    Attributes:
        terms: The round, with every convention.
        at: As of this instant; None: now.
        known: Only events up to this sequence count; None: all.
    """

    terms: RoundDraft
    at: datetime | None = None
    known: Annotated[int, Meta(ge=1)] | None = None


class PlotRoundsBody(Body, frozen=True, kw_only=True):
    """A round to compute at several prices, in a scenario of the issuer.

    Attributes:
        terms: The round. Each price replaces its pre-money valuation.
        range: The pre-money valuations.
        format: ``json``, or ``csv`` with a line per price and holder.
    """

    terms: RoundDraft
    range: Range
    format: Literal["json", "csv"] = "json"


class PlotExitsBody(Body, frozen=True, kw_only=True):
    """A sale to compute at several proceeds, in a scenario of the issuer.

    Attributes:
        range: The proceeds.
        rounds: Rounds to close in the scenario first.
        safe_seniority: Rank of SAFEs among preferred stock; needed if its classes have several ranks.
        format: ``json``, or ``csv`` with a line per proceeds and holder.
    """

    range: Range
    rounds: Annotated[tuple[RoundDraft, ...], Meta(max_length=5)] = ()
    safe_seniority: Seniority | None = None
    format: Literal["json", "csv"] = "json"


class AskRecoveryBody(Body, frozen=True, kw_only=True):
    """The assumptions about a programme.

    Attributes:
        success_part: Chance of one company's success, from 0 to 1.
        multiple: Dollars that a success returns per dollar granted.
        cost_per_granted_usd: The holder's own cost, in dollars, of a dollar of granted compute.
        grants: Companies in the portfolio, each granted the same amount.
        trials: Portfolios to draw at random.
        seed: The same seed draws the same portfolios.
        multiples: Rows of the table.
        costs_per_granted_usd: Columns of the table.
    """

    success_part: Usd
    multiple: Usd
    cost_per_granted_usd: Usd
    grants: Annotated[int, Meta(ge=1, le=1_000)]
    trials: Annotated[int, Meta(ge=1, le=10_000)] = 1_000
    seed: Annotated[int, Meta(ge=0, le=2**53 - 1)] = 1
    multiples: Annotated[tuple[Usd, ...], Meta(max_length=20)] = (
        Decimal(2),
        Decimal(5),
        Decimal(10),
        Decimal(20),
        Decimal(50),
    )
    costs_per_granted_usd: Annotated[tuple[Usd, ...], Meta(max_length=20)] = (
        Decimal(1),
        Decimal("0.5"),
        Decimal("0.25"),
    )


class HoldingView(msgspec.Struct, frozen=True, kw_only=True):
    """Shares of one security that a party has.

    Attributes:
        issuer_id: Whose security.
        row: The row of that issuer's cap table.
        option: Its terms, of an option.
    """

    issuer_id: str
    row: CapTableRow
    option: OptionView | None = None


class ImportReport(msgspec.Struct, frozen=True, kw_only=True):
    """The answer that an import would get.

    Attributes:
        issuer_id: The new issuer.
        clean: Whether it would be accepted.
        events: How many events it would append; 0 if it would not be accepted.
        findings: Every problem, and every loss that an import would have.
    """

    issuer_id: str
    clean: bool
    events: int
    findings: tuple[Finding, ...]
