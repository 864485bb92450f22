"""What users named things is shown as it is: no markup, no emoji, no command to a terminal."""

import io
import json
import subprocess
import sys

import pytest
from rich.table import Table

from marketplace.cli import output
from marketplace.cli.output import PlainConsole, mark, tell
from marketplace.core.errors import Refusal, Unavailable

HOSTILE = "Evil [/bold] [red]Ltd[/] :bomb: \x1b[2J\x07\x9b"
SHOWN = "Evil [/bold] [red]Ltd[/] :bomb: \\x1b[2J\\x07\\x9b"


@pytest.fixture
def screen():
    return io.StringIO()


@pytest.fixture
def console(screen):
    return PlainConsole(file=screen, width=120, force_terminal=True)


def test_a_hostile_name_is_shown_as_it_is_in_a_line(console, screen):
    console.print(mark("green", "equal"), HOSTILE)
    assert SHOWN in screen.getvalue()
    assert screen.getvalue().startswith("\x1b[32mequal\x1b[0m ")


def test_a_hostile_name_is_shown_as_it_is_in_a_table(console, screen):
    table = Table("holder", HOSTILE, title=HOSTILE)
    table.add_row(HOSTILE, "a\nb")
    console.print(table)
    shown = screen.getvalue()
    assert shown.count(SHOWN) == 3
    assert not {"\x1b[2J", "\x07", "\x9b"} & {shown[at : at + width] for at in range(len(shown)) for width in (1, 4)}


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            Refusal("party_unknown", f"there is no party {HOSTILE * 9}"),
            f"refused party_unknown: there is no party {SHOWN * 9}\n",
        ),
        (Unavailable("NATS", "nobody answers"), "error NATS is unavailable: nobody answers\n"),
    ],
)
def test_an_error_is_told_in_one_line(monkeypatch, screen, error, told):
    monkeypatch.setattr(output, "ERRORS", PlainConsole(file=screen, width=40))
    tell(error)
    assert screen.getvalue() == told


def test_a_logged_error_says_where_it_came_from_and_shows_no_variable():
    program = """
import structlog
from marketplace.cli.console import configure_logging

def clear(offer):
    raise AssertionError("4 nodes have no lot")

configure_logging("info")
try:
    clear("sealed 4.25")
except AssertionError:
    structlog.get_logger().exception("auction_failed")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    [line] = done.stderr.splitlines()
    told = json.loads(line)
    assert told["event"] == "auction_failed"
    assert told["exception"][0]["exc_value"] == "4 nodes have no lot"
    assert [frame["name"] for frame in told["exception"][0]["frames"]] == ["<module>", "clear"]
    assert "sealed" not in line


def test_the_error_that_ends_a_process_is_a_line_of_its_log():
    program = """
from marketplace.cli.console import configure_logging, run_service

async def main():
    raise AssertionError("4 nodes have no lot")

configure_logging("info")
run_service(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    told = json.loads(done.stderr)
    assert (done.returncode, told["event"], told["level"]) == (1, "process_failed", "error")
    assert told["exception"][0]["exc_value"] == "4 nodes have no lot"


def test_what_libraries_log_has_the_same_members():
    program = """
import asyncio, gc
from marketplace.cli.console import configure_logging

async def fail(offer):
    raise AssertionError("4 nodes have no lot")

async def main():
    task = asyncio.create_task(fail("sealed 4.25"))
    await asyncio.wait({task})
    del task
    gc.collect()

configure_logging("warning")
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    [line] = done.stderr.splitlines()
    told = json.loads(line)
    assert told["level"] == "error"
    assert told["timestamp"].endswith("Z")
    assert told["event"].startswith("Task exception was never retrieved")
    assert told["exception"][0]["exc_value"] == "4 nodes have no lot"
    assert "sealed" not in line


def test_a_name_that_nobody_waits_for_any_more_and_the_plugins_of_a_library_are_not_logged():
    program = """
import asyncio, gc, logging, socket
from marketplace.cli.console import configure_logging

async def main():
    waiting = asyncio.get_running_loop().create_future()
    waiting.set_exception(socket.gaierror(-2, "Name or service not known"))
    del waiting
    gc.collect()

configure_logging("info")
logging.getLogger("alembic.runtime.plugins").info("setup plugin")
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == ""
