"""The Python of the README and of docs/how-to-use-the-api.md runs as it stands."""

import asyncio
import re
import textwrap
from pathlib import Path

from marketplace.log.memory import MemoryLog
from tests.api.doors import serve
from tests.api.stage import ADMIN_KEY, open_stage

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to-use-the-api.md"
README = ROOT / "README.md"


async def test_the_examples_run(database_url: str, capsys):
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    asynchronous = [block for block in blocks if "async with" in block]
    assert (len(blocks), len(asynchronous)) == (4, 3)
    (plain,) = set(blocks) - {*asynchronous}
    source = "async def example(base_url, admin_key):\n" + textwrap.indent("".join(asynchronous), "    ")
    source += "\ndef plain(base_url, admin_key):\n" + textwrap.indent(plain, "    ")
    namespace: dict = {}
    exec(compile(source, str(PAGE), "exec"), namespace)  # noqa: S102 - our own page
    async with open_stage(MemoryLog(), database_url) as stage, serve(stage.application) as address:
        await namespace["example"](address, ADMIN_KEY)
        await asyncio.to_thread(namespace["plain"], address, ADMIN_KEY)
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("mkp_")
    assert told[1].startswith("1 marketplace.account.opened.v1 AccountOpened(")
    assert told[2:] == ["Acme Robotics cleared", "Other Ltd registered", "Third Ltd registered"]


async def test_the_example_of_the_readme_runs(database_url: str):
    source = re.search(r"```python\n(.*?)```", README.read_text(), re.DOTALL)[1]
    source, run = source.rsplit("\n\n\n", 1)
    assert run == "asyncio.run(main())\n"
    async with open_stage(MemoryLog(), database_url) as stage, serve(stage.application) as address:
        source = source.replace("http://127.0.0.1:8000", address).replace("mkp_…", ADMIN_KEY)
        namespace: dict = {}
        exec(compile(source, str(README), "exec"), namespace)  # noqa: S102 - our own page
        await namespace["main"]()
        told = (await stage.admin.get("/v1/events")).json()["items"]
    types = [item["event"]["type"] for item in told]
    assert sorted(types) == [f"marketplace.{tag}.v1" for tag in ("account.opened", "party.cleared", "party.registered")]
