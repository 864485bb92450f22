"""Tables of list prices are read whole or refused with the line."""

from datetime import date
from decimal import Decimal

import pytest

from marketplace.cli.prices import OURS, parse_prices
from marketplace.core.errors import Refusal
from marketplace.domain.supply.pricelist import PRICELIST, PublishPricelist
from marketplace.embedded.process import find_free_port
from marketplace.log.memory import MemoryLog
from tests.api.doors import serve
from tests.api.stage import ADMIN_KEY, open_stage
from tests.support.commands import run_command

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


@pytest.mark.parametrize(
    ("name", "content"),
    [("list.csv", b"\xff"), ("list.json", b"{"), ("list.json", b"[]"), ("list.json", b'{"prices":[{"date":1}]}')],
)
def test_a_file_that_is_no_table_is_refused(tmp_path, name, content):
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(Refusal, match=name) as refused:
        parse_prices(file)
    assert refused.value.code == "prices_malformed"


def test_a_table_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(Refusal) as refused:
        parse_prices(tmp_path / "none.csv")
    assert refused.value.code == "file_missing"


async def run_import(*arguments: str) -> tuple[int, str]:
    return await run_command("prices", "import", *arguments)


async def test_a_table_is_taken_in_through_the_api_once(tmp_path):
    file = tmp_path / "list.csv"
    file.write_text(f"{HEAD}\n{LINE}\n")
    async with open_stage(MemoryLog()) as stage, serve(stage.application) as address:
        first, again = [await run_import(str(file), "--api-url", address, "--api-key", ADMIN_KEY) for _ in range(2)]
        assert first == again
        assert first[0] == 0
        assert "1 prices, the market has them as prl_" in first[1]
        stored = [recorded.envelope.type async for page in stage.services.handler.log.read() for recorded in page]
        assert stored == ["marketplace.pricelist.published.v1", "marketplace.command.recorded.v1"]
        code, said = await run_import(str(file), "--api-url", address, "--api-key", "mkp_nobody")
    assert (code, "credentials_invalid" in said, "Traceback" in said) == (2, True, False)


async def test_an_api_that_is_not_there_is_named():
    address = f"http://127.0.0.1:{find_free_port()}"
    code, said = await run_import("--api-url", address, "--api-key", ADMIN_KEY)
    assert (code, address in said, "Traceback" in said) == (1, True, False)
