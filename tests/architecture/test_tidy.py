"""The source keeps the project's rules, and each rule finds what it is for."""

import ast
import json
import shutil
import statistics
import subprocess
from collections.abc import Callable, Iterator

import pytest

from scripts import error_catalogue
from tests.architecture import rules
from tests.architecture.source import PURE, ROOT, Module, modules, parse, tracked_files
from tests.invariants.corpus import INVARIANTS, Mutant
from tests.invariants.guards import GUARDS

# One worker reads all files, which takes longer than the rules.
pytestmark = pytest.mark.xdist_group("source")

Rule = Callable[[Module], Iterator[str]]

PURE_RULES: list[Rule] = [rules.floats, rules.asynchrony, rules.clocks, rules.doors]
ALL_RULES: list[Rule] = [rules.long_functions, rules.banned_names, rules.missing_docstring]
BREACHES: list[tuple[Rule, str]] = [
    (rules.floats, "price = 1.5"),
    (rules.floats, "price = float('1')"),
    (rules.floats, "def f(price: float) -> None: ..."),
    (rules.floats, "price: dict[str, float] = {}"),
    (rules.asynchrony, "async def f(): ..."),
    (rules.clocks, "from datetime import datetime\nat = datetime.now()"),
    (rules.clocks, "import time"),
    (rules.clocks, "import random\nchance = random.random()"),
    (rules.clocks, "import uuid\nid = uuid.uuid4()"),
    (rules.doors, "import sqlalchemy.orm"),
    (rules.doors, "from pathlib import Path\ntext = Path('a').read_text()"),
    (rules.doors, "print(1)"),
    (rules.long_functions, "def f():\n" + "    x = 1\n" * 60),
    (rules.banned_names, "class OrderManager: ..."),
    (rules.missing_docstring, "x = 1"),
]


@pytest.mark.parametrize("rule", PURE_RULES, ids=lambda rule: rule.__name__)
def test_pure_packages_have_no(rule: Rule) -> None:
    pure = [module for module in modules() if module.is_pure]
    assert {package for package in PURE if any(module.path.startswith(package) for module in pure)} == set(PURE)
    assert [breach for module in pure for breach in rule(module)] == []


@pytest.mark.parametrize("rule", ALL_RULES, ids=lambda rule: rule.__name__)
def test_no_module_has(rule: Rule) -> None:
    assert [breach for module in modules() for breach in rule(module)] == []


@pytest.mark.parametrize(("rule", "text"), BREACHES)
def test_each_rule_finds_a_breach(rule: Rule, text: str) -> None:
    assert list(rule(parse("marketplace/core/example.py", text)))


def test_numeric_modules_of_the_engine_may_use_floats_and_no_others() -> None:
    text = "import numpy\nx = 1.5"
    assert list(rules.floats(parse("marketplace/clearing/search/search.py", text))) == []
    assert list(rules.floats(parse("marketplace/equity/search.py", text)))
    assert list(rules.floats(parse("marketplace/clearing/search/search.py", "x = 1.5")))


def test_a_file_may_not_be_named_after_nothing() -> None:
    assert list(rules.banned_names(parse("marketplace/api/order_utils.py", "")))
    assert list(rules.banned_names(parse("marketplace/common/order.py", "")))


def test_half_of_the_functions_fit_in_10_lines() -> None:
    own = [module for module in modules() if module.path.startswith(("events/", "marketplace/"))]
    assert statistics.median(rules.code_lines(function) for module in own for function in rules.functions(module)) <= 10


def test_nothing_is_left_open() -> None:
    assert _matches(rules.STUBS, [path for path in tracked_files() if path.endswith(".py")]) == []


def test_no_file_names_a_machine_or_a_registry() -> None:
    assert _matches(rules.MACHINE, tracked_files()) == []


@pytest.mark.parametrize("text", ["see /wor" + "k/notes", "https://py" + "pi.org/simple", "registry.npm" + "js.org"])
def test_machines_and_registries_are_recognised(text: str) -> None:
    assert rules.MACHINE.search(text)


def test_the_lock_file_is_not_tracked() -> None:
    assert not {"uv.lock", "package-lock.json", ".env"} & set(tracked_files())


def test_every_code_that_is_raised_has_a_page_and_no_other() -> None:
    trees = [(module.path, module.tree) for module in modules() if module.path.startswith("marketplace/")]
    stored = error_catalogue.CATALOGUE.read_text()
    assert error_catalogue.render_catalogue(trees) == stored, "run scripts/render_contracts.py"
    assert "guard_unknown" not in json.loads(stored), "a rule of the auditor is no code that anybody is refused with"
    toy = "def f(days):\n    raise Refusal('days_odd', f'{days} days are odd; state one more', days=days)"
    added = build_toy_catalogue(toy)
    assert added.keys() - json.loads(stored).keys() == {"days_odd"}
    assert added["days_odd"] == {"status": 422, "sentences": ["{days} days are odd; state one more"], "facts": ["days"]}
    page = build_toy_catalogue("raise ProblemError(404, {'code': 'toy_unknown', 'detail': 'there is no toy'})")
    assert page["toy_unknown"] == {"status": 404, "sentences": ["there is no toy"], "facts": []}
    for unreadable in (
        "Refusal(find_code(), 'a text')",
        "Refusal('toy', find_text())",
        "ProblemError(404, {'code': find_code()})",
    ):
        with pytest.raises(ValueError, match=r"computed|computes"):
            build_toy_catalogue(unreadable)


def build_toy_catalogue(text: str) -> dict:
    return error_catalogue.build_catalogue([("marketplace/domain/toy.py", ast.parse(text))])


def test_imports_point_one_way() -> None:
    lint_imports = shutil.which("lint-imports")
    assert lint_imports, "import-linter is in the dev group; run the tests with `uv run`"
    result = subprocess.run([lint_imports, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 broken" in result.stdout


def _matches(pattern, paths) -> list[str]:
    found = []
    for path in paths:
        try:
            lines = (ROOT / path).read_text().splitlines()
        except UnicodeDecodeError:
            continue
        found += [f"{path}:{number} {line.strip()}" for number, line in enumerate(lines, 1) if pattern.search(line)]
    return found


OUTSIDE_DOMAIN = {
    "application": {
        "wrong_side": "whose it is",
        "platform_only": "whose it is",
        "scope_missing": "whose it is",
        "payee_only": "whose it is",
        "hold_reserved": "whose it is",
        "hold_unknown": "found or not",
        "period_unknown": "found or not",
        "reading_in_flight": "found or not",
        "package_refused": "what the reader of a package found",
        "request_invalid": "the text of a query",
        "portfolio_too_large": "how much one answer reads",
    },
    "runtime": {
        "supply_changed": "whether this worker has read the log so far",
        "setting_missing": "settings of the process",
        "setting_invalid": "settings of the process",
        "auction_not_found": "an operator's tool",
        "auction_not_cleared": "an operator's tool",
        "engine_differs": "an operator's tool",
    },
}
"""Refusals that are no rules of the market, with what they are."""
SHARED = {"refuse_unknown": "found or not", "require_found": "found or not", "refuse_exists": "a dry run of an import"}


def list_own_refusals(floor: str) -> set[str]:
    """The codes of refusals, or the functions of `domain/refusals.py`, that a floor's own source calls."""
    found = set()
    for module in modules():
        if not module.path.startswith(f"marketplace/{floor}/"):
            continue
        for call in ast.walk(module.tree):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name):
                if call.func.id == "Refusal":
                    found.update(text.value for text in ast.walk(call.args[0]) if isinstance(text, ast.Constant))
                elif call.func.id in {
                    "refuse_unknown",
                    "require_found",
                    "refuse_exists",
                    "refuse_status",
                    "require_aware",
                }:
                    found.add(call.func.id)
    return found


def test_rules_of_the_market_are_refused_in_the_domain_only() -> None:
    assert list_own_refusals("application") - {"require_aware"} == OUTSIDE_DOMAIN["application"].keys() | SHARED.keys()
    assert list_own_refusals("runtime") == OUTSIDE_DOMAIN["runtime"].keys()


def test_a_name_is_imported_from_the_module_that_defines_it() -> None:
    """Packages may state what they offer, and `events.issuer` is the contract of one aggregate in several modules."""
    found = {module.path.removesuffix(".py").replace("/", "."): module for module in modules()}
    borrowed = {
        name: {alias.asname or alias.name for node in module.tree.body for alias in list_imported(node)}
        for name, module in found.items()
        if name != "events.issuer"
    }
    assert [
        f"{module.path}:{node.lineno} {alias.name} from {node.module}"
        for module in found.values()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name in borrowed.get(node.module or "", ()) and f"{node.module}.{alias.name}" not in found
    ] == []


def list_imported(node: ast.stmt) -> list[ast.alias]:
    """Return the names that a statement imports from a module."""
    return node.names if isinstance(node, ast.ImportFrom) else []


@pytest.mark.parametrize("mutant", [fault.mutant for fault in (*INVARIANTS, *GUARDS)], ids=lambda mutant: mutant.after)
def test_the_text_that_a_mutant_replaces_stands_once(mutant: Mutant) -> None:
    source = (ROOT / mutant.module.replace(".", "/")).with_suffix(".py").read_text()
    assert source.count(mutant.before) == 1
