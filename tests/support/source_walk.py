"""What some source rests on, as one hash: every definition of ours that can be reached from it by name.

Rows and snapshots are made by code and kept, so they are right only for the code that made them. The walk begins at
some definitions, such as a projection. It follows every name in them to the statement that defines it, in this
project's own modules only. Each statement counts as `ast.unparse` writes it: without comments, formatting, docstrings
and the annotations of functions, and the same under every interpreter.

Methods of objects that are passed in are not followed, unless their class is named. A class that matters and is not
named is therefore one of the roots. `tests/projections/engine/test_code_versions.py` compares the walk of each
projection with the code that really runs.
"""

import ast
import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
OURS: Final = frozenset({"events", "marketplace"})


class Name(NamedTuple):
    """A name in the namespace of a module."""

    module: str
    name: str


class Definition(NamedTuple):
    """A statement that binds a name: how it counts, what it names, and its lines in the file."""

    text: str
    names: tuple[tuple[str, ...], ...]
    first_line: int
    last_line: int


class _Module(NamedTuple):
    """The namespace of a module: statements by the name that they bind, and imports as module and name."""

    definitions: dict[str, list[Definition]]
    imports: dict[str, tuple[str, str | None]]


Read = Callable[[str], str | None]


@cache
def read_source(module: str) -> str | None:
    """Return the source of a module of this project; None for any other."""
    if module.split(".", maxsplit=1)[0] not in OURS:
        return None
    path = ROOT.joinpath(*module.split("."))
    files = [path / "__init__.py", path.with_suffix(".py")]
    return next((file.read_text(encoding="utf-8") for file in files if file.is_file()), None)


class SourceWalk:
    """The definitions that can be reached from some names.

    Args:
        roots: Where the walk begins.
        stops: Modules whose definitions do not count.
        omits: Keyword arguments of calls in the roots that do not count, nor what they name.
        read: Returns the source of a module; None for those that are not followed.

    Attributes:
        definitions: What was reached, by name.
    """

    def __init__(
        self,
        roots: Iterable[Name],
        *,
        stops: Collection[str] = (),
        omits: Collection[str] = (),
        read: Read = read_source,
    ) -> None:
        self.definitions: dict[Name, list[Definition]] = {}
        self._stops = frozenset(stops)
        self._read = read
        self._modules: dict[str, _Module | None] = {}
        pending = [self._require(root) for root in roots]
        begun = frozenset(pending)
        while pending:
            at = pending.pop()
            if at in self.definitions or at.module in self._stops:
                continue
            found = self._list_definitions(at, omits if at in begun else ())
            self.definitions[at] = found
            pending += [name for one in found for path in one.names if (name := self._resolve(at.module, path))]

    def compute_hash(self) -> str:
        """Return the SHA-256, in hex, of all that was reached."""
        lines = [
            f"{at.module}.{at.name}\n{one.text}" for at, found in sorted(self.definitions.items()) for one in found
        ]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def covers(self, code: CodeType) -> bool:
        """Tell whether the statement that holds some compiled code was reached."""
        module = ".".join(Path(code.co_filename).relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        return any(
            one.first_line <= code.co_firstlineno <= one.last_line
            for at, found in self.definitions.items()
            if at.module == module
            for one in found
        )

    def _require(self, root: Name) -> Name:
        found = self._resolve(root.module, (root.name,))
        assert found is not None, f"{root.module} defines no {root.name}"
        return found

    def _load(self, module: str) -> _Module | None:
        if module not in self._modules:
            source = self._read(module)
            self._modules[module] = None if source is None else _parse(module, source)
        return self._modules[module]

    def _resolve(self, module: str, path: tuple[str, ...]) -> Name | None:
        """Return the definition that a dotted name means in a module; None where it is not ours."""
        known = self._load(module)
        if known is None or not path:
            return None
        if path[0] in known.definitions:
            return Name(module, path[0])
        if path[0] in known.imports:
            target, name = known.imports[path[0]]
            return self._resolve(target, path[1:] if name is None else (name, *path[1:]))
        return self._resolve(f"{module}.{path[0]}", path[1:])

    def _list_definitions(self, at: Name, omits: Collection[str]) -> list[Definition]:
        known = self._load(at.module)
        assert known is not None, f"{at.module} is read before its names are resolved"
        if not omits:
            return known.definitions[at.name]
        source = self._read(at.module)
        assert source is not None, f"{at.module} is read before its names are resolved"
        return _parse(at.module, source, frozenset(omits)).definitions[at.name]


def _parse(module: str, source: str, omits: frozenset[str] = frozenset()) -> _Module:
    parsed = _Module({}, {})
    for statement in _list_statements(ast.parse(source).body):
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                first = alias.name.split(".")[0]
                parsed.imports[alias.asname or first] = (alias.name if alias.asname else first, None)
        elif isinstance(statement, ast.ImportFrom):
            assert statement.module is not None, f"{module} imports relatively"
            parsed.imports.update({one.asname or one.name: (statement.module, one.name) for one in statement.names})
        elif bound := list(_list_bound(statement)):
            first_line = min([statement.lineno, *(one.lineno for one in getattr(statement, "decorator_list", ()))])
            last_line = statement.end_lineno or first_line
            plain = _Plain(omits).visit(statement)
            found = Definition(ast.unparse(plain), tuple(_list_names(plain)), first_line, last_line)
            for name in bound:
                parsed.definitions.setdefault(name, []).append(found)
    return parsed


def _list_statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Walk the statements of a module, also those in its conditions."""
    for statement in body:
        if isinstance(statement, ast.If | ast.Try | ast.With | ast.For):
            for name in ("body", "orelse", "finalbody"):
                yield from _list_statements(getattr(statement, name, ()))
        else:
            yield statement


def _list_bound(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
    elif isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        yield from (node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name))


def _list_names(tree: ast.AST) -> Iterator[tuple[str, ...]]:
    """Walk the dotted names that a statement reads, ``a.b.c`` as one and not also as ``a``."""
    if (path := _get_path(tree)) is not None:
        yield path
        return
    for child in ast.iter_child_nodes(tree):
        yield from _list_names(child)


def _get_path(node: ast.AST) -> tuple[str, ...] | None:
    if isinstance(node, ast.Name):
        return (node.id,)
    if isinstance(node, ast.Attribute) and (before := _get_path(node.value)) is not None:
        return (*before, node.attr)
    return None


class _Plain(ast.NodeTransformer):
    """Removes what says nothing of what code makes: docstrings, and annotations outside of class bodies."""

    def __init__(self, omits: frozenset[str]) -> None:
        self._omits = omits

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self._visit_body(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        node.returns = None
        return self._visit_body(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        fields = [one for one in node.body if isinstance(one, ast.AnnAssign)]
        annotations = [one.annotation for one in fields]
        plain = self._visit_body(node)
        for field, annotation in zip(fields, annotations, strict=True):
            field.annotation = annotation
        return plain

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.annotation = ast.Constant(value=...)
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        node.keywords = [one for one in node.keywords if one.arg not in self._omits]
        return self.generic_visit(node)

    def _visit_body(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> ast.AST:
        said = [one for one in node.body if not (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))]
        node.body = said or [ast.Pass()]
        return self.generic_visit(node)
