"""The signatures of `SyncMarketplaceClient`, written from those of the async client that it waits for."""

import ast
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
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
"""
_HEAD_IMPORTS: Final = """
from collections.abc import Iterator
from types import TracebackType
from typing import Self
import httpx
from marketplace.client.transport import Listed, Point, Statuses, T
"""


def render_stub() -> str:
    """Return `sync.pyi`."""
    parts = [part for part in MarketplaceClient.__mro__ if part.__module__.startswith("marketplace.client.")]
    modules = [_parse(sys.modules[part.__module__]) for part in parts]
    methods = [method for module in modules for method in _list_methods(module)]
    head = ast.parse(_HEAD_IMPORTS + _HEAD)
    (facade,) = [node for node in head.body if isinstance(node, ast.ClassDef)]
    facade.body += [_wait_for(method) for method in methods]
    used = {node.id for node in ast.walk(facade) if isinstance(node, ast.Name)}
    imports = [*_list_imports(head, used)]
    imports += [each for module in modules for each in _list_imports(module, used) if not _is_own(each)]
    lines = dict.fromkeys(ast.unparse(each) for each in imports)
    return _format("\n".join([*lines, ast.unparse(facade)]))


def _parse(module: ModuleType) -> ast.Module:
    return ast.parse(inspect.getsource(module))


def _list_methods(module: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for part in module.body:
        for node in part.body if isinstance(part, ast.ClassDef) else ():
            is_method = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            if (
                is_method
                and not node.name.startswith("_")
                and hasattr(MarketplaceClient, node.name)
                and node.name not in _LEFT_OUT
            ):
                yield node


def _wait_for(method: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.FunctionDef:
    """Return the signature of a method that waits for the answer, or iterates where the async one does."""
    returns = method.returns
    if isinstance(returns, ast.Subscript) and isinstance(returns.value, ast.Name) and returns.value.id in _ITERATORS:
        item = returns.slice.elts[0] if isinstance(returns.slice, ast.Tuple) else returns.slice
        returns = ast.Subscript(value=ast.Name("Iterator"), slice=item)
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
