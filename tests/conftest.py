"""Fixtures that every test may use."""

import hypothesis
import pytest

pytest_plugins = ["tests.support.servers"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let any file of worked equity examples be run: ``pytest tests/equity/test_vectors.py --vectors FILE``."""
    parser.addoption("--vectors", default=None, metavar="FILE", help="file of worked equity examples to run")


# A busy machine is not a defect: no property is judged by how long it took.
hypothesis.settings.register_profile("marketplace", deadline=None)
hypothesis.settings.load_profile("marketplace")
