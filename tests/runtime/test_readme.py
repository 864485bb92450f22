"""The runtime's README names the test of each invariant; a name that is no test is an error."""

import re
from pathlib import Path

README = Path("marketplace/runtime/README.md")
NAMED = re.compile(r"`(test_\w+)\.py`|`(test_\w+)`")


def test_every_invariant_names_tests_that_exist():
    text = README.read_text()
    sources = {path: path.read_text() for path in Path("tests").rglob("test_*.py")}
    invariants = re.findall(r"^\d+\. .*(?:\n {3}.*)*", text, re.MULTILINE)
    assert len(invariants) >= 10
    for invariant in invariants:
        names = [test for _, test in NAMED.findall(invariant) if test]
        assert names, invariant
        for name in names:
            assert any(f"def {name}(" in source for source in sources.values()), name


def test_invariants_are_numbered_once_and_in_order():
    numbers = [int(number) for number in re.findall(r"^(\d+)\. ", README.read_text(), re.MULTILINE)]
    assert numbers == list(range(1, len(numbers) + 1))
