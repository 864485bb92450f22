"""Check the HTTP contract with other projects' programs, against a running market.

    uv run --group contract --group node python scripts/contract_checks.py [--seconds 40]

- The OpenAPI document: its validator, and Spectral's recommended rules without a warning.
- Two clients are generated from it, in Python and in TypeScript. mypy and tsc accept them, and each trades: a pool, a
  lot, an order, its grant with service terms, a reading, a statement, and answers to errors.
- schemathesis sends requests of every operation with the platform's key and a startup's, from a fixed seed, with all of
  its checks.
- A bill of materials, as CycloneDX, of what a production image installs, and of the scripts of others in our wheel.

npm installs into a temporary folder, so that no file names a registry.
"""

import argparse
import asyncio
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import httpx
from openapi_spec_validator import OpenAPIV31SpecValidator

from marketplace.api.http.examples import load_examples
from marketplace.app import build_server
from marketplace.embedded.postgres import embedded_postgres
from marketplace.embedded.process import find_free_port
from marketplace.log.memory import MemoryLog
from scripts.node_checks import Failed, find_node
from scripts.vendored import list_vendored
from tests.api.stage import ADMIN_KEY, open_stage, running
from tests.contracts.market import ROOT

PROGRAMS: Final = ROOT / "tests" / "contracts" / "generated"
BIN: Final = Path(sys.executable).parent
SECONDS_MAX: Final = 300
SEED: Final = "1"
EACH: Final = "3"
"""Random requests of each operation with each key."""


@asynccontextmanager
async def open_market(folder: Path) -> AsyncIterator[dict[str, str]]:
    """Run an API with a worker, PostgreSQL and a log in memory; yield its address, ids and keys.

    `openapi.json` is then in the folder.
    """
    async with embedded_postgres(folder / "postgres", durable=False) as postgres:
        database_url = await postgres.create_database("contract")
        bounds = {"anonymous_requests_per_minute_max": 10**6}
        opened = open_stage(MemoryLog(), database_url, worker=True, listening=False, embedded=True, **bounds)
        async with opened as stage:  # schemathesis holds answers against the document itself
            port = find_free_port()
            async with running(build_server(stage.application, "127.0.0.1", port).serve()):
                document = (await stage.admin.get("/schema/openapi.json")).content
                (folder / "openapi.json").write_bytes(document)
                facts = {"url": f"http://127.0.0.1:{port}", "admin_key": ADMIN_KEY}
                for role in ("provider", "startup"):
                    party_id = await stage.register(role, role, usd="100000")
                    body = {"name": role, "scopes": ["*"], "party_id": party_id, "person": None}
                    issued = await stage.post(stage.admin, "/v1/api-keys", body)
                    facts |= {f"{role}_id": party_id, f"{role}_key": issued.json()["token"]}
                (folder / "facts.json").write_text(json.dumps(facts))
                yield facts


async def run(*command: str | Path, cwd: Path, seconds: int = 0, **environment: str) -> str:
    """Run a program and return what it prints.

    Raises:
        Failed: It exits with another code than 0, or takes more than `SECONDS_MAX` longer than `seconds`.
    """
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        cwd=cwd,
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), seconds + SECONDS_MAX)
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode != 0:
        raise Failed(f"{' '.join(map(str, command))} exited with {process.returncode}:\n{output.decode()}")
    return output.decode()


async def check_document(folder: Path) -> None:
    """Hold the document against the OpenAPI specification."""
    document = json.loads((folder / "openapi.json").read_text())
    await asyncio.to_thread(OpenAPIV31SpecValidator(document).validate)
    print(f"OpenAPI: {len(document['paths'])} paths, {len(document['components']['schemas'])} schemas, valid")


async def check_python(folder: Path) -> None:
    """Generate the Python client, check its types, and trade through it."""
    source, config = folder / "openapi.json", PROGRAMS / "config.yml"
    options = ("--path", source, "--output-path", folder / "market_client", "--meta", "none", "--config", config)
    await run(BIN / "openapi-python-client", "generate", "--fail-on-warning", *options, cwd=folder)
    shutil.copy(PROGRAMS / "trade.py", folder)
    # the generator's own templates are looser than our code: mypy is strict with the trade alone
    await run(BIN / "mypy", "--strict", "--follow-imports=silent", "trade.py", cwd=folder)
    print((await run(sys.executable, "trade.py", "facts.json", cwd=folder)).strip())


async def check_node(folder: Path) -> None:
    """Hold the document against Spectral's rules; generate the TypeScript client, check its types, trade through it.

    Raises:
        Failed: Spectral finds something in ours, or nothing in a broken one.
    """
    node, npm = find_node()
    shutil.copytree(PROGRAMS, folder / "node")
    folder /= "node"
    options = ("--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
    await run(*npm, "install", *options, cwd=folder)
    broken = json.loads((folder.parent / "openapi.json").read_text())
    del broken["paths"]["/v1/orders"]["post"]["description"], broken["info"]["contact"]
    (folder / "broken.json").write_text(json.dumps(broken))
    linted = await run(node, "spectral.mjs", "../openapi.json", "broken.json", cwd=folder)
    ours, wrong = (json.loads(line)["found"] for line in linted.splitlines())
    if ours:
        raise Failed("Spectral finds:\n" + "\n".join(ours))
    if len(wrong) != 2:  # noqa: PLR2004 - the two members that were removed
        raise Failed(f"Spectral finds {wrong} in a document without a description and a contact")
    print("Spectral: no error and no warning")
    modules, made = folder / "node_modules", ("-o", "schema.d.ts", "--default-non-nullable", "false")
    await run(node, modules / "openapi-typescript/bin/cli.js", "../openapi.json", *made, cwd=folder)
    flags = ("--strict", "--noEmit", "--module", "nodenext", "--target", "es2022", "--allowImportingTsExtensions")
    more = ("--lib", "es2022,dom", "--noUncheckedIndexedAccess", "--skipLibCheck", "--types", "node")
    await run(node, modules / "typescript/bin/tsc", *flags, *more, "trade.ts", cwd=folder)
    print((await run(node, "trade.ts", "../facts.json", cwd=folder)).strip())


async def list_known(facts: dict[str, str], key: str) -> dict[str, str]:
    """Return ids of what a key sees, by the member that names them: of the newest where there are several."""
    known: dict[str, str] = {}
    async with httpx.AsyncClient(base_url=facts["url"], headers={"Authorization": f"Bearer {key}"}) as client:
        document = (await client.get("/schema/openapi.json")).json()
        for path, item in document["paths"].items():
            if "get" in item and path.startswith("/v1/") and "{" not in path:
                answer = await client.get(path)
                told = answer.json() if answer.is_success else ()
                listed = told.get("items", ()) if isinstance(told, dict) else told
                for one in (each for each in listed if isinstance(each, dict)):
                    known |= {name: value for name, value in one.items() if name.endswith("_id") and value}
    return known


async def add_company(facts: dict[str, str]) -> dict[str, str]:
    """Form a company of the startup, with a class of stock; register a fund and a party that may be suspended.

    Returns:
        Ids to use in requests. The key and the party are spare ones, so that no request ends what others need.
    """
    admin = {"Authorization": f"Bearer {facts['admin_key']}"}
    examples = load_examples(datetime.now(UTC))
    async with httpx.AsyncClient(base_url=facts["url"], headers=admin) as client:

        async def post(path: str, body: Any) -> str:
            answer = await client.post(path, json=body, headers={"Idempotency-Key": str(uuid4())})
            if not answer.is_success:
                raise Failed(f"{path}: {answer.text}")
            created: str = answer.json().get("id") or answer.json()["key_id"]
            return created

        party = {"jurisdiction": "US"}
        fund = await post("/v1/parties", {**party, "name": "fund", "roles": ["fund"]})
        spare = await post("/v1/parties", {**party, "name": "spare", "roles": ["startup"]})
        key = await post("/v1/api-keys", {"name": "spare", "scopes": ["*:read"], "party_id": spare, "person": None})
        company = {**examples["issuers.form"], "party_id": facts["startup_id"]}
        issuer = await post("/v1/issuers", company)
        await post(f"/v1/issuers/{issuer}/stock-classes", examples["issuers.create_stock_class"])
    parties = {name: facts[name] for name in ("startup_id", "provider_id")}
    return parties | {"issuer_id": issuer, "holder_id": fund, "party_id": spare, "key_id": key}


async def check_requests(folder: Path, facts: dict[str, str], seconds: int) -> None:
    """Let schemathesis send requests with both keys, for so many seconds each, about what the market then has.

    First come the examples and a few random requests of every operation, then what its coverage phase makes of each,
    as far as the seconds last.

    Raises:
        Failed: A status of 500 or more, or a request or answer otherwise than the document says.
    """
    common = ("--checks", "all", "--seed", SEED, "--continue-on-failure", "--no-shrink")
    company = await add_company(facts)

    async def send(role: str) -> None:
        place = folder / f"schemathesis-{role}"
        shutil.copytree(PROGRAMS, place)
        known = await list_known(facts, facts[f"{role}_key"]) | company
        (place / "known.json").write_text(json.dumps(known))
        key = ("-H", f"Authorization: Bearer {facts[f'{role}_key']}")
        target = (folder / "openapi.json", "-u", facts["url"], *key, "--max-time", str(seconds))
        command = (BIN / "st", "--config-file", "schemathesis.toml", "run", *target, *common)
        for phases in (("examples,fuzzing", "--max-examples", EACH), ("coverage",)):
            said = await run(
                *command, "--phases", *phases, cwd=place, seconds=seconds, PYTHONPATH=str(place), COLUMNS="100"
            )
            told = re.findall(r"^ +((?:Tested: |\d+ generated).*)$", said, re.MULTILINE)
            print(f"schemathesis, {role}, {phases[0]}: operations {'; '.join(told)}")

    await asyncio.gather(send("admin"), send("startup"))


async def write_bill(folder: Path) -> None:
    """Write `bill-of-materials.json`, CycloneDX, of what the image installs and our wheel carries, with hashes."""
    exported = ("--quiet", "--no-default-groups", "--no-emit-project", "--format", "requirements-txt")
    text = await run("uv", "export", *exported, cwd=ROOT)
    (folder / "requirements.txt").write_text(text)
    bill = ROOT / "dist" / "bill-of-materials.json"
    bill.parent.mkdir(exist_ok=True)
    command = (BIN / "cyclonedx-py", "requirements", folder / "requirements.txt", "--output-reproducible", "-o", bill)
    await run(*command, cwd=folder)
    written = json.loads(bill.read_text())
    bare = [one["name"] for one in written["components"] if not one.get("externalReferences")]
    written["components"] += list_vendored()
    bill.write_text(json.dumps(written, indent=2))
    print(f"bill of materials: {len(written['components'])} packages in dist/{bill.name}, {len(bare)} without hashes")


async def check(folder: Path, seconds: int) -> None:
    """Run every check. Each trade moves the market's clock, so nothing else uses the market meanwhile."""

    async def use() -> None:
        async with open_market(folder) as facts:
            await check_python(folder)
            await check_node(folder)
            await check_requests(folder, facts, seconds)
            await check_document(folder)

    results = await asyncio.gather(use(), write_bill(folder), return_exceptions=True)
    failures = [result for result in results if isinstance(result, BaseException)]
    if failures:
        raise Failed("\n".join(str(failure) or repr(failure) for failure in failures))


def main() -> int:
    """Run every check; return 1 if one fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--seconds", type=int, default=40, help="how long schemathesis sends at most, twice, with each key"
    )
    seconds: int = parser.parse_args().seconds
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="marketplace-contract-") as temporary:
        Path(temporary).chmod(0o711)  # PostgreSQL runs as another user than root
        try:
            asyncio.run(check(Path(temporary), seconds))
        except Failed as failed:
            print(failed, file=sys.stderr)
            return 1
    print(f"{time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
