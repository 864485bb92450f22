"""`marketplace auction`: check a cleared auction, from the log or from a file, and export it for other auditors."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any, Final

from cyclopts import App
from rich.table import Table

from marketplace.clearing.bundle import BYTES_MAX, parse_bundle, render_bundle
from marketplace.clearing.model import Book, Clearing
from marketplace.clearing.verify.audit_values import Violation
from marketplace.clearing.verify.verifier import find_violations
from marketplace.cli.console import NatsUrl, configure_logging, run
from marketplace.cli.output import CONSOLE, ERRORS
from marketplace.cli.price_loss import render_price_loss
from marketplace.core.errors import Refusal
from marketplace.core.ids import is_id
from marketplace.runtime.auctions.audit import Published, load_published, repeat
from marketplace.runtime.process.config import load_settings
from marketplace.runtime.process.log import open_log

app = App(name="auction")
EXIT_BROKEN: Final = 3
BUNDLE: Final = "auction.json"


@app.command
def verify(target: str, /, *, nats_url: NatsUrl = None) -> int:
    """Check a cleared auction. Exits with 3 if a rule is broken, and names each.

    An id is looked up in the log: the engine runs again on the frozen book, its certificate must be identical, and the
    independent verifier checks the published result. A file or folder is checked offline, without the engine: the
    verifier needs only the book and the result.

    Args:
        target: An auction's id, a file that `export` or `marketplace clear --certificate` wrote, or a folder with one.
        nats_url: Servers and the application's user, separated by commas; for an id.
    """
    configure_logging()
    path = Path(target)
    if path.exists() or not is_id(target, "auc"):

        async def main() -> int:
            return _verify_file(path)

        return run(main())
    return run(_verify_logged(target, nats_url))


@app.command
def export(auction_id: str, /, *, to: Path, nats_url: NatsUrl = None) -> int:
    """Write the frozen book and the result of a cleared auction, for `marketplace auction verify` elsewhere.

    Args:
        auction_id: For example `auc_01k…`.
        to: Folder for `auction.json`; created if it is missing.
        nats_url: Servers and the application's user, separated by commas.
    """
    configure_logging()

    async def main() -> None:
        async with open_log(load_settings(nats_url=nats_url)) as log:
            published = await load_published(log, auction_id)
        _write(to, published)
        CONSOLE.print(f"wrote {to / BUNDLE}; check it with: marketplace auction verify {to}", soft_wrap=True)

    return run(main())


def _write(folder: Path, published: Published) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(render_bundle(published.book, published.clearing), indent=1, sort_keys=True)
    (folder / BUNDLE).write_text(text + "\n", encoding="utf-8")


def _verify_file(path: Path) -> int:
    book, clearing = parse_bundle(_read(path / BUNDLE if path.is_dir() else path))
    return _tell(book, clearing, find_violations(book, clearing), "not run: a file is checked only by the verifier")


def _read(file: Path) -> Any:
    try:
        if file.stat().st_size > BYTES_MAX:
            raise Refusal("malformed_bundle", f"{file} is larger than {BYTES_MAX} bytes; export the auction again")
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        said = f"there is no file {file}, and an auction's id is auc_ and 26 characters; check the path"
        raise Refusal("malformed_bundle", said) from error
    except (OSError, ValueError, RecursionError) as error:
        raise Refusal("malformed_bundle", f"{file} is not readable JSON: {error}; export it again") from error


async def _verify_logged(auction_id: str, nats_url: str | None) -> int:
    async with open_log(load_settings(nats_url=nats_url)) as log:
        published = await load_published(log, auction_id)
    book, clearing = published.book, published.clearing
    violations = list(find_violations(book, clearing))
    again = await asyncio.to_thread(_repeat, published)
    if isinstance(again, Violation):
        violations.append(again)
        again = "another certificate"
    return _tell(book, clearing, tuple(violations), again)


def _repeat(published: Published) -> str | Violation:
    try:
        found = repeat(published)
    except Refusal as refusal:
        if refusal.code != "engine_differs":
            raise
        return refusal.message
    if found == published.clearing.certificate:
        return "the identical certificate"
    return Violation("repeat", "certificate", f"the engine, run again, comes to {found}")


def _count_backstops(clearing: Clearing) -> list[tuple[str, str]]:
    """Return the row of the backstop orders, if there are any."""
    served = sum(decision.match is not None for decision in clearing.backstops)
    return [("backstops served", f"{served:,} of {len(clearing.backstops):,}")] if clearing.backstops else []


def _judge(broken: int) -> str:
    return f"{broken} rules are broken" if broken > 1 else "one rule is broken" if broken else "every rule holds"


def _tell(book: Book, clearing: Clearing, violations: tuple[Violation, ...], again: str) -> int:
    certificate = clearing.certificate
    table = Table(show_header=False)
    for label, value in (
        ("book", certificate.book_hash),
        ("orders, lots, pools", f"{len(book.orders):,}, {len(book.lots):,}, {len(book.pools):,}"),
        ("accepted", f"{sum(decision.match is not None for decision in clearing.decisions):,}"),
        *_count_backstops(clearing),
        ("welfare", f"{certificate.welfare_usd:,f} USD"),
        ("proven bound", f"{certificate.lp_bound_usd:,f} USD"),
        ("gap", f"{100 * certificate.gap:f} %"),
        ("cost of uniform prices", render_price_loss(certificate)),
        ("idle supply in the money", f"{certificate.idle_supply_usd:,.2f} USD"),
        ("engine, seed, rounds", f"{certificate.engine_version}, {certificate.seed}, {certificate.iterations}"),
        ("engine run again", again),
        ("verifier", _judge(len(violations))),
    ):
        table.add_row(label, value)
    CONSOLE.print(table)
    for violation in violations:
        ERRORS.print(f"broken {violation.code} at {violation.subject}: {violation.text}", soft_wrap=True)
    return EXIT_BROKEN if violations else 0


if __name__ == "__main__":
    sys.exit(app())
