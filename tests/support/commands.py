"""Our command line as an operator calls it, in forks of one process that has imported it.

Each command has its own arguments, environment, output and exit code, as in a process of its own. Importing it each
time would take longer than most commands run.
"""

import asyncio
import atexit
import json
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import cache
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import Any

from tests.support.forks import answer_each, asking
from tests.support.patience import PATIENCE_SECONDS

GROUPS = ("auction", "explain", "log", "ocf", "portfolio", "prices", "projections", "usage", "what_if")
"""The groups of commands that the tests run in forks."""
_asked_by_one = Lock()


async def run_command(*arguments: object, environment: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Run a command of ours; return its exit code, and its output and errors together.

    Args:
        arguments: What follows ``marketplace`` on the command line.
        environment: Variables in addition to those of the tests.
    """
    line = json.dumps([[str(argument) for argument in arguments], {**os.environ, **(environment or {})}])
    answer = await asyncio.to_thread(_ask, line)
    assert answer is not None, f"{arguments} did not end within {PATIENCE_SECONDS} s"
    code, output = answer
    return code, output


def _ask(line: str) -> Any:
    with _asked_by_one:
        return _get_asking()(line)


@cache
def _get_asking() -> Callable[[object], Any]:
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(asking("tests.support.commands"))


def _play(line: str) -> tuple[int, str]:
    """Run the command in this process, which is a fork."""
    signal.alarm(PATIENCE_SECONDS)
    arguments, environment = json.loads(line)
    os.environ.clear()
    os.environ.update(environment)
    with tempfile.TemporaryFile() as output, Path(os.devnull).open() as nothing:
        for number, file in enumerate((nothing, output, output)):
            os.dup2(file.fileno(), number)
        sys.argv = ["marketplace", *arguments]
        code = _run()
        sys.stdout.flush()
        sys.stderr.flush()
        output.seek(0)
        return code, output.read().decode()


def _run() -> int:
    try:
        import_module("marketplace.cli").main()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except Exception:  # noqa: BLE001 - the interpreter prints any
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    for group in GROUPS:
        import_module(f"marketplace.cli.{group}")
    answer_each(_play)
