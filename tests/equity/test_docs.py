"""What the page on equity shows is run."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "equity.md"


def test_the_examples_on_the_page_run():
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) == 2
    exec(compile("\n".join(blocks), str(PAGE), "exec"), {})  # noqa: S102 - the page is ours


def test_the_page_names_every_module():
    modules = {path.stem for path in (PAGE.parents[1] / "marketplace" / "equity").glob("*.py")}
    inner = {"__init__", "exact", "certificates"}
    named = set(re.findall(r"`(\w+)`", PAGE.read_text(encoding="utf-8")))
    assert modules - inner <= named
