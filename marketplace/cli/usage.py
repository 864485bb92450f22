"""`marketplace usage`: import other systems' metering, through the API like any meter."""

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

from cyclopts import App, Parameter

from marketplace.cli.calling import run_call
from marketplace.cli.metering.dcgm import parse_exposition
from marketplace.cli.metering.slurm import parse_accounting
from marketplace.cli.output import CONSOLE
from marketplace.client import MarketplaceClient
from marketplace.core.errors import Refusal
from marketplace.domain.metering.usage import READINGS_MAX, SAMPLES_MAX

app = App(name="usage")
FILE_BYTES_MAX: Final = 256_000_000


@app.command(name="import")
def import_file(
    file: Path,
    /,
    *,
    grant: str,
    source: str = "urn:dcgm-exporter",
    at: datetime | None = None,
    api_url: Annotated[str, Parameter(env_var="MARKETPLACE_API_URL")] = "http://127.0.0.1:8000",
    api_key: Annotated[str, Parameter(env_var="MARKETPLACE_API_KEY")],
) -> int:
    """Import FILE: an exposition of dcgm-exporter as evidence, or the output of `sacct --json` as usage.

    A repeated import counts nothing twice.

    Args:
        file: At most 256 MB. A file that begins with a brace is Slurm's.
        grant: The grant that it is about.
        source: For evidence, the source of the samples.
        at: For evidence, when it was taken; now by default.
        api_url: Where the API is.
        api_key: A key of the grant's provider or startup.

    Returns:
        0 if everything was accepted; 1 if readings were rejected or are in conflict, or samples left
            out; 2 if the file cannot be read.
    """

    async def main() -> int:
        text = _load(file)
        async with MarketplaceClient(api_url, api_key) as client:
            if text.lstrip().startswith("{"):
                return await _import_readings(client, text, grant)
            return await _import_evidence(client, text, grant, source, at or datetime.now(UTC))

    return run_call(main(), api_url)


def _load(file: Path) -> str:
    try:
        if file.stat().st_size > FILE_BYTES_MAX:
            raise Refusal("file_too_large", f"{file} has more than {FILE_BYTES_MAX} bytes; split it")
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Refusal("file_unreadable", f"{file} cannot be read: {error}") from None


async def _import_readings(client: MarketplaceClient, text: str, grant_id: str) -> int:
    account = parse_accounting(text, grant_id)
    outcomes: Counter[str] = Counter()
    for begin in range(0, len(account.events), READINGS_MAX):
        receipt = await client.usage.ingest(account.events[begin : begin + READINGS_MAX])
        for reading in receipt.readings:
            outcomes[reading.outcome] += 1
            if reading.message is not None:
                CONSOLE.print(f"{reading.reading_id} {reading.outcome} {reading.code}: {reading.message}")
    for reason, jobs in sorted(account.skipped.items()):
        CONSOLE.print(f"{jobs} jobs skipped, {reason}")
    CONSOLE.print(", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items())) or "no readings")
    return 1 if outcomes["rejected"] + outcomes["conflict"] else 0


async def _import_evidence(client: MarketplaceClient, text: str, grant_id: str, source: str, at: datetime) -> int:
    samples, is_whole = parse_exposition(text, at), True
    for begin in range(0, len(samples), SAMPLES_MAX):
        receipt = await client.usage.keep_evidence(
            grant_id, source=source, samples=tuple(samples[begin : begin + SAMPLES_MAX])
        )
        for cause in receipt.left_out:
            is_whole = False
            CONSOLE.print(f"{cause.code}: {cause.message}")
    said = "kept as evidence" if is_whole else "sent; the others are kept as evidence"
    CONSOLE.print(f"{len(samples)} samples of {len({sample.device for sample in samples})} devices {said}")
    return 0 if is_whole else 1
