"""`marketplace log audit`: recompute the market from its raw events, with code that is not the market's."""

import json
from collections.abc import AsyncGenerator
from typing import Final

from cyclopts import App
from cyclopts.types import ExistingFile

from marketplace.auditor.report import Audit
from marketplace.auditor.stream import Message, read_annotations, read_stream
from marketplace.cli.console import DatabaseUrl, NatsUrl, configure_logging, run
from marketplace.cli.output import CONSOLE, mark
from marketplace.log.inboxes import derive_inbox_prefix
from marketplace.runtime.process.config import load_settings

AUDIT: Final = App(name="audit")
FOUND: Final = 3


@AUDIT.default
def audit(
    *,
    hanging: bool = False,
    index: dict[str, ExistingFile] | None = None,
    stream: str = "MARKETPLACE",
    inbox_prefix: str | None = None,
    nats_url: NatsUrl = None,
    database_url: DatabaseUrl = None,
) -> int:
    """Audit the raw stream, and the tables if a database is given. Exits with 3 if a rule is broken.

    The market may run meanwhile: the stream is audited up to where the tables stand.

    Args:
        hanging: Also report what should have ended: auctions, locked orders, holds, statements and grants.
        index: A published index to compute again: --index.CLASS FILE, with an answer of GET /v1/market/index.
        stream: Name of the stream.
        inbox_prefix: The inbox prefix of this NATS user; by default _INBOX_ and its name in capitals.
        nats_url: Servers and a user that may read, separated by commas.
        database_url: postgresql://… of the projections; without one only the events are audited.
    """
    configure_logging()
    published = {gpu_class: json.loads(file.read_text()) for gpu_class, file in (index or {}).items()}

    async def main() -> int:
        settings = load_settings(nats_url=nats_url, database_url=database_url)
        audited = Audit()
        prefix = inbox_prefix or settings.nats_inbox_prefix or derive_inbox_prefix(settings.nats_url)
        annotations = await read_annotations(settings.nats_url, stream=stream, inbox_prefix=prefix)

        def read(after: int) -> AsyncGenerator[Message]:
            return read_stream(settings.nats_url, stream=stream, inbox_prefix=prefix, after=after)

        last = await audited.read(read(0), annotations)
        for gpu_class, points in published.items():
            audited.index.check(gpu_class, points, last)
        rows = 0 if settings.database_url is None else await audited.compare(settings.database_url, read)
        return _print(audited, audited.chains.last, rows, hanging=hanging)

    return run(main())


def _print(audited: Audit, last: int, rows: int, *, hanging: bool) -> int:
    findings = audited.findings
    for rule, sequence, text in findings.kept:
        CONSOLE.print(mark("red", f"{rule:>10}"), f"event {sequence}: {text}", soft_wrap=True)
    for rule, count in findings.counts.items():
        if count > findings.kept_max:
            CONSOLE.print(mark("red", f"{rule:>10}"), f"{count - findings.kept_max} more like these")
    left = audited.list_hanging() if hanging else []
    for text in left:
        CONSOLE.print(mark("red", f"{'hanging':>10}"), text, soft_wrap=True)
    broken = sum(findings.counts.values()) + len(left)
    annotated = ", ".join(f"{sequence} {effect}" for sequence, effect in audited.chains.annotated.items())
    if annotated:
        CONSOLE.print("Annotated by an operator:", annotated.replace("_", " "), soft_wrap=True)
    for sequence, lost in audited.chains.accepted.items():
        known = f"{lost:,} events are lost there" if lost else "nothing proved that an event was there"
        CONSOLE.print(f"Position {sequence} is empty, as an operator accepted: {known}", soft_wrap=True)
    if broken:
        CONSOLE.print(mark("bold red", f"{broken:,} findings"), f"in {last:,} events and {rows:,} rows")
        return FOUND
    CONSOLE.print(
        mark("green", "nothing found:"),
        f"{last:,} events of {len(audited.chains.heads):,} aggregates and {rows:,} rows of tables",
    )
    return 0
