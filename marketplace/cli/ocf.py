"""`marketplace ocf`: export an issuer as an Open Cap Table Format package, check a package, import one."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from cyclopts import App

from marketplace.application.equity.packages import import_issuer, judge_import
from marketplace.cli.console import NatsUrl, configure_logging, run
from marketplace.cli.output import CONSOLE, mark
from marketplace.core.errors import Refusal
from marketplace.core.ids import derive_command_id, is_id
from marketplace.execution.clock import MarketClock
from marketplace.execution.follower import Follower
from marketplace.execution.handler import Handler
from marketplace.execution.history import Histories, load_history
from marketplace.execution.unit_of_work import Context
from marketplace.ocf.container import compute_hash, load_package, write_package
from marketplace.ocf.findings import Finding
from marketplace.ocf.importing import check_files
from marketplace.ocf.package import render_package
from marketplace.runtime.process.config import load_settings
from marketplace.runtime.process.log import open_log

app = App(name="ocf")
PROBLEMS: Final = 1
_OPERATOR: Final = "platform"


@app.command
def check(package: Path, /) -> int:
    """Check a package: objects, files, manifest, references and life cycle. Exits with 1 if there is a problem.

    Args:
        package: A folder or a zip.
    """

    async def main() -> int:
        findings = check_files(load_package(package))
        _tell(findings)
        CONSOLE.print("ok" if not findings else f"{len(findings)} findings")
        return PROBLEMS if findings else 0

    return run(main())


@app.command
def export(issuer_id: str, /, *, to: Path, nats_url: NatsUrl = None) -> int:
    """Write an issuer as a package, with a sidecar for what the format cannot express.

    Args:
        issuer_id: For example `iss_01k…`.
        to: A `.zip`, or a new folder.
        nats_url: Servers and the application's user, separated by commas.
    """
    configure_logging()

    async def main() -> None:
        async with open_log(load_settings(nats_url=nats_url)) as log:
            history = await load_history(Histories(log), issuer_id)
        files = render_package(history)
        write_package(to, files)
        CONSOLE.print(
            mark("green", "written"),
            f"{to}: {len(files)} files of {len(history.acts):,} acts up to event "
            f"{history.last_sequence:,}, SHA-256 {compute_hash(files)}",
            soft_wrap=True,
        )

    return run(main())


@app.command(name="import")
def import_(package: Path, /, *, party: str, dry_run: bool = False, nats_url: NatsUrl = None) -> int:
    """Import an issuer from a package, in one atomic append. Exits with 1 if the package has problems.

    Args:
        package: A folder or a zip.
        party: The startup, which has no issuer yet, for example `pty_01k…`.
        dry_run: List every problem and every loss, and write nothing.
        nats_url: Servers and the application's user, separated by commas.
    """
    configure_logging()
    source = package.resolve().name

    async def main() -> int:
        if not is_id(party, "pty"):
            raise Refusal("party_unknown", f"{party!r} is not the id of a party; it looks like pty_01k…")
        files = load_package(package)
        async with open_log(load_settings(nats_url=nats_url)) as log:
            handler = Handler(log, MarketClock())
            await Follower(handler).start()
            digest = compute_hash(files)
            context = Context(
                command_id=derive_command_id(_OPERATOR, f"ocf import {party} {digest}"),
                fingerprint=digest,
                actor=_OPERATOR,
                party_id=None,
                at=handler.clock.now(),
            )
            judged = await judge_import(handler, context, party_id=party, files=files, source=source)
            known = not judged.is_clean and all(
                each.level == "loss" or each.code == "issuer_exists" for each in judged.findings
            )
            if dry_run or not (judged.is_clean or known):
                _tell(judged.findings)
                CONSOLE.print(f"clean: an import appends {judged.events:,} events" if judged.is_clean else "not clean")
                return 0 if judged.is_clean else PROBLEMS
            receipt = await import_issuer(handler, context, party_id=party, files=files, source=source)
        CONSOLE.print(mark("green", "imported"), f"{receipt.id} at event {receipt.sequence:,}")
        return 0

    return run(main())


def _tell(findings: Iterable[Finding]) -> None:
    for finding in findings:
        where = " ".join(part for part in (finding.file, finding.item) if part) or "package"
        CONSOLE.print(f"{finding.level} {where}: {finding.code}: {finding.reason}", soft_wrap=True)
