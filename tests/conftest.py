"""Fixtures that every test may use."""

import os
import signal

import hypothesis
import pytest

pytest_plugins = ["tests.support.servers"]

# What a shell starts in the background ignores Ctrl-C, and so would every process that a test starts and interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let any file of worked equity examples be run: ``pytest tests/equity/test_vectors.py --vectors FILE``."""
    parser.addoption("--vectors", default=None, metavar="FILE", help="file of worked equity examples to run")


# A busy machine is not a defect: no property is judged by how long it took. A release is judged by the same examples
# everywhere; `just search` looks for new ones.
hypothesis.settings.register_profile("marketplace", deadline=None, derandomize=True)
hypothesis.settings.register_profile("search", deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "marketplace"))
