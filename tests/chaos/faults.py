"""What is broken, one at a time: each fault begins, lasts, and is healed."""

import asyncio
import contextlib
import os
import random
import shutil
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.chaos.network import can_isolate
from tests.chaos.stack import APIS, WORKERS, Stack, copy_store

SECONDS_MIN: Final = 2.0
SECONDS_MAX: Final = 30.0
FAKE_TIME: Final = (
    Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"),
    Path("/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1"),
)
BALLAST: Final = "ballast"
CHUNK: Final = bytes(1 << 20)


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault.

    Attributes:
        name: What it is called.
        run: Breaks something, waits, and heals it.
        cluster: Whether it needs three servers.
        network: Whether it needs hosts of their own.
        mounts: Whether it needs disks of their own.
    """

    name: str
    run: Callable[[Stack, random.Random], Awaitable[None]]
    cluster: bool = False
    network: bool = False
    mounts: bool = False


async def _last(chance: random.Random) -> None:
    """Let a fault last: mostly some seconds, now and then half a minute."""
    await asyncio.sleep(min(SECONDS_MIN + chance.expovariate(1 / 5), SECONDS_MAX))


async def _kill(stack: Stack, chance: random.Random, names: tuple[str, ...]) -> None:
    for name in names:
        stack.processes[name].kill()
    await _last(chance)
    for name in names:
        if not stack.processes[name].running:
            stack.processes[name].start()


async def kill_api(stack: Stack, chance: random.Random) -> None:
    """Kill one API."""
    await _kill(stack, chance, (chance.choice(APIS),))


async def kill_worker(stack: Stack, chance: random.Random) -> None:
    """Kill one worker, or both."""
    await _kill(stack, chance, chance.choice([(WORKERS[0],), (WORKERS[1],), WORKERS]))


async def pause(stack: Stack, chance: random.Random) -> None:
    """Let any one process stand still."""
    process = stack.processes[chance.choice(list(stack.processes))]
    process.signal(signal.SIGSTOP)
    await _last(chance)
    process.signal(signal.SIGCONT)


async def kill_nats(stack: Stack, chance: random.Random) -> None:
    """Kill the only server, or one, two or three of three."""
    if stack.single is not None:
        stack.single.kill(0)
        await _last(chance)
        await stack.single.start(0)
        return
    names = stack.list_nats()
    await _kill(stack, chance, tuple(chance.sample(names, chance.choice([1, 1, 2, 3]))))


async def kill_postgres(stack: Stack, chance: random.Random) -> None:
    """Kill PostgreSQL, which is away for a while."""
    assert stack.postgres is not None, "PostgreSQL was started"
    stack.postgres.kill()
    await _last(chance)
    await stack.restart_postgres()


async def pause_postgres(stack: Stack, chance: random.Random) -> None:
    """Let PostgreSQL stand still, with every session open."""
    assert stack.postgres is not None, "PostgreSQL was started"
    group = os.getpgid(stack.postgres.child.pid)
    os.killpg(group, signal.SIGSTOP)
    await _last(chance)
    os.killpg(group, signal.SIGCONT)


async def cut_cable(stack: Stack, chance: random.Random) -> None:
    """Pull the cable of one server, or of two."""
    assert stack.network is not None, "there are hosts"
    for name in chance.sample(stack.list_nats(), chance.choice([1, 1, 2])):
        stack.network.cut(name)
    await _last(chance)
    stack.network.heal()


async def part(stack: Stack, chance: random.Random) -> None:
    """Part one server from the other two, while clients reach all three."""
    assert stack.network is not None, "there are hosts"
    alone, *others = chance.sample(stack.list_nats(), 3)
    for other in others:
        stack.network.mute(alone, stack.network.hosts[other].address)
        stack.network.mute(other, stack.network.hosts[alone].address)
    await _last(chance)
    stack.network.heal()


async def mute(stack: Stack, chance: random.Random) -> None:
    """Lose what one server sends to another, and nothing else."""
    assert stack.network is not None, "there are hosts"
    one, other, _ = chance.sample(stack.list_nats(), 3)
    stack.network.mute(one, stack.network.hosts[other].address)
    await _last(chance)
    stack.network.heal()


async def wipe_disk(stack: Stack, chance: random.Random) -> None:
    """Replace one server's disk by an empty one."""
    name = chance.choice(stack.list_nats())
    stack.processes[name].kill()
    for entry in stack.store(name).iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    await _last(chance)
    stack.processes[name].start()


async def old_disk(stack: Stack, chance: random.Random) -> None:
    """Give one server back the disk that it had some seconds before."""
    name = chance.choice(stack.list_nats())
    process, store, kept = stack.processes[name], stack.store(name), stack.folder / "kept"
    process.kill()
    copy_store(store, kept)
    process.start()
    await _last(chance)
    process.kill()
    for entry in store.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    for entry in kept.iterdir():
        shutil.copytree(entry, store / entry.name) if entry.is_dir() else shutil.copy2(entry, store)
    process.start()


async def fill_disk(stack: Stack, chance: random.Random) -> None:
    """Fill one server's disk, or two; then make room and start those servers again, as an operator would."""
    if stack.single is not None:
        ballast = stack.store("") / BALLAST
        await asyncio.to_thread(_fill, ballast)
        await _last(chance)
        ballast.unlink()
        stack.single.kill(0)
        await stack.single.start(0)
        return
    names = chance.sample(stack.list_nats(), chance.choice([1, 1, 2]))
    for name in names:
        await asyncio.to_thread(_fill, stack.store(name) / BALLAST)
    await _last(chance)
    for name in names:
        (stack.store(name) / BALLAST).unlink()
        stack.processes[name].kill()
        stack.processes[name].start()


def _fill(path: Path) -> None:
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as ballast:
        while True:
            ballast.write(CHUNK)


async def shift_clock(stack: Stack, chance: random.Random) -> None:
    """Let one process of the market run two hours ahead or behind; it begins and ends by a restart."""
    library = next(path for path in FAKE_TIME if path.exists())
    process = stack.processes[chance.choice([*APIS, *WORKERS])]
    process.kill()
    offset = chance.choice(["+2h", "-2h"])
    process.start({"LD_PRELOAD": str(library), "FAKETIME": offset, "DONT_FAKE_MONOTONIC": "1"})
    await _last(chance)
    await asyncio.sleep(5)
    process.kill()
    process.start()


FAULTS: Final = (
    Fault("kill an API", kill_api),
    Fault("kill workers", kill_worker),
    Fault("pause a process", pause),
    Fault("kill NATS servers", kill_nats),
    Fault("kill PostgreSQL", kill_postgres),
    Fault("pause PostgreSQL", pause_postgres),
    Fault("cut cables", cut_cable, cluster=True, network=True),
    Fault("part a server", part, cluster=True, network=True),
    Fault("lose one direction", mute, cluster=True, network=True),
    Fault("wipe a disk", wipe_disk, cluster=True),
    Fault("bring an old disk back", old_disk, cluster=True),
    Fault("fill disks", fill_disk, mounts=True),
    Fault("shift a clock", shift_clock),
)


def list_faults(stack: Stack) -> list[Fault]:
    """Return the faults that this stack and this machine allow."""
    shifts = any(path.exists() for path in FAKE_TIME)
    return [
        fault
        for fault in FAULTS
        if (stack.single is None or not fault.cluster)
        and (stack.network is not None or not fault.network)
        and (can_isolate() or not fault.mounts)
        and (shifts or fault.run is not shift_clock)
    ]
