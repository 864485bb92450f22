"""`marketplace ocf` as a process: check offline, export and import on a real log."""

import json
from pathlib import Path

import pytest

from marketplace.core.ids import rename_id
from marketplace.ocf.container import load_package, write_package
from marketplace.ocf.package import render_package
from tests.application.equity.test_equity import found, invest
from tests.captable.company import live
from tests.support.commands import run_command
from tests.support.market.market import Market

ROOT = Path(__file__).parents[2]


async def run(*arguments, nats_url=""):
    return await run_command("ocf", *arguments, environment={"MARKETPLACE_NATS_URL": nats_url})


async def test_check_tells_what_is_wrong_and_exits_with_1(tmp_path):
    files = render_package(live().history)
    write_package(tmp_path / "good.zip", files)
    assert await run("check", tmp_path / "good.zip") == (0, "ok\n")
    document = json.loads(files["Stakeholders.ocf.json"])
    document["items"][0]["current_relationship"] = None
    write_package(tmp_path / "bad", {**files, "Stakeholders.ocf.json": json.dumps(document).encode()})
    code, output = await run("check", tmp_path / "bad")
    assert code == 1
    assert "problem Manifest.ocf.json stakeholders_files Stakeholders.ocf.json: md5_differs" in output
    assert "null: current_relationship is null; give it a value" in output
    code, output = await run("check", tmp_path / "none.zip")
    assert (code, "package_unreadable" in output) == (2, True)


@pytest.mark.timeout(300)
async def test_export_import_export_on_a_real_log(tmp_path, jetstream_log, nats_server):
    market = Market(jetstream_log)
    trade = await market.trade()
    await found(market, trade.startup)
    await invest(market, trade, 50_000)
    heir = await market.party("Heir", "startup")
    issuer, inherited = rename_id("iss", trade.startup), rename_id("iss", heir)
    first, second = tmp_path / "first.zip", tmp_path / "second.zip"
    code, output = await run("export", issuer, "--to", first, nats_url=nats_server.url)
    assert code == 0, output
    code, output = await run("import", first, "--party", heir, "--dry-run", nats_url=nats_server.url)
    assert (code, "clean: an import appends" in output) == (0, True), output
    code, output = await run("import", first, "--party", heir, nats_url=nats_server.url)
    assert (code, f"imported {inherited}" in output) == (0, True), output
    code, again = await run("import", first, "--party", heir, nats_url=nats_server.url)
    assert (code, again) == (0, output)
    code, output = await run("export", inherited, "--to", second, nats_url=nats_server.url)
    assert code == 0, output
    assert second.read_bytes() == first.read_bytes()
    changed = tmp_path / "changed.zip"
    files = load_package(first)
    files["Stakeholders.ocf.json"] += b" "
    write_package(changed, files)
    code, output = await run("import", changed, "--party", heir, nats_url=nats_server.url)
    assert (code, "md5_differs" in output, "issuer_exists" in output) == (1, True, True), output
