"""Hosts as network namespaces on one bridge, whose cables can be cut and whose neighbours can be made unreachable.

Every namespace is held by a process of its own, so that it goes with the run whatever happens. The run itself stands in
a namespace too: no packet leaves it.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

INSIDE: Final = "MARKETPLACE_CHAOS_INSIDE"
HUB: Final = "198.18.0.1"
NOWHERE: Final = "02:00:00:00:00:ff"
READY_SECONDS_MAX: Final = 10


def can_isolate() -> bool:
    """Tell whether this machine lets us make network and mount namespaces."""
    if os.geteuid() != 0 or not all(shutil.which(tool) for tool in ("unshare", "nsenter", "ip", "mount")):
        return False
    tried = subprocess.run(
        ["unshare", "--net", "--mount", "--propagation", "private", "ip", "link", "add", "try", "type", "bridge"],
        capture_output=True,
        check=False,
    )
    return tried.returncode == 0


def enter_isolation(arguments: Sequence[str]) -> None:
    """Replace this process by the same run inside namespaces of its own; returns at once where it is inside."""
    if os.environ.get(INSIDE):
        _run("ip", "link", "set", "lo", "up")
        return
    os.environ[INSIDE] = "1"
    command = ["unshare", "--net", "--mount", "--propagation", "private", sys.executable, "-m", "tests.chaos"]
    os.execvp(command[0], [*command, *arguments])  # noqa: S606 - the same program, inside


@dataclass(slots=True)
class Host:
    """One namespace: its address, the process that holds it, and its cable to the bridge."""

    name: str
    address: str
    cable: str
    holder: subprocess.Popen[bytes]

    def wrap(self, arguments: Sequence[str]) -> list[str]:
        """Return a command that runs inside."""
        return ["nsenter", "--net", "--target", str(self.holder.pid), *arguments]


@dataclass(slots=True)
class Network:
    """A bridge and its hosts."""

    hosts: dict[str, Host] = field(default_factory=dict)

    def start(self, names: Sequence[str]) -> None:
        """Make the bridge and one host per name."""
        _run("ip", "link", "add", "hub", "type", "bridge")
        _run("ip", "address", "add", f"{HUB}/24", "dev", "hub")
        _run("ip", "link", "set", "hub", "up")
        for number, name in enumerate(names):
            self.hosts[name] = self._add(name, number)

    def _add(self, name: str, number: int) -> Host:
        holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        host = Host(name, f"198.18.0.{number + 10}", f"cable{number}", holder)
        own = Path("/proc/self/ns/net").readlink()
        deadline = time.monotonic() + READY_SECONDS_MAX
        while Path(f"/proc/{holder.pid}/ns/net").readlink() == own and time.monotonic() < deadline:
            time.sleep(0.01)
        _run("ip", "link", "add", host.cable, "type", "veth", "peer", "name", "eth0", "netns", str(holder.pid))
        _run("ip", "link", "set", host.cable, "master", "hub", "up")
        for arguments in (
            ("ip", "address", "add", f"{host.address}/24", "dev", "eth0"),
            ("ip", "link", "set", "eth0", "up"),
            ("ip", "link", "set", "lo", "up"),
        ):
            _run(*host.wrap(arguments))
        return host

    def cut(self, name: str) -> None:
        """Pull a host's cable: what is on its way waits or is lost, in both directions."""
        _run("ip", "link", "set", self.hosts[name].cable, "down")

    def mute(self, name: str, address: str) -> None:
        """Lose everything that a host sends to one address, and nothing that it hears."""
        host = self.hosts[name]
        _run(*host.wrap(["ip", "neighbour", "replace", address, "lladdr", NOWHERE, "dev", "eth0", "nud", "permanent"]))

    def heal(self) -> None:
        """Plug every cable in, and let every host send to every other."""
        for host in self.hosts.values():
            _run("ip", "link", "set", host.cable, "up")
            _run(*host.wrap(["ip", "neighbour", "flush", "dev", "eth0", "nud", "permanent"]))

    def stop(self) -> None:
        """End the holders; the namespaces go with them."""
        for host in self.hosts.values():
            host.holder.kill()
            host.holder.wait()


def _run(*arguments: str) -> None:
    subprocess.run(arguments, check=True, capture_output=True)
