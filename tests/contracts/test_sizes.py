"""Every member of an event that its type does not bound is listed with what bounds it; the rest is refused whole."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest

from events.command import CommandRecorded, ReadingNotTaken
from events.financing import DatedPrincipal
from events.issuer_import import IssuerImported
from events.pricelist import ListPrice, PricelistPublished
from events.registry import EVENT_TYPES, render_body
from events.usage import (
    Allocation,
    AllocationPart,
    BurnRank,
    Gap,
    Sample,
    SoldNodes,
    UsageEvidenced,
    UsageLimited,
    UsageReallocated,
)
from marketplace.api.metering.ingestion import BODY_BYTES_MAX
from marketplace.application.supply import inventory
from marketplace.core.errors import Refusal
from marketplace.domain.delivery.service_level import EXTENSIONS_MAX
from marketplace.domain.equity.issuer.issuer import ISSUER
from marketplace.domain.equity.issuer.rules import CALCULATION_BYTES_MAX
from marketplace.domain.equity.issuer.takeover import ACTS_MAX
from marketplace.domain.metering.allocation import OFFERS_MAX, PARTS_MAX
from marketplace.domain.metering.usage import READINGS_MAX, SAMPLES_MAX, USAGE
from marketplace.domain.metering.usage_commands import CorrectUsage
from marketplace.domain.metering.usage_record import DEVICES_MAX
from marketplace.domain.supply.pool import RESALES_MAX
from marketplace.domain.supply.pricelist import PRICES_MAX
from marketplace.domain.trading.auction import PART_BYTES_MAX
from marketplace.embedded.nats import PAYLOAD_BYTES_MAX
from marketplace.log.appender import _HEADER_BYTES_MAX as HEADER_BYTES_MAX
from tests.contracts.sizes import list_unbounded
from tests.domain.build import hour, id_of, measurement, metered, report_usage
from tests.domain.equity.test_instrument_notes import NOTE
from tests.domain.issuer_samples import COMPANY, OPENED, converting, declare, price, signed
from tests.support.market.market import Market

REQUEST = "the body of a request: 1 MiB, of readings 4 MiB"
DOMAIN = "its decider, by a number"
PART = "`auction.py`: parts of 512 KiB, a row of the book of 1 MiB at most"
SPANS = "the spans of one grant, whose nodes are resold 64 times at most"
POOL = "the lots of one pool, that of a row of the book"
ORDERS = "the open orders of one mandate, 120 bytes each: 8 MiB hold 60,000, six times what an auction clears"
HASH = "a hash, or the name of a release"
NUMBER = "an exact fraction of what has bounded places"
EFFECTS = "`effects_too_large`: 7 MiB of what a proposal records, and of whom it asks"
CALCULATION = "`calculation_too_large`: 7 MiB of a round's or a sale's calculation"

BOUNDS = {
    ("site.power_reserved.v1", "draws"): SPANS,
    ("pool.capacity_reserved.v1", "lots"): POOL,
    ("pool.capacity_reserved.v1", "kept"): POOL,
    ("pool.capacity_resold.v1", "lots"): POOL,
    ("pool.capacity_resold.v1", "lots_left"): POOL,
    ("pool.node_failed.v1", "incident_id"): REQUEST,
    ("pool.node_restored.v1", "incident_id"): REQUEST,
    ("mandate.revoked.v1", "ended"): ORDERS,
    ("order.placed.v1", "split_ratio"): NUMBER,
    ("order.amended.v1", "split_ratio"): NUMBER,
    ("order.unmatched.v1", "reasons"): PART,
    ("quote.held.v1", "split_ratio"): NUMBER,
    ("quote.held.v1", "match.lots"): POOL,
    ("quote.held.v1", "match.price_usd_per_gpu_hour"): NUMBER,
    ("auction.indicated.v1", "book_hash"): HASH,
    ("auction.indicated.v1", "prices"): PART,
    ("auction.book_frozen.v1", "pools"): PART,
    ("auction.book_frozen.v1", "lots"): PART,
    ("auction.book_frozen.v1", "orders"): PART,
    ("auction.book_frozen.v1", "limits"): PART,
    ("auction.book_frozen.v1", "backstops"): PART,
    ("auction.orders_deferred.v1", "deferrals"): PART,
    ("auction.locked.v1", "book_hash"): HASH,
    ("auction.result_published.v1", "decisions"): PART,
    ("auction.result_published.v1", "prices"): PART,
    ("auction.result_published.v1", "shadow_prices"): PART,
    ("auction.result_published.v1", "rule_prices"): PART,
    ("auction.result_published.v1", "idle_supply"): PART,
    ("auction.cleared.v1", "certificate.book_hash"): HASH,
    ("auction.cleared.v1", "certificate.engine_version"): HASH,
    ("auction.cleared.v1", "certificate.prices_hash"): HASH,
    ("auction.cleared.v1", "certificate.decisions_hash"): HASH,
    ("grant.issued.v1", "lots"): POOL,
    ("grant.issued.v1", "price_usd_per_gpu_hour"): NUMBER,
    ("grant.issued.v1", "cash_share"): NUMBER,
    ("grant.issued.v1", "equity.principal_share"): NUMBER,
    ("service_line.agreed.v1", "equity.principal_share"): NUMBER,
    ("grant.issued.v1", "resale.owed_usd_per_gpu_hour"): NUMBER,
    ("grant.substituted.v1", "lots"): POOL,
    ("grant.extended.v1", "lots"): POOL,
    ("grant.rescheduled.v1", "lots"): POOL,
    ("grant.resold.v1", "price_usd_per_gpu_hour"): NUMBER,
    ("usage.reported.v1", "readings"): REQUEST,
    ("usage.evidenced.v1", "samples"): REQUEST,
    ("usage.corrected.v1", "before.devices"): DOMAIN,
    ("usage.corrected.v1", "after.devices"): DOMAIN,
    ("usage.voided.v1", "reading.devices"): REQUEST,
    ("usage.identified.v1", "reading_ids"): REQUEST,
    ("usage.limited.v1", "resold"): DOMAIN,
    ("usage.limited.v1", "gaps"): DOMAIN,
    ("usage.allocated.v1", "allocation.ranks"): DOMAIN,
    ("usage.allocated.v1", "allocation.parts"): DOMAIN,
    ("usage.reallocated.v1", "before.ranks"): DOMAIN,
    ("usage.reallocated.v1", "before.parts"): DOMAIN,
    ("usage.reallocated.v1", "after.ranks"): DOMAIN,
    ("usage.reallocated.v1", "after.parts"): DOMAIN,
    ("statement.issued.v1", "service.availability"): NUMBER,
    ("statement.accepted.v1", "service.availability"): NUMBER,
    ("statement.credited.v1", "service.availability"): NUMBER,
    ("statement.service_credited.v1", "service.availability"): NUMBER,
    ("service_line.reported.v1", "readings"): REQUEST,
    ("service_line.limited.v1", "runs"): DOMAIN,
    ("instrument.issued.v1", "draw.price_usd_per_gpu_hour"): NUMBER,
    ("instrument.issued.v1", "draw.cash_usd_per_gpu_hour"): NUMBER,
    ("instrument.issued.v1", "draw.principal_usd_per_gpu_hour"): NUMBER,
    ("instrument.principal_accrued.v1", "service.availability"): NUMBER,
    ("instrument.principal_reversed.v1", "taken.class_id"): HASH,
    ("instrument.principal_reversed.v1", "taken.amount_exact"): NUMBER,
    ("instrument.principal_reversed.v1", "taken.price_usd_per_share"): NUMBER,
    ("instrument.principal_reversed.v1", "taken.shares_exact"): NUMBER,
    ("instrument.principal_reversed.v1", "debt_exact"): NUMBER,
    ("instrument.converted.v1", "amount_exact"): NUMBER,
    ("instrument.converted.v1", "price_usd_per_share"): NUMBER,
    ("instrument.converted.v1", "class_id"): HASH,
    ("instrument.converted.v1", "shares_exact"): NUMBER,
    ("instrument.matured.v1", "amount_exact"): NUMBER,
    ("issuer.instrument_signed.v1", "split_ratio"): NUMBER,
    ("issuer.holder_terms_agreed.v1", "bound"): "the parties that hold something of one issuer: 8 MiB hold 200,000",
    ("issuer.stock_converted.v1", "shares_exact"): NUMBER,
    ("issuer.conversion_price_adjusted.v1", "conversion_price_usd_before"): NUMBER,
    ("issuer.conversion_price_adjusted.v1", "conversion_price_usd"): NUMBER,
    ("issuer.warrant_vested.v1", "price_usd_per_share"): NUMBER,
    ("issuer.warrant_exercised.v1", "exercise_price_usd"): NUMBER,
    ("issuer.warrant_priced.v1", "average_usd"): NUMBER,
    ("issuer.financing_priced.v1", "pricing.engine_version"): HASH,
    ("issuer.financing_priced.v1", "pricing.capitalization_exact"): CALCULATION,
    ("issuer.financing_priced.v1", "pricing.instruments"): CALCULATION,
    ("issuer.financing_priced.v1", "pricing.price_exact"): CALCULATION,
    ("issuer.financing_priced.v1", "pricing.conversions"): CALCULATION,
    ("issuer.financing_priced.v1", "pricing.allotments"): CALCULATION,
    ("issuer.financing_priced.v1", "pricing.adjustments"): CALCULATION,
    ("issuer.financing_priced.v1", "pricing.forfeits"): CALCULATION,
    ("issuer.financing_priced.v1", "pricing.pool_increase_exact"): CALCULATION,
    ("issuer.financing_priced.v1", "pricing.post_money_exact"): CALCULATION,
    ("issuer.financing_priced.v1", "pricing.certificate_json"): CALCULATION,
    ("issuer.liquidity_declared.v1", "waterfall.engine_version"): HASH,
    ("issuer.liquidity_declared.v1", "waterfall.instruments"): CALCULATION,
    ("issuer.liquidity_declared.v1", "waterfall.price_per_common_share_exact"): CALCULATION,
    ("issuer.liquidity_declared.v1", "waterfall.payouts"): CALCULATION,
    ("issuer.liquidity_declared.v1", "waterfall.certificate_json"): CALCULATION,
    ("issuer.distribution_paid.v1", "payouts"): CALCULATION,
    ("issuer.distribution_paid.v1", "later"): CALCULATION,
    ("issuer.liquidity_declared.v1", "waterfall.stock"): CALCULATION,
    ("issuer.imported.v1", "package_hash"): HASH,
    ("issuer.imported.v1", "origins"): DOMAIN,
    ("proposal.made.v1", "split_ratio"): NUMBER,
    ("proposal.made.v1", "claims_exact"): NUMBER,
    ("proposal.made.v1", "worth_exact"): NUMBER,
    ("proposal.made.v1", "company_exact"): NUMBER,
    ("proposal.made.v1", "preference_exact"): NUMBER,
    ("schedule.deposit_counted.v1", "person"): REQUEST,
    ("proposal.made.v1", "effects"): EFFECTS,
    ("proposal.made.v1", "consents"): EFFECTS,
    ("pricelist.published.v1", "prices"): REQUEST,
    ("command.recorded.v1", "not_taken"): DOMAIN,
}
"""What bounds each member, by the event's tag and the member's path down to the first that has no bound."""


def name_member(tag, path):
    """Return the member of `BOUNDS` that a path belongs to, the path itself where there is none."""
    for of, member in BOUNDS:
        if of == tag and path.startswith(member) and path[len(member) :][:1] in {"", "[", "{", "."}:
            return member
    return path


def test_every_member_without_a_bound_is_listed_with_what_bounds_it():
    found = {(tag, name_member(tag, path)) for tag, of in EVENT_TYPES.items() for path in list_unbounded(of)}
    assert found == set(BOUNDS)


LARGEST = {
    "evidence of one report": UsageEvidenced(
        usage_id=id_of("usg", 1),
        grant_id=id_of("grt", 1),
        source="s" * 200,
        samples=(
            Sample(
                device="\U0001f5a5" * 100,
                at=datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
                gpu_utilisation=Decimal("0.123456789"),
                energy_kwh=Decimal("123456789012345.123456789"),
                xid_error=2**53 - 1,
            ),
        )
        * SAMPLES_MAX,
    ),
    "readings of one report that were not taken": CommandRecorded(
        command_id=id_of("cmd", 1),
        aggregate="usage",
        aggregate_id=id_of("usg", 1),
        version=1,
        not_taken=(
            ReadingNotTaken(
                place=READINGS_MAX,
                reading_id="\U0001f5a5" * 200,
                outcome="rejected",
                code="c" * 40,
                message="m" * 999,
            ),
        )
        * READINGS_MAX,
    ),
    "a table of public prices": PricelistPublished(
        pricelist_id=id_of("prl", 1),
        name="\U0001f5a5" * 500,
        prices=(
            ListPrice(
                gpu_class="H" * 40,
                provider="\U0001f5a5" * 100,
                product="\U0001f5a5" * 100,
                region="\U0001f5a5" * 100,
                usd_per_gpu_hour=Decimal("123456789.123456789"),
                listed_on=date(2026, 1, 1),
                source="\U0001f5a5" * 500,
            ),
        )
        * PRICES_MAX,
    ),
    "the origins of a package": IssuerImported(
        issuer_id=id_of("iss", 1),
        source="p" * 500,
        package_hash="a" * 64,
        origins={f"{number:03}" + "\U0001f5a5" * 200: id_of("sec", number) for number in range(ACTS_MAX)},
    ),
}


_ALLOCATION = Allocation(
    start=datetime(2026, 1, 1, tzinfo=UTC),
    end=datetime(2026, 2, 1, tzinfo=UTC),
    gpus=10_000_000,
    ranks=(
        BurnRank(
            grant_id=id_of("grt", 1),
            priority=1,
            expires_at=datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
            created_at=datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
        ),
    )
    * OFFERS_MAX,
    parts=(
        AllocationPart(
            grant_id=id_of("grt", 1),
            reading_id="\U0001f5a5" * 200,
            start=datetime(2026, 1, 1, tzinfo=UTC),
            end=datetime(2026, 2, 1, tzinfo=UTC),
            gpus=10_000_000,
        ),
    )
    * PARTS_MAX,
    parts_made=10**9,
)

SMALL = {
    "a reading that is allocated anew": UsageReallocated(
        usage_id=id_of("usg", 1),
        startup_id=id_of("pty", 1),
        provider_id=id_of("pty", 2),
        gpu_class="H" * 40,
        source="\U0001f5a5" * 200,
        reading_id="\U0001f5a5" * 200,
        before=_ALLOCATION,
        after=_ALLOCATION,
        reason="r" * 500,
    ),
    "what is left of a grant that is resold as often as may be": UsageLimited(
        usage_id=id_of("usg", 1),
        grant_id=id_of("grt", 1),
        end=datetime(2026, 2, 1, tzinfo=UTC),
        resold=(SoldNodes(start=datetime(2026, 1, 1, tzinfo=UTC), end=datetime(2026, 2, 1, tzinfo=UTC), nodes=100_000),)
        * RESALES_MAX,
        gaps=(Gap(start=datetime(2026, 1, 1, tzinfo=UTC), end=datetime(2026, 2, 1, tzinfo=UTC)),) * EXTENSIONS_MAX,
    ),
}
"""Each takes less than a sixteenth of a message, all that its numbers allow included."""


@pytest.mark.parametrize("what", SMALL)
def test_what_a_small_number_bounds_is_far_below_a_message(what):
    assert len(render_body(SMALL[what])) < PAYLOAD_BYTES_MAX / 16


@pytest.mark.parametrize("what", LARGEST)
def test_the_largest_that_a_decider_allows_fits_a_message(what):
    size = len(render_body(LARGEST[what]))
    assert size * 2 > 1_000_000
    assert size < PAYLOAD_BYTES_MAX - HEADER_BYTES_MAX


def test_the_largest_correction_holds_two_readings_that_name_as_many_gpus_as_may_be():
    """The bodies of two requests would not fit; the decider bounds how many GPUs a reading names."""
    assert PAYLOAD_BYTES_MAX < 2 * BODY_BYTES_MAX + PART_BYTES_MAX
    limits = metered(nodes=2 * DEVICES_MAX)

    def name(letter):
        devices = tuple(f"{number:05}" + letter * 95 for number in range(DEVICES_MAX))
        return measurement(reading_id="\x01" * 200, nodes=DEVICES_MAX, devices=devices)

    [reported] = USAGE.decide(report_usage(measurements=(name("\x01"),), metered=limits), USAGE.initial)
    command = CorrectUsage(
        usage_id=reported.usage_id,
        grant_id=reported.grant_id,
        source=reported.source,
        measurement=name("\x02"),
        metered=limits,
        reason="\x01" * 500,
        at=hour(24),
        before=reported.readings[0],
    )
    [corrected] = USAGE.decide(command, USAGE.evolve(USAGE.initial, reported))
    size = len(render_body(corrected))
    assert PAYLOAD_BYTES_MAX / 2 < size < PAYLOAD_BYTES_MAX - HEADER_BYTES_MAX


def accrue(days):
    """Return a note whose principal grew on so many days."""
    accruals = tuple(
        DatedPrincipal(interest_from=date(2010, 1, 1) + timedelta(days=day % 5_000), principal_usd=Decimal("12.34"))
        for day in range(days)
    )
    note = converting(1, Decimal("12.34") * days, NOTE)
    return msgspec.structs.replace(note, accruals=accruals)


@pytest.mark.parametrize("act", ["round", "sale"])
def test_the_largest_calculation_of_a_round_or_a_sale_fits_and_a_larger_one_is_refused_by_name(act, monkeypatch):
    """A bound of a sixteenth is tried, since a round of the largest size is priced for half a minute."""
    assert CALCULATION_BYTES_MAX + PART_BYTES_MAX < PAYLOAD_BYTES_MAX - HEADER_BYTES_MAX
    opened = [
        msgspec.structs.replace(OPENED, terms=msgspec.structs.replace(OPENED.terms, closing_date=date(2026, 6, 1)))
    ]

    def decide(days):
        note = accrue(days)
        state = ISSUER.fold([*COMPANY, *signed(note), *(opened if act == "round" else [])])
        return ISSUER.decide(price(note) if act == "round" else declare(900_000_000, note), state)

    bound = CALCULATION_BYTES_MAX // 16
    monkeypatch.setattr("marketplace.domain.equity.issuer.rules.CALCULATION_BYTES_MAX", bound)
    days = 500
    [small] = decide(days)
    most = days * bound // len(render_body(small))
    [large] = decide(most * 95 // 100)
    assert bound * 0.8 < len(render_body(large)) <= bound
    with pytest.raises(Refusal, match=f"at most {bound} are stored") as refused:
        decide(2 * most)
    assert refused.value.code == "calculation_too_large"


async def test_a_command_whose_event_is_too_large_is_refused_and_nothing_is_stuck(jetstream_log):
    market = Market(jetstream_log)
    _, pool_id = await market.pool(await market.party("Provider", "provider"))

    async def fail(incident_id):
        await inventory.fail_nodes(
            market.handler,
            market.context(),
            pool_id,
            incident_id=incident_id,
            nodes=1,
            at=market.clock.now(),
        )

    before = (await jetstream_log.health()).last_sequence
    with pytest.raises(Refusal, match=r"has 9,?000,?\d+ bytes") as refused:
        await fail("x" * 9_000_000)
    assert refused.value.code == "event_too_large"
    assert (await jetstream_log.health()).last_sequence == before
    await fail("short")
    assert (await jetstream_log.health()).last_sequence == before + 1
