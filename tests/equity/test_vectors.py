"""The engine against worked examples: ours by default, any file of the same form with ``--vectors FILE``."""

from pathlib import Path
from typing import Any

import pytest

from tests.equity.vector_engine import problems
from tests.equity.vector_values import load

EXAMPLES = Path(__file__).parent / "worked_examples"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "vector" not in metafunc.fixturenames:
        return
    chosen = metafunc.config.getoption("--vectors")
    files = [Path(chosen)] if chosen else sorted(EXAMPLES.glob("*.json"))
    vectors = [vector for file in files for vector in load(file)["vectors"]]
    metafunc.parametrize("vector", vectors, ids=[vector["name"] for vector in vectors])


def test_the_engine_agrees_with_the_worked_example(vector: dict[str, Any]) -> None:
    assert problems(vector) == []
