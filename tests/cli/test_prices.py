"""Tables of list prices are read whole or refused with the line."""

from datetime import date
from decimal import Decimal

import pytest

from marketplace.cli.prices import OURS, parse_prices
from marketplace.core.errors import Refusal
from marketplace.domain.pricelist import PRICELIST, PublishPricelist

HEAD = "class,provider,region,usd_per_gpu_hour,date,source"
LINE = "H100_SXM,AWS,us-east-1,3.93,2026-10-01,https://aws.amazon.com/ec2/capacityblocks/pricing"


def test_our_own_table_is_taken_in():
    prices = parse_prices(OURS)
    command = PublishPricelist(pricelist_id="prl_00000000000000000000000000", name="ours", prices=prices)
    (event,) = PRICELIST.decide(command, None)
    assert len(event.prices) == len(prices) > 20
    assert {price.source[:8] for price in prices} == {"https://"}


def test_a_table_is_read(tmp_path):
    file = tmp_path / "list.csv"
    file.write_text(f"{HEAD},product\n{LINE},capacity block\nH200_SXM,AWS,,4.97,2026-10-01,https://aws.amazon.com,\n")
    first, second = parse_prices(file)
    assert (first.usd_per_gpu_hour, first.region, first.product) == (Decimal("3.93"), "us-east-1", "capacity block")
    assert (second.listed_on, second.region, second.product) == (date(2026, 10, 1), None, "")


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("class,provider\n", "prices_malformed", "region"),
        (f"{HEAD}\n{LINE}\n{LINE.replace('3.93', 'three')}\n", "prices_malformed", "line 3"),
        (f"{HEAD}\n{LINE.replace('2026-10-01', 'October')}\n", "prices_malformed", "line 2"),
        (f"{HEAD}\n{LINE.replace('H100_SXM', 'h100')}\n", "prices_malformed", "line 2"),
    ],
)
def test_a_table_that_is_wrong_is_refused_with_its_line(tmp_path, text, code, says):
    file = tmp_path / "list.csv"
    file.write_text(text)
    with pytest.raises(Refusal) as refused:
        parse_prices(file)
    assert refused.value.code == code
    assert says in refused.value.message


def test_a_table_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(Refusal) as refused:
        parse_prices(tmp_path / "none.csv")
    assert refused.value.code == "file_missing"
