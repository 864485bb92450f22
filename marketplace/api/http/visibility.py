"""Who sees which members of a resource, on its own routes and when expanded, and who reads which route."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, NamedTuple, TypeVar

import msgspec

from marketplace.core.ids import rename_id
from marketplace.core.money import ZERO
from marketplace.projections.feed.visibility import OF_BUYER
from marketplace.projections.views.access import PartyView
from marketplace.projections.views.billing import AccountView, ServiceLineView, StatementView
from marketplace.projections.views.delivery import GRANT_PARTIES, GrantView
from marketplace.projections.views.equity import InstrumentView, IssuerView, ProposalView
from marketplace.projections.views.trading import DecisionView, MandateView, OrderView, QuoteView

V = TypeVar("V", bound=msgspec.Struct)
FAMILIES: Final = {
    "account": "accounts",
    "auction": "auctions",
    "bond": "bonds",
    "clock": "events",
    "command": "events",
    "grant": "grants",
    "instrument": "instruments",
    "issuer": "issuers",
    "log": "events",
    "lot": "lots",
    "mandate": "mandates",
    "order": "orders",
    "party": "parties",
    "pool": "pools",
    "pricelist": "market",
    "proposal": "proposals",
    "quote": "quotes",
    "register": "parties",
    "schedule": "market",
    "service_line": "grants",
    "site": "sites",
    "statement": "statements",
    "usage": "usage",
}
"""The feature whose read scope shows the events of a kind of aggregate."""


@dataclass(frozen=True, kw_only=True)
class Visibility(Generic[V]):
    """Who sees a kind of view: the platform, and the parties that it names.

    Attributes:
        aggregate: The kind; an unknown id is refused as ``<aggregate>_unknown``.
        feature: The feature whose read scope a key needs.
        sealed: Whether a key of the platform also needs ``orders:sealed``.
        parties: Members that name the parties who see the view: a party, an issuer for its company, or with a dot a
            member of each row of a list.
        limited: One of these members. Its party does not see `hidden`, unless another member names it too.
        hidden: Members that are null or empty for that party; with a dot, amounts in a member, which are 0.
    """

    aggregate: str
    feature: str
    sealed: bool = False
    parties: tuple[str, ...]
    limited: str | None = None
    hidden: tuple[str, ...] = ()

    def show(self, view: V, party_id: str | None) -> V | None:
        """Return what a party sees of a view; None if it sees nothing. The platform's `party_id` is None."""
        if party_id is None:
            return view
        naming = {name for name in self.parties if party_id in _list_named(view, name)}
        if not naming:
            return None
        if naming != {self.limited}:
            return view
        whole = [name for name in self.hidden if "." not in name]
        values: dict[str, Any] = {name: () if isinstance(getattr(view, name), tuple) else None for name in whole}
        for member, _, inner in (name.partition(".") for name in self.hidden if "." in name):
            known = values.get(member, getattr(view, member))
            values[member] = known and msgspec.structs.replace(known, **{inner: ZERO})
        return msgspec.structs.replace(view, **values)


def _list_named(view: msgspec.Struct, name: str) -> set[str | None]:
    """Return the parties that a member names."""
    member, _, inner = name.partition(".")
    value = getattr(view, member)
    if inner:
        return {getattr(row, inner) for row in value}
    return {rename_id("pty", value) if member == "issuer_id" else value}


PARTY: Final = Visibility[PartyView](aggregate="party", feature="parties", parties=("party_id",))
ACCOUNT: Final = Visibility[AccountView](aggregate="account", feature="accounts", parties=("party_id",))
MANDATE: Final = Visibility[MandateView](aggregate="mandate", feature="mandates", parties=("holder_id",))
QUOTE: Final = Visibility[QuoteView](aggregate="quote", feature="quotes", sealed=True, parties=("startup_id",))
SERVICE_LINE: Final = Visibility[ServiceLineView](
    aggregate="service_line", feature="grants", parties=("startup_id", "provider_id", "holder_id")
)
ISSUER: Final = Visibility[IssuerView](aggregate="issuer", feature="issuers", parties=("party_id",))
INSTRUMENT: Final = Visibility[InstrumentView](
    aggregate="instrument", feature="instruments", parties=("holder_id", "issuer_id")
)
PROPOSAL: Final = Visibility[ProposalView](
    aggregate="proposal", feature="proposals", parties=("proposer_id", "issuer_id", "votes.party_id")
)
ORDER: Final = Visibility[OrderView](aggregate="order", feature="orders", sealed=True, parties=("startup_id",))
DECISION: Final = Visibility[DecisionView](aggregate="order", feature="orders", sealed=True, parties=("startup_id",))
GRANT: Final = Visibility[GrantView](
    aggregate="grant",
    feature="grants",
    parties=GRANT_PARTIES,
    limited="startup_id",
    hidden=(
        "price_usd_per_gpu_hour",
        "cash_share",
        "startup_account_id",
        "hold_id",
        "cash_commitment_usd",
        "holder_id",
        "equity",
        "resale",
        "resold",
        "ends",
        "stages",
        "stage",
    ),
)
STATEMENT: Final = Visibility[StatementView](
    aggregate="statement",
    feature="statements",
    parties=("startup_id", "provider_id", "holder_id", "reseller_id"),
    limited="reseller_id",
    hidden=(
        "holder_id",
        "service_credit",
        *(f"{member}.{name}" for member in ("charges_issued", "charges", "settled") for name in OF_BUYER),
    ),
)
RULES: Final[tuple[Visibility[Any], ...]] = (
    PARTY,
    ACCOUNT,
    MANDATE,
    ORDER,
    QUOTE,
    GRANT,
    STATEMENT,
    SERVICE_LINE,
    ISSUER,
    INSTRUMENT,
    PROPOSAL,
)


class Readers(NamedTuple):
    """Who reads a route, beside the platform.

    Attributes:
        who: The rule of what it answers, or a sentence.
        since: In which phase.
    """

    who: Visibility[Any] | str
    since: str = "always"


EVERYBODY: Final = "everybody"
PLATFORM: Final = "the platform only"
UNSTATED: Final = Readers("not stated")
_ALL: Final = Readers(EVERYBODY)
_CLEARED: Final = Readers(EVERYBODY, "once cleared")
_OWN: Final = Readers("each party its own rows")
_HOLDERS: Final = Readers(
    "the issuer's company and directors; holders, and who would get stock or a warrant by an open proposal, as deep as "
    "their rights go"
)
_OWN_SHARE: Final = Readers("the issuer's company; another party what it holds, attests, records or takes part in")
READERS: Final[Mapping[str, Readers]] = {
    "accounts": Readers(ACCOUNT),
    "accounts.list_balances": _OWN,
    "accounts.list_credits": Readers("the provider that gives the credit and the startup that may use it"),
    "accounts.list_entries": _OWN,
    "accounts.get_trial_balance": Readers(PLATFORM),
    "api_keys": Readers("each party its own keys, without their secrets"),
    "auctions": _ALL,
    "auctions.get_certificate": _CLEARED,
    "auctions.get_book": Readers(PLATFORM, "once locked"),
    "auctions.get_audit": Readers(PLATFORM, "once cleared, with the scope of auditors"),
    "auctions.list_decisions": Readers(DECISION, "once cleared"),
    "bonds": _ALL,
    "bonds.list_claims": Readers("those who pay for the grant and the provider of the bond"),
    "cap_tables": _HOLDERS,
    "cap_tables.get_report": Readers("the issuer's company and directors; holders whose information rights are `full`"),
    "clock": _ALL,
    "events": Readers(PLATFORM),
    "events.read": Readers("each party the events that name it or concern it, as the table of events says"),
    "financings": _HOLDERS,
    "grants": Readers(GRANT),
    "instruments": Readers(INSTRUMENT),
    "issuers": Readers(ISSUER),
    "issuers.get": _HOLDERS,
    "issuers.list_holdings": _OWN,
    "issuers.list_principal": _HOLDERS,
    "issuers.list_stock_classes": _HOLDERS,
    "issuers.list_valuations": Readers(
        "the issuer's company and directors; at the depth `own` of the others only holders of options and warrants"
    ),
    "lots": _ALL,
    "mandates": Readers(MANDATE),
    "market": _ALL,
    "market.get_curves": _CLEARED,
    "operation": Readers(PLATFORM),
    "orders": Readers(ORDER),
    "orders.list_decisions": Readers(DECISION, "once cleared"),
    "parties": Readers(PARTY),
    "parties.get_portfolio": _OWN,
    "parties.list_names": Readers(
        "everybody the names of providers with a site or pool and of holders of open mandates; each party also its own "
        "name and those of the other sides of its grants, instruments, holdings, budgets and proposals"
    ),
    "pools": _ALL,
    "pools.list_incidents": Readers("the provider of the pool"),
    "proposals": Readers(PROPOSAL),
    "proposals.get_rights": _ALL,
    "quotes": Readers(QUOTE),
    "service_lines": Readers(SERVICE_LINE),
    "sites": _ALL,
    "statements": Readers(STATEMENT),
    "statements.sum_earnings": Readers("each provider its own sum"),
    "stock": Readers("the issuer's company, directors and who reads everything; seller and buyer their own offers"),
    "usage": Readers(GRANT),
    "usage.list_allocations": Readers("the provider and the startup that uses the grants"),
    "warrants": _OWN_SHARE,
}
"""Who reads a route, by the id of its operation, or by its group."""


def find_readers(operation_id: str) -> Readers:
    """Return who reads a route; `UNSTATED` where `READERS` has neither its operation nor its group."""
    return READERS.get(operation_id) or READERS.get(operation_id.partition(".")[0], UNSTATED)
