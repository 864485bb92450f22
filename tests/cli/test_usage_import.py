"""`marketplace usage import` as a process against a real API: what is sent again counts once."""

import json
from pathlib import Path

from marketplace.core.timeline_sums import sum_all
from marketplace.log.memory import MemoryLog
from tests.api.doors import serve
from tests.api.meters import open_site
from tests.api.stage import ADMIN_KEY
from tests.cli.test_metering import DATA, job
from tests.support.commands import run_command


async def run_import(file: Path, grant_id: str, address: str, *more: str) -> tuple[int, str]:
    named = ("--grant", grant_id, "--api-url", address, "--api-key", ADMIN_KEY)
    return await run_command("usage", "import", file, *named, *more)


async def test_jobs_of_slurm_become_usage_once(tmp_path: Path):
    async with open_site(MemoryLog()) as site, serve(site.stage.application) as address:
        grant_id, file = await site.grant(), tmp_path / "sacct.json"
        jobs = [job(1, site.hour(1)), job(2, site.hour(4), gpus=8), job(3, site.hour(5), lasting=None)]
        file.write_text(json.dumps({"jobs": jobs}))
        code, said = await run_import(file, grant_id, address)
        assert (code, said.splitlines()) == (0, ["1 jobs skipped, still running", "2 accepted"])
        usage = await site.count(grant_id)
        assert sum_all(usage.timeline) == (16 + 8) * 7_200
        file.write_text(json.dumps({"jobs": [*jobs, job(4, site.hour(1.5))]}))
        code, said = await run_import(file, grant_id, address)
        assert code == 1
        assert "nodes_above_grant" in said
        assert said.splitlines()[-1] == "2 duplicate, 1 rejected"


async def test_an_exposition_becomes_evidence_and_no_usage(tmp_path: Path):
    async with open_site(MemoryLog()) as site, serve(site.stage.application) as address:
        grant_id = await site.grant()
        taken = ("--at", f"{site.hour(1):%Y-%m-%dT%H:%M:%S%z}")
        code, said = await run_import(DATA / "exporter.prom", grant_id, address, *taken)
        assert (code, said.strip()) == (0, "3 samples of 3 devices kept as evidence")
        usage = await site.count(grant_id)
        assert (len(usage.looked), usage.readings.count) == (3, 0)
        code, said = await run_import(tmp_path / "missing", grant_id, address)
        assert code == 2
        assert "file_unreadable" in said
