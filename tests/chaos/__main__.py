"""Run it: ``python -m tests.chaos --minutes 10 --servers 3 --seed 1``; `just chaos` does.

Prints one line per fault, and at the end what was sent, how long it took, and what is wrong. Exits with 1 where
anything is, and keeps the folder then, with the log in ``log.jsonl``; ``--kept`` audits that again.
"""

import argparse
import asyncio
import collections
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.chaos.checks import Witness, audit_kept, check, end_market, wait_for_end
from tests.chaos.faults import Fault, list_faults
from tests.chaos.load import Journal, Load, lay_market
from tests.chaos.network import Network, can_isolate, enter_isolation
from tests.chaos.stack import NAMES, Stack, open_stack

CALM_SECONDS: Final = 5.0
FINISH_SECONDS_MAX: Final = 120.0
SHOWN_MAX: Final = 40


def parse_arguments() -> argparse.Namespace:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(prog="chaos", description="Break a running market, and audit it after each fault.")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long to go on with new faults")
    parser.add_argument("--servers", type=int, choices=(1, 3), default=3, help="NATS servers")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the load and of the order of faults")
    parser.add_argument("--fault", action="append", default=[], help="only faults whose name holds this; repeatable")
    parser.add_argument("--folder", type=Path, help="where to keep servers' files and logs; a new one by default")
    parser.add_argument("--kept", type=Path, help="only audit the log.jsonl that a run left")
    return parser.parse_args()


def say(begun: float, text: str) -> None:
    """Print a line with the seconds since the start."""
    print(f"{time.monotonic() - begun:7.1f}  {text}", flush=True)


async def break_things(stack: Stack, journal: Journal, witness: Witness, options: argparse.Namespace) -> list[str]:
    """Inject fault after fault until the time is up; return what is wrong as soon as anything is."""
    chance, begun = random.Random(options.seed), time.monotonic()
    faults = [
        fault for fault in list_faults(stack) if not options.fault or any(part in fault.name for part in options.fault)
    ]
    assert faults, "no fault of this name can be made here"
    queue: list[Fault] = []
    while time.monotonic() - begun < 60 * options.minutes:
        queue = queue or chance.sample(faults, len(faults))
        fault = queue.pop()
        started = time.monotonic()
        await fault.run(stack, chance)
        lasted = time.monotonic() - started
        journal.faults.append(fault.name)
        await asyncio.sleep(CALM_SECONDS)
        ended = stack.start_ended()
        await stack.wait_until_ready()
        wrong = await check(witness, journal) + stack.list_complaints()
        acknowledged = sum(entry.accepted for entry in journal.entries)
        again = f", started again: {', '.join(ended)}" if ended else ""
        say(
            begun,
            f"{fault.name:22} {lasted:5.1f} s; {witness.audit.chains.last:6} events, {acknowledged:6} accepted{again}",
        )
        if wrong:
            return wrong
    return []


async def run(options: argparse.Namespace, folder: Path) -> int:
    """Play one run, and return its exit code."""
    network = None
    if options.servers > 1 and can_isolate():
        network = Network()
        network.start(NAMES)
    begun, journal = time.monotonic(), Journal()
    try:
        async with open_stack(folder, options.servers, network) as stack:
            urls = stack.api_urls
            market = await lay_market(urls, stack.admin_key, journal, options.seed)
            load = Load(market, urls, stack.admin_key, journal, options.seed)
            witness = Witness(stack)
            load.start()
            wrong = await break_things(stack, journal, witness, options)
            await load.stop(FINISH_SECONDS_MAX)
            unknown = journal.list_unknown()
            wrong += [f"{entry.path} with key {entry.key} never ended: {entry.errors[-3:]}" for entry in unknown]
            if not wrong:
                await end_market(market)
                wrong = await wait_for_end(stack, witness, market) + journal.wrong + witness.compare(journal.entries)
            if wrong:
                await witness.keep(folder / "log.jsonl")
    finally:
        if network is not None:
            network.stop()
    report(options, journal, witness, wrong, time.monotonic() - begun)
    return 1 if wrong else 0


def report(options: argparse.Namespace, journal: Journal, witness: Witness, wrong: list[str], seconds: float) -> None:
    """Print what a run was, and what it found."""
    errors = collections.Counter(error for entry in journal.entries for error in entry.errors)
    waited = sorted(journal.seconds) or [0.0]
    faults = ", ".join(f"{name} {count}" for name, count in sorted(collections.Counter(journal.faults).items()))
    accepted, requests = sum(entry.accepted for entry in journal.entries), sum(one.tries for one in journal.entries)
    print(f"\nseed {options.seed}, {options.servers} servers, {seconds:.0f} s; {len(journal.faults)} faults: {faults}")
    print(
        f"{len(journal.entries)} commands, {accepted} accepted, {requests} requests, {witness.audit.chains.last} events"
    )
    print(f"a command took {waited[len(waited) // 2]:.3f} s in the median, {waited[-1]:.1f} s at most")
    for error, count in errors.most_common(12):
        print(f"  {count:6} {error[:120]}")
    for text in wrong[:SHOWN_MAX]:
        print(f"WRONG {text}")
    print("wrong" if wrong else "journal, auditor and tables agree; nothing is left hanging")


def main() -> int:
    """Run in namespaces of our own where the machine allows them."""
    options = parse_arguments()
    if options.kept:
        wrong = audit_kept(options.kept)
        print("\n".join(wrong) or "nothing found")
        return 1 if wrong else 0
    if can_isolate():
        enter_isolation(sys.argv[1:])
    folder = options.folder or Path(tempfile.mkdtemp(prefix="marketplace-chaos-"))
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    code = asyncio.run(run(options, folder))
    if code or options.folder:
        print(f"files and logs are in {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return code


sys.exit(main())
