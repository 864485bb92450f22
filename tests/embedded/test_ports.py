"""A port on which another process listens is refused by name, also where that process would share it."""

import contextlib
import socket

import pytest

from marketplace.cli.stack import open_stack
from marketplace.core.errors import Refusal
from marketplace.embedded.process import LOOPBACK, require_free_port


@contextlib.contextmanager
def listening():
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        server.bind((LOOPBACK, 0))
        server.listen()
        yield server.getsockname()[1]


async def test_a_market_is_not_opened_on_a_port_of_another(tmp_path):
    with listening() as port:
        with pytest.raises(Refusal) as caught:
            async with open_stack(tmp_path / "data", port=port):
                raise AssertionError("it was opened")
        assert (caught.value.code, caught.value.facts["port"]) == ("port_taken", port)
    assert not (tmp_path / "data").exists()
    require_free_port(port)
