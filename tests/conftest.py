"""Fixtures that every test may use."""

import pytest

pytest_plugins = ["tests.support.servers"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let any file of worked equity examples be run: ``pytest tests/equity/test_vectors.py --vectors FILE``."""
    parser.addoption("--vectors", default=None, metavar="FILE", help="file of worked equity examples to run")
