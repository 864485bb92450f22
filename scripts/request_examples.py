"""Write the examples of requests that the OpenAPI document shows: `marketplace/api/http/examples.json`.

    uv run python scripts/request_examples.py

It plays the story of endpoints (`tests/api/test_endpoints.py`) on a market of its own, which takes about a minute, and
writes the shortest body that each operation accepted. The test of the story fails where they differ.
"""

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from marketplace.embedded.postgres import embedded_postgres
from marketplace.log.memory import MemoryLog
from tests.api.stage import open_stage
from tests.api.test_endpoints import tell
from tests.contracts.market import ROOT

EXAMPLES = ROOT / "marketplace" / "api" / "http" / "examples.json"


async def record(folder: Path) -> dict[str, Any]:
    """Return the shortest body that each operation of the story accepted, by the operation's id."""
    async with embedded_postgres(folder, durable=False) as postgres:
        database_url = await postgres.create_database("examples")
        async with open_stage(MemoryLog(), database_url, worker=True, embedded=True) as stage:
            _, documented, _ = await tell(stage)
    return dict(sorted(documented.examples.found.items()))


def main() -> int:
    """Write the file and return 0."""
    with tempfile.TemporaryDirectory(prefix="marketplace-examples-") as temporary:
        Path(temporary).chmod(0o711)  # PostgreSQL runs as another user than root
        examples = asyncio.run(record(Path(temporary) / "postgres"))
    EXAMPLES.write_text(json.dumps(examples, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {len(examples)} examples, {len(json.dumps(examples)):,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
