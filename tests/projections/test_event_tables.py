"""`docs/events-and-tables.md` says what the handlers do; the recipes of the page on figures give what they write."""

import json
import re
from decimal import Decimal
from typing import Any

from sqlalchemy import text as text_of
from sqlalchemy.ext.asyncio import AsyncEngine

from events.registry import EVENT_TYPES
from marketplace.log.port import Recorded
from marketplace.projections.registry import PROJECTIONS
from tests.projections.event_tables import COMMAND, FEED, PAGE, record_tables, render_page
from tests.projections.tales import tell_everything

FIGURES = PAGE.with_name("how-to-compute-figures.md")


async def test_the_page_says_which_tables_each_event_type_changes(engine: AsyncEngine):
    written = await record_tables(engine)
    assert PAGE.read_text(encoding="utf-8") == render_page(written), f"run `{COMMAND}`"
    assert written.keys() == EVENT_TYPES.keys()
    for projection in PROJECTIONS:
        handled = {tag for tag, changed in written.items() if projection.name in changed}
        assert handled == projection.handles
        tables = set().union(*(written[tag][projection.name] for tag in handled))
        assert tables == {table.name for table in projection.tables}, "no table is left out"
    assert all(changed[FEED] for changed in written.values())
    await check_figures(
        engine, {tag for tag, changed in written.items() if "holdings" in changed.get("cap_tables", ())}
    )


async def check_figures(engine: AsyncEngine, holding_tags: set[str]) -> None:
    """The recipes of the page on figures give what the tables have, and it names every event that changes a holding."""
    text = FIGURES.read_text(encoding="utf-8")
    recipes: dict[str, Any] = {}
    exec("\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL)), recipes)  # noqa: S102 - our own page
    listed = text.partition("Shares are changed by these events")[2].partition("\n\n")[2].partition("\n\n")[0]
    assert {f"{tag}.v1" for tag in re.findall(r"`(issuer\.\w+)`", listed)} == holding_tags
    told = [(get_tag(one), json.loads(one.body)) for one in tell_everything().recorded]
    available, held = recipes["compute_balances"](told)
    revenue, principal = recipes["compute_revenue"](told), recipes["compute_principal"](told)
    figures = {f"{account}/available": amount for account, amount in available.items()}
    figures |= {f"{account}/held": amount for account, amount in held.items()}
    async with engine.connect() as connection:

        async def read(query: str) -> dict[Any, Any]:
            return {row[0] if len(row) == 2 else row[:-1]: row[-1] for row in await connection.execute(text_of(query))}

        balances = await read("SELECT account, amount FROM balances WHERE account LIKE 'acc\\_%'")
        paid = await read(
            "WITH causes AS (SELECT statement_id AS cause, statement_id FROM statements"
            " UNION SELECT part_id, statement_id FROM statement_parts)"
            " SELECT split_part(account, '/', 1), statement_id, sum(amount) FROM entries JOIN causes USING (cause)"
            " JOIN statements USING (statement_id) WHERE account = replace(provider_id, 'pty_', 'acc_') || '/available'"
            " AND tag IN ('account.credited.v1', 'account.debited.v1') GROUP BY 1, 2"
        )
        outstanding = await read("SELECT instrument_id, principal_usd FROM instruments")
        fills = await read(
            "SELECT grant_id, (gpu_class, startup_id, seller_id, counted_gpu_hours, price_usd_per_gpu_hour)::text"
            " FROM fills WHERE marked_at IS NULL AND day IS NOT NULL"
        )
    for computed, found in ((figures, balances), (revenue, paid), (principal, outstanding)):
        assert {key: value for key, value in computed.items() if value} == {k: v for k, v in found.items() if v}
        assert any(found.values())
    assert {grant: f"({','.join(map(str, fill))})" for grant, fill in recipes["list_fills"](told).items()} == fills
    assert fills


def test_a_service_credit_is_no_revenue_of_whom_it_is_paid_back_to():
    recipes: dict[str, Any] = {}
    text = FIGURES.read_text(encoding="utf-8")
    exec("\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL)), recipes)  # noqa: S102 - our own page
    told = [
        ("statement.issued", {"statement_id": "stm_1", "provider_id": "pty_seller"}),
        ("account.hold_captured", {"account_id": "acc_buyer", "amount_usd": "900.00", "cause": "stm_part"}),
        ("account.credited", {"account_id": "acc_seller", "amount_usd": "900.00", "cause": "stm_part"}),
        ("statement.part_settled", {"statement_id": "stm_1", "part_id": "stm_part"}),
        ("account.credited", {"account_id": "acc_seller", "amount_usd": "408.72", "cause": "stm_1"}),
        ("account.debited", {"account_id": "acc_seller", "amount_usd": "654.36", "cause": "stm_1"}),
        ("account.credited", {"account_id": "acc_buyer", "amount_usd": "654.36", "cause": "stm_1"}),
        ("account.credited", {"account_id": "acc_platform", "amount_usd": "9.00", "cause": "fee_1"}),
    ]
    assert recipes["compute_revenue"](iter(told)) == {("acc_seller", "stm_1"): Decimal("654.36")}


def get_tag(recorded: Recorded) -> str:
    return recorded.envelope.type.removeprefix("marketplace.").removesuffix(".v1")
