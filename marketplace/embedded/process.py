"""Child processes that end with us.

A server that outlives its parent keeps its port and its data folder, and the next start fails in a puzzling way. A
child therefore runs in its own process group (Ctrl-C reaches us first, and we stop it in order), asks Linux for a
signal when its parent dies, is killed by an exit hook on other systems, and inherits the lock of its data folder, which
stays locked while any of its processes lives.
"""

import asyncio
import atexit
import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from marketplace.core.errors import Refusal

LOOPBACK = "127.0.0.1"
_PR_SET_PDEATHSIG = 1
_POLL_SECONDS = 0.005
_LOG_TAIL_BYTES = 4_000
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


@dataclass(frozen=True, slots=True)
class Account:
    """A user and group of the operating system that a child runs as."""

    uid: int
    gid: int


class Child:
    """One running server process, leader of its own process group.

    Start it in a thread that lives as long as the server should: Linux treats the end of the starting thread as the
    parent's death.

    Args:
        arguments: Program and arguments.
        output: File that receives its output; emptied first.
        death_signal: Sent by the kernel (Linux) when we die.
        account: The user that it runs as; None for our own.
        inherited: File descriptors to pass on, such as the lock of the data folder.
        environment: The whole environment of the child; None: ours.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        output: Path,
        death_signal: signal.Signals = signal.SIGTERM,
        account: Account | None = None,
        inherited: Sequence[int] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._output = output
        parent = os.getpid()

        def die_with_parent() -> None:
            if _LIBC is not None:
                _LIBC.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
                if os.getppid() != parent:
                    os._exit(1)

        with output.open("wb") as sink:
            self._process = subprocess.Popen(  # noqa: S603 - the arguments are built by this package
                list(arguments),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env=dict(os.environ if environment is None else environment),
                preexec_fn=die_with_parent,  # noqa: PLW1509 - only async-signal-safe calls
                pass_fds=tuple(inherited),
                user=None if account is None else account.uid,
                group=None if account is None else account.gid,
                extra_groups=None if account is None else [],
                start_new_session=True,
            )
        atexit.register(self.kill)

    @property
    def pid(self) -> int:
        """The process id, which is also the id of its group."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """The exit code of the process; None while it runs."""
        return self._process.poll()

    def read_output(self) -> str:
        """Return the end of the child's output."""
        return read_tail(self._output)

    async def wait_for_port(self, port: int, seconds_max: float) -> bool:
        """Wait until the port accepts connections. Return False if the child ends or the time is up before."""
        deadline = time.monotonic() + seconds_max
        while self.running and time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection(LOOPBACK, port)
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
                return True
            await asyncio.sleep(_POLL_SECONDS)
        return False

    async def wait_for_exit(self, seconds_max: float) -> bool:
        """Wait until the child ends. Return False if it has not within the time."""
        deadline = time.monotonic() + seconds_max
        while self.running and time.monotonic() < deadline:  # noqa: ASYNC110 - no event loop sees it end
            await asyncio.sleep(_POLL_SECONDS)
        return not self.running

    async def stop(self, stop_signal: signal.Signals, seconds_max: float) -> None:
        """Ask the child to end, and kill its group if it has not within the time."""
        try:
            if self.running:
                self._process.send_signal(stop_signal)
                await self.wait_for_exit(seconds_max)
        finally:
            self.kill()

    def kill(self) -> None:
        """Kill the child's process group, as a power cut would, if the child still runs."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        atexit.unregister(self.kill)


def find_free_port() -> int:
    """Return a loopback port that was free a moment ago; a start that loses the race tries another."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def is_free_port(port: int) -> bool:
    """Return whether no other process listens on a loopback port."""
    try:
        require_free_port(port)
    except Refusal:
        return False
    return True


def require_free_port(port: int) -> None:
    """Refuse a loopback port on which another process listens; otherwise that one might answer for us.

    Raises:
        Refusal: ``port_taken``.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise Refusal(
                "port_taken",
                f"port {port} of {LOOPBACK} cannot be used ({error.strerror}); choose another, or 0",
                port=port,
            ) from error


def read_tail(path: Path) -> str:
    """Return at most the last 4,000 bytes of a text file; empty if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _LOG_TAIL_BYTES))
            return file.read().decode(errors="replace").strip()
    except FileNotFoundError:
        return ""
