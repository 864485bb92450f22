"""Fixtures that every test may use."""

import atexit
import gc
import os
import shutil
import signal
import sys
import tempfile

import hypothesis
import pytest

from tests.support.browser import TESTS, leaves_out_browser

pytest_plugins = ["tests.support.servers"]
collect_ignore = [TESTS] if leaves_out_browser() else []

# What a shell starts in the background ignores Ctrl-C, and so would every process that a test starts and interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A worker keeps thousands of modules, tests and states alive; looking through them often takes a part of its time.
gc.set_threshold(50_000, 20, 50)

# The tests start some hundred processes, and each would compile every module that it imports. Where no bytecode may lie
# beside the sources, they share one folder of it for this run; the workers of xdist inherit it.
if "PYTHONPYCACHEPREFIX" not in os.environ and os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
    _bytecode = tempfile.mkdtemp(prefix="marketplace-bytecode-")
    atexit.register(shutil.rmtree, _bytecode, ignore_errors=True)
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix = _bytecode
    sys.dont_write_bytecode = False


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let any file of worked equity examples be run: ``pytest tests/equity/test_vectors.py --vectors FILE``."""
    parser.addoption("--vectors", default=None, metavar="FILE", help="file of worked equity examples to run")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was left out."""
    if leaves_out_browser():
        terminalreporter.write_line(
            f"left out: tests/{TESTS}, since there is no Chromium on PATH or in MARKETPLACE_BROWSER"
        )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the groups, of which each runs in one worker: the longest, whole stacks, would else end alone."""

    def find_rank(item: pytest.Item) -> int:
        group = item.get_closest_marker("xdist_group")
        return 2 if group is None else int(group.args[0] != "stack")

    items.sort(key=find_rank)


# A busy machine is not a defect: no property is judged by how long it took. A release is judged by the same examples
# everywhere; `just search` looks for new ones.
hypothesis.settings.register_profile("marketplace", deadline=None, derandomize=True)
hypothesis.settings.register_profile("search", deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "marketplace"))
