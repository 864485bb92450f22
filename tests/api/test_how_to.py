"""The Python of docs/how-to-use-the-api.md runs as it stands, one block after the other."""

import re
import textwrap
from pathlib import Path

from marketplace.log.memory import MemoryLog
from tests.api.doors import serve
from tests.api.stage import ADMIN_KEY, open_stage

PAGE = Path(__file__).parents[2] / "docs" / "how-to-use-the-api.md"


async def test_the_examples_run(database_url: str, capsys):
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 3
    source = "async def example(base_url, admin_key):\n" + textwrap.indent("".join(blocks), "    ")
    namespace: dict = {}
    exec(compile(source, str(PAGE), "exec"), namespace)  # noqa: S102 - our own page
    async with open_stage(MemoryLog(), database_url) as stage, serve(stage.application) as address:
        await namespace["example"](address, ADMIN_KEY)
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("mkp_")
    assert told[1].startswith("1 {")
    assert told[2:] == ["Acme Robotics cleared", "Other Ltd registered"]
