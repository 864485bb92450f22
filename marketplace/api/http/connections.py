"""The connections of one API process: their number, and which one is closed to make room for another.

The server waits for a connection's client until a whole request is received, and again after the answer. If a new
connection would exceed a limit, the connection that the server has waited for longest is closed, and the new one is
served. Silent and slow clients therefore displace each other, and never block a client that sends whole requests, even
from the same address. A new connection is refused only if all others are being answered.
"""

from collections import Counter, OrderedDict
from typing import Final, Protocol

LINGERING_MAX: Final = 64


class Guarded(Protocol):
    """The interface of a connection to the table."""

    address: str

    def drop(self) -> None:
        """End the connection at once. The table no longer counts it."""
        ...


class Connections:
    """The open connections of a process.

    Attributes:
        displaced: Connections that were closed to make room.
        refused: Connections that found no room.

    Args:
        connections_max: Connections of the process.
        per_address_max: Connections of one address.
    """

    def __init__(self, connections_max: int, per_address_max: int) -> None:
        self._connections_max = connections_max
        self._per_address_max = per_address_max
        self._by_address: Counter[str] = Counter()
        self._waiting: dict[str, OrderedDict[Guarded, None]] = {}
        self._all_waiting: OrderedDict[Guarded, None] = OrderedDict()
        self._lingering: set[Guarded] = set()
        self.displaced = 0
        self.refused = 0

    def count(self) -> int:
        """Return how many are open."""
        return self._by_address.total()

    def admit(self, connection: Guarded) -> bool:
        """Count a new connection, which the server now waits for. Return False, uncounted, if there is no room.

        To make room, the connection that the server has waited for longest is dropped.
        """
        address = connection.address
        is_full = self._by_address[address] >= self._per_address_max
        if is_full and not self._displace(self._waiting.get(address)):
            self.refused += 1
            return False
        if self.count() >= self._connections_max and not self._displace(self._all_waiting):
            self.refused += 1
            return False
        self._by_address[address] += 1
        self.wait(connection)
        return True

    def _displace(self, waiting: OrderedDict[Guarded, None] | None) -> bool:
        if not waiting:
            return False
        longest = next(iter(waiting))
        self.remove(longest)
        longest.drop()
        self.displaced += 1
        return True

    def wait(self, connection: Guarded) -> None:
        """Record that the server waits for the client from now on."""
        for waiting in (self._all_waiting, self._waiting.setdefault(connection.address, OrderedDict())):
            waiting[connection] = None
            waiting.move_to_end(connection)

    def answer(self, connection: Guarded) -> None:
        """Record that a whole request is being answered, so that the connection cannot be displaced."""
        if connection not in self._all_waiting:
            return
        del self._all_waiting[connection]
        mine = self._waiting[connection.address]
        del mine[connection]
        if not mine:
            del self._waiting[connection.address]

    def remove(self, connection: Guarded) -> None:
        """Stop counting an admitted connection."""
        self.answer(connection)
        self._by_address[connection.address] -= 1
        if not self._by_address[connection.address]:
            del self._by_address[connection.address]

    def linger(self, connection: Guarded) -> bool:
        """Keep a refused connection until it has read the reason; False if there are too many of these."""
        if len(self._lingering) >= LINGERING_MAX:
            return False
        self._lingering.add(connection)
        return True

    def end_lingering(self, connection: Guarded) -> None:
        """Forget a refused connection that has ended."""
        self._lingering.discard(connection)
