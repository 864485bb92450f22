"""A trade through the Python client that openapi-python-client generates as `market_client`.

    python trade.py FACTS

FACTS is a JSON file with the address of the API, keys and party ids (`scripts/contract_checks.py`).
"""

import json
import sys
import time
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from market_client import AuthenticatedClient
from market_client.api.auctions import auctions_open
from market_client.api.clock import clock_advance, clock_get
from market_client.api.grants import grants_activate, grants_get, grants_list
from market_client.api.lots import lots_offer
from market_client.api.orders import orders_get, orders_place
from market_client.api.pools import pools_list, pools_open
from market_client.api.sites import sites_register
from market_client.api.statements import statements_list
from market_client.api.usage import usage_report
from market_client.models.advance_clock_body import AdvanceClockBody
from market_client.models.class_offer import ClassOffer
from market_client.models.clock_view import ClockView
from market_client.models.credit_step import CreditStep
from market_client.models.grant_page import GrantPage
from market_client.models.grant_view import GrantView
from market_client.models.list_lot_body import ListLotBody
from market_client.models.open_auction_body import OpenAuctionBody
from market_client.models.open_pool_body import OpenPoolBody
from market_client.models.order_terms import OrderTerms
from market_client.models.order_view import OrderView
from market_client.models.place_order_body import PlaceOrderBody
from market_client.models.pool_page import PoolPage
from market_client.models.problem import Problem
from market_client.models.reading_body import ReadingBody
from market_client.models.receipt_body import ReceiptBody
from market_client.models.register_site_body import RegisterSiteBody
from market_client.models.report_usage_body import ReportUsageBody
from market_client.models.service_terms import ServiceTerms
from market_client.models.statement_page import StatementPage
from market_client.models.usage_receipt import UsageReceipt

T = TypeVar("T")
WAIT_SECONDS_MAX = 60


def expect(kind: type[T], answer: object) -> T:
    """Return an answer as the type that it must have."""
    if not isinstance(answer, kind):
        sys.exit(f"expected {kind.__name__}, got {answer!r}")
    return answer


def wait(ask: Callable[[], T | None]) -> T:
    """Return what `ask` answers once that is not None."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while time.monotonic() < deadline:
        found = ask()
        if found is not None:
            return found
        time.sleep(0.1)
    sys.exit("nothing came in time")


def name() -> str:
    """Return a new idempotency key."""
    return uuid.uuid4().hex


def main() -> None:
    """Trade two nodes for a day."""
    facts = json.loads(Path(sys.argv[1]).read_text())
    admin, provider, startup = (
        AuthenticatedClient(base_url=facts["url"], token=facts[f"{role}_key"], raise_on_unexpected_status=True)
        for role in ("admin", "provider", "startup")
    )
    now = expect(ClockView, clock_get.sync(client=admin)).now
    begin = (now + timedelta(days=2)).replace(hour=0, minute=0, second=0, microsecond=0)
    offer_capacity(provider, startup, facts["provider_id"], begin)
    order_id = order_nodes(provider, startup, facts["startup_id"], begin)
    auction = OpenAuctionBody(
        locks_at=now + timedelta(minutes=10), horizon_start=begin, period_hours=24, periods=4, seed=1
    )
    expect(ReceiptBody, auctions_open.sync(client=admin, body=auction, idempotency_key=name()))
    move(admin, timedelta(minutes=20))
    grant_id = find_grant(startup, order_id)
    move(admin, begin - now)
    statement_id = deliver(admin, provider, startup, grant_id, begin)
    print(f"Python: order {order_id}, grant {grant_id}, statement {statement_id}")


def move(admin: AuthenticatedClient, span: timedelta) -> None:
    """Move market time forward."""
    body = AdvanceClockBody(seconds=int(span.total_seconds()))
    expect(ReceiptBody, clock_advance.sync(client=admin, body=body, idempotency_key=name()))


def offer_capacity(
    provider: AuthenticatedClient, startup: AuthenticatedClient, provider_id: str, begin: datetime
) -> None:
    """Offer four nodes for four days, with a promise of availability."""
    site = RegisterSiteBody(
        provider_id=provider_id,
        name="North",
        region="us-east",
        jurisdiction="US",
        status="operating",
        power_contracted_kw=100,
        power_energised_kw=100,
        power_usage_effectiveness="1.2",
        renewable_share="0.5",
    )
    site_id = expect(ReceiptBody, sites_register.sync(client=provider, body=site, idempotency_key=name())).id
    pool = OpenPoolBody(
        site_id=site_id,
        gpu_class="H100_SXM",
        interconnect="infiniband",
        gpus_per_node=8,
        nodes=4,
        power_per_node_kw=11,
    )
    opened = expect(ReceiptBody, pools_open.sync(client=provider, body=pool, idempotency_key=name()))
    pools = expect(PoolPage, pools_list.sync(client=startup, min_seq=opened.sequence))
    if opened.id not in [each.pool_id for each in pools.items]:
        sys.exit("the pool is not listed")
    promise = ServiceTerms(availability_min="0.99", credits_=[CreditStep(availability_below="0.99", credit="0.1")])
    end = begin + timedelta(days=4)
    lot = ListLotBody(pool_id=opened.id, nodes=4, start=begin, end=end, ask_usd_per_gpu_hour="2", service=promise)
    expect(ReceiptBody, lots_offer.sync(client=provider, body=lot, idempotency_key=name()))


def order_nodes(provider: AuthenticatedClient, startup: AuthenticatedClient, startup_id: str, begin: datetime) -> str:
    """Place an order, which the provider does not see, after one that is refused; return its id."""
    offer = ClassOffer(gpu_class="H100_SXM", cash_usd_per_gpu_hour="3", equity_usd_per_gpu_hour="0")
    terms = OrderTerms(nodes=2, duration_hours=24, start_earliest=begin, start_latest=begin, offers=[offer])
    wrong = PlaceOrderBody(startup_id="x", terms=OrderTerms.from_dict({**terms.to_dict(), "interconnect": "any"}))
    refused = expect(Problem, orders_place.sync(client=startup, body=wrong, idempotency_key=name()))
    if (refused.code, refused.status) != ("body_invalid", 422):
        sys.exit(f"the order is refused with {refused.code}")
    order = PlaceOrderBody(startup_id=startup_id, terms=terms)
    placed = expect(ReceiptBody, orders_place.sync(client=startup, body=order, idempotency_key=name()))
    hidden = expect(Problem, orders_get.sync(placed.id, client=provider, min_seq=placed.sequence))
    if hidden.code != "order_unknown":
        sys.exit(f"another party's order answers {hidden.code}")
    return placed.id


def find_grant(startup: AuthenticatedClient, order_id: str) -> str:
    """Return the grant that the order won, once it is there with the lot's promise."""

    def find() -> GrantView | None:
        page = expect(GrantPage, grants_list.sync(client=startup))
        return next((each for each in page.items if each.order_id == order_id), None)

    view = expect(GrantView, grants_get.sync(wait(find).grant_id, client=startup))
    if not isinstance(view.service, ServiceTerms) or view.service.availability_min != "0.99":
        sys.exit(f"the grant promises {view.service!r}")
    if expect(OrderView, orders_get.sync(order_id, client=startup)).status != "matched":
        sys.exit("the order is not matched")
    return view.grant_id


def deliver(
    admin: AuthenticatedClient,
    provider: AuthenticatedClient,
    startup: AuthenticatedClient,
    grant_id: str,
    begin: datetime,
) -> str:
    """Report the day's usage, and return the statement that it gets."""
    wait(lambda: grants_activate.sync(grant_id, client=provider, idempotency_key=name()))
    move(admin, timedelta(days=1))
    reading = ReadingBody(reading_id=name(), start=begin, end=begin + timedelta(days=1), nodes=2)
    report = ReportUsageBody(source="dcgm", readings=[reading])
    told = usage_report.sync(grant_id, client=provider, body=report, idempotency_key=name())
    if [each.outcome for each in expect(UsageReceipt, told).readings] != ["accepted"]:
        sys.exit(f"the reading answers {told!r}")
    move(admin, timedelta(days=40))

    def find() -> str | None:
        page = expect(StatementPage, statements_list.sync(client=startup, grant_id=grant_id))
        return page.items[0].statement_id if page.items else None

    return wait(find)


if __name__ == "__main__":
    main()
