"""The signatures of `SyncMarketplaceClient`, written from those of the async client that it waits for."""

import ast
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from marketplace.client import transport
from marketplace.client.market import MarketplaceClient

STUB: Final = Path(__file__).parent.parent / "marketplace" / "client" / "sync.pyi"
_LEFT_OUT: Final = frozenset({"close"})
_ITERATORS: Final = frozenset({"AsyncIterator", "AsyncGenerator"})
_HEAD: Final = """
class SyncMarketplaceClient:
    last_sequence: int
    def __init__(self, base_url: str, api_key: str, transport: httpx.AsyncBaseTransport | None = None) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def close(self) -> None: ...
"""
_HEAD_IMPORTS: Final = """
from collections.abc import Iterator
from types import TracebackType
from typing import Self
import httpx
import builtins
from marketplace.client.transport import Listed, Point, Statuses, T
"""


def render_stub() -> str:
    """Return `sync.pyi`: a class for each group of operations, and the client with a group as each attribute."""
    groups = list_groups()
    modules = dict.fromkeys([transport, *(sys.modules[group.__module__] for group in groups.values())])
    parsed = {module.__name__: ast.parse(inspect.getsource(module)) for module in modules}
    head = ast.parse(_HEAD_IMPORTS + _HEAD)
    (facade,) = [node for node in head.body if isinstance(node, ast.ClassDef)]
    facade.body += [ast.parse(f"{name}: _{group.__name__}").body[0] for name, group in groups.items()]
    sending = _list_methods(parsed[transport.__name__], transport.Transport.__name__)
    facade.body += [each for each in sending if each.name not in _LEFT_OUT]
    classes = []
    for group in groups.values():
        body = _list_methods(parsed[group.__module__], group.__name__)
        classes.append(ast.ClassDef(f"_{group.__name__}", [], [], body, [], type_params=[]))
    used = {node.id for part in (*classes, facade) for node in ast.walk(part) if isinstance(node, ast.Name)}
    imports = [*_list_imports(head, used)]
    imports += [each for module in parsed.values() for each in _list_imports(module, used) if not _is_own(each)]
    lines = dict.fromkeys(ast.unparse(each) for each in imports)
    return _format("\n".join([*lines, *(ast.unparse(ast.fix_missing_locations(each)) for each in (*classes, facade))]))


def list_groups() -> dict[str, type[transport.Group]]:
    """Return the groups of operations of the client, by their names."""
    client = MarketplaceClient("http://localhost", "")
    return {name: type(part) for name, part in vars(client).items() if isinstance(part, transport.Group)}


def _list_methods(module: ast.Module, name: str) -> list[ast.FunctionDef]:
    """Return the signatures of the public methods of a class."""
    (owner,) = [node for node in module.body if isinstance(node, ast.ClassDef) and node.name == name]
    methods = [node for node in owner.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [_wait_for(each) for each in methods if not each.name.startswith("_")]


def _wait_for(method: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.FunctionDef:
    """Return the signature of a method that waits for the answer, or iterates where the async one does."""
    returns = method.returns
    if isinstance(returns, ast.Subscript) and isinstance(returns.value, ast.Name) and returns.value.id in _ITERATORS:
        item = returns.slice.elts[0] if isinstance(returns.slice, ast.Tuple) else returns.slice
        returns = ast.Subscript(value=ast.Name("Iterator"), slice=item)
    # A stub writes a long default as an ellipsis.
    method.args.kw_defaults = [
        ast.Constant(...) if isinstance(each, ast.Tuple) and each.elts else each for each in method.args.kw_defaults
    ]
    return ast.FunctionDef(
        name=method.name,
        args=method.args,
        body=[ast.Expr(ast.Constant(...))],
        decorator_list=[],
        returns=returns,
        lineno=method.lineno,
        type_params=[],
    )


def _list_imports(module: ast.Module, used: set[str]) -> Iterator[ast.Import | ast.ImportFrom]:
    for node in module.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias for alias in node.names if (alias.asname or alias.name) in used]
            if names and isinstance(node, ast.ImportFrom):
                yield ast.ImportFrom(module=node.module, names=names, level=node.level)
            elif names:
                yield ast.Import(names=names)


def _is_own(node: ast.Import | ast.ImportFrom) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == transport.__name__


def _format(text: str) -> str:
    for arguments in (["check", "--fix", "--select", "I", "--quiet"], ["format"]):
        command = [sys.executable, "-m", "ruff", *arguments, "--stdin-filename", str(STUB), "-"]
        text = subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout
    return text
