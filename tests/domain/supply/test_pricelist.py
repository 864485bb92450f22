"""Price lists: taken in once."""

from datetime import date

import pytest

from events.pricelist import ListPrice, PricelistPublished
from marketplace.domain.supply.pricelist import PRICELIST, PRICES_MAX, PublishPricelist
from tests.domain import build
from tests.domain.build import NAN, Row, builder, id_of, usd
from tests.support.spec import Given

row = builder(
    ListPrice(
        gpu_class="H100_SXM",
        provider="RunPod",
        product="secure",
        usd_per_gpu_hour=usd("3.49"),
        listed_on=date(2026, 2, 1),
        source="https://www.runpod.io/pricing",
    )
)
publish = builder(PublishPricelist(pricelist_id=id_of("prl"), name="February", prices=(row(),)))
PUBLISHED = PricelistPublished(pricelist_id=id_of("prl"), name="February", prices=(row(),))

REFUSALS = [
    Row("pricelist_exists", (PUBLISHED,), publish(name="March")),
    Row("prices_missing", (), publish(prices=()), "/prices"),
    Row("prices_missing", (), publish(prices=(row(),) * (PRICES_MAX + 1)), "/prices"),
    Row("not_a_number", (), publish(prices=(row(usd_per_gpu_hour=NAN),)), "/prices/0/usd_per_gpu_hour"),
    Row("amount_not_positive", (), publish(prices=(row(usd_per_gpu_hour=usd(0)),))),
    Row("amount_too_large", (), publish(prices=(row(usd_per_gpu_hour=usd("1000000000.01")),))),
    Row("amount_too_precise", (), publish(prices=(row(usd_per_gpu_hour=usd("1.1234567")),))),
    Row("price_repeated", (), publish(prices=(row(), row(usd_per_gpu_hour=usd(3)))), "/prices/1"),
]
PRECEDENCE = [
    Row("pricelist_exists", (PUBLISHED,), publish(prices=())),
    Row("not_a_number", (), publish(prices=(row(), row(usd_per_gpu_hour=NAN)))),
]


@pytest.mark.parametrize("row", [*REFUSALS, *PRECEDENCE], ids=lambda row: row.code)
def test_refuses(row):
    build.check(PRICELIST, row)


def test_takes_in_a_table_once():
    Given(PRICELIST).when(publish()).then(PUBLISHED)
    Given(PRICELIST, PUBLISHED).when(publish()).then_nothing()


def test_products_regions_and_days_are_told_apart():
    rows = (row(), row(product="community"), row(region="eu"), row(listed_on=date(2026, 2, 2)))
    assert [event.prices for event in PRICELIST.decide(publish(prices=rows), None)] == [rows]
