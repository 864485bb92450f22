"""The rules: each returns where a module breaks it, as ``path:line what``."""

import ast
import re
from collections.abc import Iterator

from tests.architecture.source import Module

FUNCTION_LINES_MAX = 60
BANNED_WORDS = {"utils", "util", "helpers", "helper", "common", "manager", "base"}
NUMERIC_LIBRARIES = {"numpy", "highspy"}
DOORS_OUT = {"asyncio", "asyncpg", "httpx", "nats", "os", "requests", "socket", "sqlalchemy", "subprocess", "urllib"}
FILE_CALLS = {"open", "print", "input", "read_text", "read_bytes", "write_text", "write_bytes"}
CLOCKS = {"now", "utcnow", "today", "monotonic", "perf_counter", "time_ns", "uuid1", "uuid4", "uuid7", "urandom"}
CLOCK_LIBRARIES = {"time", "secrets"}
ASYNC_NODES = (ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith, ast.Await)
# Classes in brackets, so that the pattern does not find itself.
STUBS = re.compile(r"NotImplementedErro[r]|\bTOD[O]\b|\bFIXM[E]\b|\bXX[X]\b|pytest\.ski[p]|mark\.(ski[p]|xfai[l])")
MACHINE = re.compile(
    r"pyp[i]\.org|pythonhoste[d]\.org|npmj[s]\.(org|com)|debia[n]\.org|(^|[^A-Za-z0-9_./-])/(wor[k]|far[m]|roo[t]|hom[e])/"
)


def floats(module: Module) -> Iterator[str]:
    """Binary floats: literals, and the name `float`; numeric modules of the clearing engine are free to use them."""
    if module.path.startswith("marketplace/clearing/") and is_numeric(module):
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, float):
            yield f"{module.path}:{node.lineno} the float {node.value}"
        if isinstance(node, ast.Call) and _name(node.func) == "float":
            yield f"{module.path}:{node.lineno} a call of float()"
        if isinstance(node, (ast.arg, ast.AnnAssign)) and node.annotation and _mentions_float(node.annotation):
            yield f"{module.path}:{node.lineno} an annotation with float"


def is_numeric(module: Module) -> bool:
    """Whether it works on arrays of floats: it imports numpy, the solver, or the alias of such arrays."""
    if NUMERIC_LIBRARIES & set(_imports(module)):
        return True
    imported = [node for node in ast.walk(module.tree) if isinstance(node, ast.ImportFrom)]
    return any(alias.name == "Floats" for node in imported for alias in node.names)


def asynchrony(module: Module) -> Iterator[str]:
    """Waiting for something."""
    for node in ast.walk(module.tree):
        if isinstance(node, ASYNC_NODES):
            yield f"{module.path}:{node.lineno} {type(node).__name__}"


def clocks(module: Module) -> Iterator[str]:
    """Time or chance that does not come in as an argument."""
    for name in sorted(CLOCK_LIBRARIES & set(_imports(module))):
        yield f"{module.path} imports {name}"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and _name(node.func) in CLOCKS:
            yield f"{module.path}:{node.lineno} calls {_name(node.func)}()"
        if isinstance(node, ast.Attribute) and _name(node.value) == "random" and node.attr != "Random":
            yield f"{module.path}:{node.lineno} uses random.{node.attr}, which has no seed of ours"


def doors(module: Module) -> Iterator[str]:
    """Input and output."""
    for name in sorted(DOORS_OUT & set(_imports(module))):
        yield f"{module.path} imports {name}"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and _name(node.func) in FILE_CALLS:
            yield f"{module.path}:{node.lineno} calls {_name(node.func)}()"


def long_functions(module: Module) -> Iterator[str]:
    """Functions of more lines than a screen holds."""
    for function in functions(module):
        lines = (function.end_lineno or function.lineno) - function.lineno + 1
        if lines > FUNCTION_LINES_MAX:
            yield f"{module.path}:{function.lineno} {function.name} has {lines} lines"


def functions(module: Module) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method."""
    return [node for node in ast.walk(module.tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None:
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def banned_names(module: Module) -> Iterator[str]:
    """Names that say nothing of what is inside."""
    for part in module.path.removesuffix(".py").split("/"):
        for word in BANNED_WORDS & set(part.split("_")):
            yield f"{module.path} is named {word!r}"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ClassDef):
            words = {word.lower() for word in re.findall(r"[A-Z][a-z]+", node.name)}
            for word in BANNED_WORDS & words:
                yield f"{module.path}:{node.lineno} class {node.name} is named {word!r}"


def missing_docstring(module: Module) -> Iterator[str]:
    """A module that does not say why it exists."""
    if not ast.get_docstring(module.tree):
        yield f"{module.path} has no docstring"


def _imports(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else ""


def _mentions_float(annotation: ast.expr) -> bool:
    return any(isinstance(node, ast.Name) and node.id == "float" for node in ast.walk(annotation))
