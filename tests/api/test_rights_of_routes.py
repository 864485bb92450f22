"""Every command of the API has its row in the table of rights, or a reason why it needs none."""

import re

from marketplace.api.application import ROUTERS
from marketplace.api.http import clock, operation
from marketplace.domain.equity.rights import list_rights
from marketplace.projections.feed.told import list_events, tell
from marketplace.projections.feed.visibility import PLATFORM

BY_EVENTS = ("/v1/issuers", "/v1/proposals")
"""Their rows are found by the events that they record: `tests/domain/equity/test_rights.py` asks for each."""
ALSO_BY_EVENTS = {
    "/v1/instruments": "investment",
    "/v1/instruments/*": "amendment",
    "/v1/instruments/*/repay": "prepayment",
    "/v1/instruments/*/reverse": "reduction",
    "/v1/instruments/*/transfer": "instrument_transfer",
}
"""And so are these of instruments."""
ROWS = {
    "/v1/accounts/*/approvals/*/approve": "withdrawal",
    "/v1/accounts/*/approvals/*/refuse": "withdrawal",
    "/v1/accounts/*/approvals/*/withdraw": "withdrawal",
    "/v1/accounts/*/deposits": "deposit",
    "/v1/accounts/*/holds": "hold",
    "/v1/accounts/*/holds/*/capture": "capture",
    "/v1/accounts/*/holds/*/release": "hold_release",
    "/v1/accounts/*/limit": "limit",
    "/v1/accounts/*/withdrawals": "withdrawal",
    "/v1/api-keys": "key",
    "/v1/api-keys/*": "key",
    "/v1/api-keys/*/resume": "key",
    "/v1/api-keys/*/suspend": "key",
    "/v1/bonds": "bond",
    "/v1/bonds/*/claims/*/answer": "bond_claim",
    "/v1/bonds/*/release": "bond_release",
    "/v1/bonds/claims/*": "bond_claim",
    "/v1/credits": "credit",
    "/v1/grants/*/reschedule": "reschedule",
    "/v1/grants/*/resume": "resumption",
    "/v1/grants/*/substitute": "substitution",
    "/v1/grants/*/terminate": "early_end",
    "/v1/grants/*/transfer": "grant_transfer",
    "/v1/grants/*/usage/corrections": "correction",
    "/v1/grants/*/usage/voids": "correction",
    "/v1/instruments/*/cancel": "accrual",
    "/v1/instruments/*/issue-shares": "owed_shares",
    "/v1/instruments/*/mature": "maturity",
    "/v1/instruments/*/mfn-election": "mfn_election",
    "/v1/instruments/*/mfn-notices": "mfn_window",
    "/v1/instruments/*/pay-debt": "debt",
    "/v1/instruments/*/resume": "accrual",
    "/v1/instruments/*/suspend": "accrual",
    "/v1/mandates": "mandate",
    "/v1/mandates/*": "mandate",
    "/v1/mandates/*/holds/*/approve": "mandate_order",
    "/v1/mandates/*/holds/*/refuse": "mandate_order",
    "/v1/mandates/*/revoke": "mandate_bound",
    "/v1/market/schedule": "schedule",
    "/v1/orders": "purchase",
    "/v1/orders/*": "purchase",
    "/v1/parties/*/relations": "relation",
    "/v1/parties/*/relations/*/end": "relation_end",
    "/v1/parties/*/roles": "role",
    "/v1/parties/*/roles/refuse": "role",
    "/v1/pools/*/close": "early_end",
    "/v1/pools/*/restore-nodes": "resumption",
    "/v1/quotes/*/release": "hold_fee",
    "/v1/quotes/*/take": "purchase",
    "/v1/quotes/hold": "purchase",
    "/v1/service-lines": "service_line",
    "/v1/service-lines/*/agree": "service_line",
    "/v1/service-lines/*/approve": "service_line",
    "/v1/service-lines/*/decline": "service_line",
    "/v1/service-lines/*/hours/corrections": "correction",
    "/v1/service-lines/*/hours/voids": "correction",
    "/v1/sites/*/energise": "resumption",
    "/v1/statements/*/accept": "statement",
    "/v1/statements/*/answer": "counter_offer",
    "/v1/statements/*/concede": "partial_concession",
    "/v1/statements/*/dispute": "undisputed",
    "/v1/statements/*/refer": "last_resort",
    "/v1/statements/*/resolve": "last_resort",
    "/v1/usage/allocations/corrections": "correction",
    "/v1/usage/allocations/voids": "correction",
}
"""The row of each other command whose act needs an agreement, or changes what others have."""
NEEDLESS = {
    "it reports what happened or what a meter counted; what follows of it has rows of its own": (
        "/v1/grants/*/activate",
        "/v1/grants/*/degrade",
        "/v1/grants/*/suspend",
        "/v1/grants/*/usage",
        "/v1/grants/*/usage/evidence",
        "/v1/pools/*/fail-nodes",
        "/v1/sites/*/derate",
        "/v1/sites/*/schedule-conversion",
        "/v1/sites/*/slip-conversion",
        "/v1/usage",
        "/v1/usage/allocations",
    ),
    "it offers, or no longer offers, what is the party's own; nothing that is sold changes": (
        "/v1/grants/*/resell",
        "/v1/lots",
        "/v1/lots/*/pause",
        "/v1/lots/*/reprice",
        "/v1/lots/*/reschedule",
        "/v1/lots/*/resume",
        "/v1/lots/*/withdraw",
        "/v1/pools",
        "/v1/sites",
    ),
    "it frees or orders what is the party's own, or pays what it owes": (
        "/v1/accounts/*/close",
        "/v1/grants/*/prioritise",
        "/v1/grants/*/stages",
        "/v1/orders/*/cancel",
    ),
    "it asks, and changes nothing": (
        "/v1/parties/*/portfolio/recovery",
        "/v1/quotes",
    ),
    "the operator runs the market by it, and nobody's money, capacity or claim changes": (
        "/v1/auctions",
        "/v1/market/list-prices",
        "/v1/parties",
        "/v1/parties/*/clear",
        "/v1/parties/*/stage",
        "/v1/parties/*/suspend",
        "/v1/projections/rebuilds",
        "/v1/projections/verifications",
        "/v1/test/clock",
    ),
}
FOLLOWING = {
    "agreement": "of a proposal",
    "assumption": "of a sale",
    "concession": "of silence",
    "end_for_cause": "`terminate` with `for_cause`",
    "equity_on_credit": "of a statement",
    "gift": "of acts on an issuer",
    "one_person": "of the person behind a key",
    "proceeds": "of the declaration of a sale",
    "related_trade": "of the quote that is held",
    "reserve": "of a withdrawal",
    "sale_payment": "of a declared sale, at `/pay`",
    "suspended_holder": "of the platform's key",
}
"""Rows beside equity that no command has alone, and what they are of."""


def list_commands():
    """Return the paths of all commands, with `*` for each id."""
    return {
        re.sub(r"{[^}]*}", "*", route.path)
        for router in (*ROUTERS, clock.ROUTER, operation.ROUTER)
        for route in router.routes
        for handler in getattr(route, "route_handlers", ())
        if not handler.http_methods <= {"GET", "HEAD", "OPTIONS"}
    }


def test_every_command_has_a_row_of_the_table_of_rights_or_a_reason_for_none():
    needless = [path for paths in NEEDLESS.values() for path in paths]
    assert sorted([*ROWS, *ALSO_BY_EVENTS, *needless]) == sorted(
        path for path in list_commands() if not path.startswith(BY_EVENTS)
    )


def test_every_row_beside_equity_is_of_a_command_or_follows_from_one():
    names = [right.name for right in list_rights()]
    beside = set(names[names.index("company_act") + 1 :])
    assert {*ALSO_BY_EVENTS.values()} <= {*names} - beside
    assert beside == {*ROWS.values(), *FOLLOWING}
    assert not set(ROWS.values()) & set(FOLLOWING)


def test_every_row_says_by_its_events_who_is_told():
    """A party whose act waits, or is done, hears of it; only what is done to keys is not in the feed."""
    rows = {right.name: list_events(right.name) for right in list_rights()}
    assert {name for name, events in rows.items() if not events or PLATFORM.intersection(events)} == {"key"}
    assert tell("key") == "nobody by the feed; each party reads its own keys"
    assert tell("hold_release") == "`account.hold_released.v1`: parties named as `party_id`; the parties of the account"
    assert tell("transfer").endswith(
        "`holder_id_after`; the parties of the issuer; holders whose information rights are `full`"
    )
