"""The catalogue of error codes, `marketplace/api/http/errors.json`, read from the calls that raise them.

Every call of `Refusal`, of the functions of `domain/refusals.py`, of `Reason` and of `LogChanged`, and every
`ProblemError` of the console, states a code and a sentence. The catalogue holds both, with the HTTP status and the
names of the facts. A code that is computed stands in `_COMPUTED`, and the sentence of a code that computes it in
`_SENTENCES`.
"""

import ast
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from marketplace.api.http.known_values import PREFIXED
from marketplace.api.http.problems import FAULTS, get_status
from marketplace.core.errors import Refusal

ROOT: Final = Path(__file__).parent.parent
CATALOGUE: Final = ROOT / "marketplace" / "api" / "http" / "errors.json"
_LOCAL: Final = (
    "marketplace/cli/",
    "marketplace/embedded/",
    "marketplace/runtime/process/",
    "marketplace/app.py",
    "marketplace/process.py",
    "marketplace/worker_process.py",
)
"""What refuses on the command line alone."""
_SHARED: Final = "marketplace/domain/refusals.py"
_AUDITOR: Final = "marketplace/auditor/"
"""What reports broken rules and refuses nothing: its `require` is not the one of the API."""
_SERVER: Final = "marketplace/api/http/server.py"
"""What answers before the application is asked."""
_SENTENCES_MAX: Final = 5
STATUSES: Final = {
    "approval": ("approved", "refused", "withdrawn", "lapsed"),
    "auction": ("collecting", "locked", "failed", "cleared"),
    "claim": ("open", "contested", "settled"),
    "financing": ("closed", "abandoned"),
    "grant": ("issued", "active", "degraded", "suspended", "completed", "terminated"),
    "instrument": ("active", "suspended", "lapsed", "cancelled", "repaid"),
    "lot": ("withdrawn",),
    "offer": ("offered", "waived", "exercised", "withdrawn", "transferred"),
    "order": ("open", "locked", "matched", "unmatched", "cancelled", "expired"),
    "proposal": ("effective", "refused", "withdrawn", "lapsed", "void"),
    "quote": ("taken", "released", "expired"),
    "service_line": ("proposed", "declined", "closed"),
    "statement": ("issued", "disputed", "resolved", "accepted"),
}
"""The statuses in which something refuses a command, for codes such as ``order_locked``."""
_COMPUTED: Final[Mapping[str, tuple[str, ...]]] = {
    "f'key_{state}'": ("key_expired", "key_revoked", "key_suspended"),
    "f'{kind}_unoffered'": ("gpu_class_unoffered", "region_unoffered"),
    "f'auction_{view.status}'": tuple(f"auction_{status}" for status in STATUSES["auction"]),
    "f'{name}_range_empty'": ("cap_range_empty", "discount_range_empty", "strike_range_empty"),
    "f'{what}_exists'": ("reference_exists", "cause_exists"),
    "f'{what}_unwelcome'": ("provider_unwelcome", "site_unwelcome"),
    "f'{aggregate}_overdrawn'": ("warrant_overdrawn", "option_overdrawn"),
    "f'stock_class_not_{next(iter(kinds))}'": ("stock_class_not_common", "stock_class_not_preferred"),
    "answer.code or 'reading_exists'": ("reading_exists",),
    "rule.aggregate": tuple(sorted(PREFIXED)),
    "refusal.code": (),
    "reason.code": (),
    "problem.code": (),
}
"""The codes of computed expressions. The last three pass on a code that was raised elsewhere."""
_SENTENCES: Final[Mapping[str, str]] = {
    "auction_cleared": "the auction is cleared already; this works only while it collects orders or is locked",
    "auction_collecting": "the auction still collects orders; read it again once it is locked or cleared",
    "auction_failed": "an attempt to clear the auction failed, as detail says; it is tried again, or has released its "
    "orders",
    "auction_full": "there are more orders than one auction clears, and the admitted ones are worth more; offer more",
    "auction_locked": "the auction is locked and being cleared; read it again once it is cleared",
    "auction_not_cleared": "the auction has not cleared; its audit can be made once it has",
    "book_too_large": "the book holds more pools, lots, orders or bids than one auction clears; split it",
    "body_too_large": "the body is larger than the route reads; split the request",
    "budget_exhausted": "the mandate has less of its budget left than is needed; ask for less, or later",
    "conflict": "other writers changed the same things first, every time, and nothing was stored; send it again with "
    "the same Idempotency-Key",
    "conversion_scheduled": "the conversion of the site is scheduled already; let it slip to move the date",
    "count_above_statement": "a count must be below what the statement states, and below a count that stands already; "
    "state less",
    "direct_budget_exhausted": "the mandate has less of its budget for direct cash left than is needed; ask for less, "
    "or later",
    "event_unreadable": "an event of the log cannot be read, and the request depends on it; send it again once the "
    "operator has annotated the event",
    "follower_behind": "this process is behind the log; send the request again",
    "generation_maximum_reached": "the mandate has taken its maximum of this generation of GPUs; choose another "
    "generation, or another mandate",
    "gpu_class_unoffered": "no pool of the market has this GPU class; use one that detail names",
    "internal_error": "the server made an error, and its log describes it under the answer's Request-Id; send the "
    "command again with the same Idempotency-Key",
    "key_expired": "the key has expired, and its token does not work; issue a new key",
    "key_revoked": "the key was revoked for good, and its token does not work; issue a new key",
    "key_suspended": "the key is suspended, and its token does not work; resume it, or issue a new key",
    "log_corrupt": "stored data cannot be read; the operator finds the cause in the server's log",
    "log_gap": "a position of the log is empty, so that no command can be stored; send it again once the operator has "
    "accepted the gap",
    "log_replaced": "the event log is another one than before; this process stops until the operator has restored it",
    "log_rolled_back": "the event log went back; this process stops until the operator has restored it",
    "media_type_unsupported": "the route does not read this media type or character set; send the Content-Type that "
    "detail names",
    "method_not_allowed": "the path does not support this method; see the Allow header",
    "nats_unavailable": "the servers of the event log cannot be reached; send the request again with the same "
    "Idempotency-Key",
    "no_capacity": "less capacity is left in the order's pools and window than it needs; widen the window, or name "
    "more classes or regions",
    "package_too_large": "the package or one of its files is larger than is read; split it",
    "postgresql_unavailable": "the database of the projections cannot be reached; send the request again",
    "price_above_mandate": "the price per GPU-hour is above what the mandate pays; offer less, or choose another "
    "mandate",
    "projection_behind": "the projections have not reached the position of Min-Seq in time; read again",
    "projection_stopped": "a projection has stopped at an event and waits for the operator; read again later",
    "region_unoffered": "no site of the market is in this region; use one that detail names",
    "related_unwelcome": "the mandate pays for no trade among related parties; pay in cash, ask its holder, or choose "
    "another mandate",
    "request_invalid": "a parameter of the request is invalid; errors names each one",
    "request_malformed": "the request is not well-formed; send a whole HTTP/1.1 head and correct lengths",
    "request_refused": "the server does not serve this request; read detail",
    "resale_unwelcome": "the mandate pays for no resold capacity; do not name it",
    "route_unknown": "there is nothing at this path; /schema lists every route",
    "scope_invalid": "no scope has this name; use one that errors lists as allowed",
    "site_operating": "the site operates already; a conversion is scheduled for a planned site",
    "storage_full": "the log's storage is full, so that no command can be stored; send it again once the operator has "
    "made room",
    "threshold_unexpected": "a warrant that vests at a sale without a threshold takes no proceeds_usd; leave it out",
    "unavailable": "a server that the market needs is unavailable; send the request again",
    "warrant_unvested": "fewer shares of the warrant have vested than were asked for; exercise those, or wait",
    "vendor_maximum_reached": "the mandate has taken its maximum of this vendor's GPUs; choose another vendor, or "
    "another mandate",
}
"""Sentences that are computed where the code is raised, and those of faults, which no refusal states."""
_STATED: Final = ("Refusal", "Reason", "LogChanged")
_UNKNOWN: Final = "there is no {} {{id}}; check the id"
_TOLD: Final = {
    "refuse_unknown": _UNKNOWN,
    "require_found": _UNKNOWN,
    "refuse_exists": "{} {{id}} exists with other content; send what differs under another id or idempotency key",
}
_ENDINGS: Final = {"refuse_unknown": "unknown", "require_found": "unknown", "refuse_exists": "exists"}
_Scopes = tuple[ast.FunctionDef | ast.AsyncFunctionDef, ...]
_Names = Mapping[str, ast.expr]


class _Call(NamedTuple):
    path: str
    call: ast.Call
    within: _Scopes
    module: _Names

    @property
    def name(self) -> str:
        function = self.call.func
        return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")

    @property
    def known(self) -> _Names:
        """Return the values of names where the call stands: those of its functions, before it, and of its module."""
        earlier = (each for scope in self.within for part in ast.walk(scope) for each in _list_assigned(part))
        return {**self.module, **{name: value for line, name, value in earlier if line <= self.call.lineno}}

    def find(self, parameter: str, position: int) -> ast.expr | None:
        """Return what the call passes for a parameter."""
        named = {keyword.arg: keyword.value for keyword in self.call.keywords}
        if position < len(self.call.args):
            return self.call.args[position]
        return named.get(parameter)


class _Raised(NamedTuple):
    """One call that states a code. The sentence has names in braces for values, and is empty if it is computed."""

    code: str
    status: int | None
    sentence: str
    facts: tuple[str, ...]


def parse_package() -> Iterator[tuple[str, ast.Module]]:
    """Yield the path and the tree of each module of the package."""
    for path in sorted((ROOT / "marketplace").rglob("*.py")):
        yield str(path.relative_to(ROOT)), ast.parse(path.read_text(encoding="utf-8"))


def build_catalogue(trees: Iterable[tuple[str, ast.Module]]) -> dict[str, dict[str, Any]]:
    """Return every code with its HTTP status (null on the command line alone), sentences and names of facts.

    Args:
        trees: Path and tree of each module of the package.

    Raises:
        ValueError: A code or a sentence is computed in a new way.
    """
    calls = list(_list_calls(trees))
    found = [raised for call in calls for raised in _read(call, calls)]
    found += [_Raised(code, status, "", ()) for code, status in FAULTS.items()]
    codes = {raised.code: [each for each in found if each.code == raised.code] for raised in found}
    return {code: _join(code, codes[code]) for code in sorted(codes)}


def render_catalogue(trees: Iterable[tuple[str, ast.Module]]) -> str:
    """Return the file's text.

    Raises:
        ValueError: As for `build_catalogue`, or a sentence stands here for a code that nothing raises.
    """
    catalogue = build_catalogue(trees)
    strange = sorted(set(_SENTENCES) - set(catalogue))
    if strange:
        raise ValueError(f"nothing raises {', '.join(strange)}; remove the sentences")
    return json.dumps(catalogue, indent=1, ensure_ascii=False) + "\n"


def _join(code: str, raised: Iterable[_Raised]) -> dict[str, Any]:
    told = [_SENTENCES[code]] if code in _SENTENCES else list(dict.fromkeys(each.sentence for each in raised))
    sentences = [sentence for sentence in told if sentence][:_SENTENCES_MAX]
    if not sentences:
        raise ValueError(f"the sentence of {code} is computed; add one to _SENTENCES")
    statuses = [each.status for each in raised if each.status is not None]
    facts = sorted({fact for each in raised for fact in each.facts})
    return {"status": statuses[0] if statuses else None, "sentences": sentences, "facts": facts}


def _list_calls(trees: Iterable[tuple[str, ast.Module]]) -> Iterator[_Call]:
    for path, tree in trees:
        if path.startswith(_AUDITOR):
            continue
        module = {name: value for node in tree.body for _, name, value in _list_assigned(node)}
        yield from _walk(path, tree, (), module)


def _walk(path: str, node: ast.AST, within: _Scopes, module: _Names) -> Iterator[_Call]:
    if isinstance(node, ast.Call):
        yield _Call(path, node, within, module)
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        within = (*within, node)
    for child in ast.iter_child_nodes(node):
        yield from _walk(path, child, within, module)


def _list_assigned(node: ast.AST) -> Iterator[tuple[int, str, ast.expr]]:
    """Yield line, name and value of an assignment, or of a function that only returns something."""
    if isinstance(node, ast.FunctionDef) and isinstance(node.body[-1], ast.Return) and node.body[-1].value:
        yield node.lineno, node.name, ast.Lambda(node.args, node.body[-1].value)
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
        yield node.lineno, node.target.id, node.value
    elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        yield node.lineno, node.targets[0].id, node.value
    elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple) and isinstance(node.value, ast.Tuple):
        for target, value in zip(node.targets[0].elts, node.value.elts, strict=True):
            if isinstance(target, ast.Name):
                yield node.lineno, target.id, value


def _read(call: _Call, calls: list[_Call]) -> Iterator[_Raised]:
    """Yield what one call states, for each code that it can have."""
    if call.name in _ENDINGS and call.path != _SHARED:
        for aggregate in _list_values(call, "aggregate", calls):
            yield _raise_shared(call, f"{aggregate}_{_ENDINGS[call.name]}", _TOLD[call.name].format(aggregate), ("id",))
    elif call.name == "refuse_status":
        for aggregate in _list_values(call, "aggregate", calls):
            status = call.find("status", 2)
            allowed = _tell(call.find("allowed", 3), call.known)
            is_allowed = (allowed or "").replace(",", "").split()
            for each in (status.value,) if isinstance(status, ast.Constant) else STATUSES[aggregate]:
                if each in is_allowed:
                    continue
                text = f"{aggregate} {{id}} is {each}; it must be {allowed or '{allowed}'} for this"
                yield _raise_shared(call, f"{aggregate}_{each}", text, ("id", "status", "allowed"))
    elif call.name == "ProblemError" or (call.name == "_answer" and call.path == _SERVER):
        yield from _read_answer(call)
    elif call.name in _STATED and call.find("code", 0) is not None and call.path != _SHARED:
        text = _tell(call.find("message", 1) or call.find("text", 1), call.known)
        named = [keyword.arg for keyword in call.call.keywords if keyword.arg] if call.name == "Refusal" else []
        for code in _list_values(call, "code", calls):
            yield _raise_shared(call, code, text or "", tuple(fact for fact in named if fact != "pointer"))


def _read_answer(call: _Call) -> Iterator[_Raised]:
    """Yield what an answer of the server, or a problem of the console, states in its own words.

    Raises:
        ValueError: The code or the status of a problem is computed.
    """
    code, detail = call.find("code", 1), call.find("detail", 2)
    if isinstance(problem := call.find("problem", 1), ast.Dict):
        members = zip(problem.keys, problem.values, strict=True)
        stated = {key.value: value for key, value in members if isinstance(key, ast.Constant)}
        code, detail = stated.get("code"), stated.get("detail")
    status, is_problem = call.find("status", 0), isinstance(problem, ast.Dict)
    if isinstance(status, ast.Constant) and isinstance(code, ast.Constant):
        yield _Raised(str(code.value), int(str(status.value)), _tell(detail, call.known) or "", ())
    elif is_problem:
        raise ValueError(f"{call.path}:{call.call.lineno} computes the code or the status of a problem")


def _raise_shared(call: _Call, code: str, text: str, facts: tuple[str, ...]) -> _Raised:
    if call.path.startswith(_LOCAL):
        return _Raised(code, None, text, facts)
    status = 503 if call.name == "LogChanged" else get_status(Refusal(code, text, **dict.fromkeys(facts)))
    return _Raised(code, status, text, facts)


def _list_values(call: _Call, parameter: str, calls: list[_Call]) -> tuple[str, ...]:
    """Return the values that a call can pass for its first parameter: constants here, or where its callers state them.

    Raises:
        ValueError: It is computed in a way that `_COMPUTED` does not list.
    """
    expression = call.find(parameter, 0)
    if isinstance(expression, ast.Constant):
        return (str(expression.value),)
    if isinstance(expression, ast.IfExp):
        return tuple(str(each.value) for each in (expression.body, expression.orelse) if isinstance(each, ast.Constant))
    text = ast.unparse(expression) if expression is not None else ""
    if text in _COMPUTED:
        return _COMPUTED[text]
    for function in reversed(call.within):
        names = [each.arg for each in function.args.args]
        if text in names:
            position = names.index(text) - (names[0] == "self")
            return tuple(dict.fromkeys(_list_passed(function.name, text, position, calls)))
    if call.path.endswith("auth_middleware.py"):
        return tuple(sorted(PREFIXED))
    raise ValueError(f"{call.path}:{call.call.lineno} computes the code {text}; list its values in _COMPUTED")


def _list_passed(function: str, parameter: str, position: int, calls: list[_Call]) -> Iterator[str]:
    for call in calls:
        if call.name == function:
            passed = call.find(parameter, position)
            if isinstance(passed, ast.Constant):
                yield str(passed.value)
            elif isinstance(passed, ast.Name):
                outer = next((each for each in call.within if passed.id in [one.arg for one in each.args.args]), None)
                if outer is not None and outer.name != function:
                    names = [each.arg for each in outer.args.args]
                    place = names.index(passed.id) - (names[0] == "self")
                    yield from _list_passed(outer.name, passed.id, place, calls)


def _tell(node: ast.AST | None, known: _Names) -> str | None:
    """Return a text with names in braces for its values; None if it is computed elsewhere."""
    match node:
        case ast.Constant():
            return str(node.value)
        case ast.JoinedStr():
            return "".join(_tell_part(part, known) for part in node.values)
        case ast.BinOp(op=ast.Add()):
            parts = (_tell(node.left, known), _tell(node.right, known))
            return "".join(part or "…" for part in parts) if any(parts) else None
        case ast.IfExp():
            return _tell(node.body, known)
        case ast.Name() if node.id in known:
            return _tell(known[node.id], {name: value for name, value in known.items() if name != node.id})
        case ast.Call(func=ast.Name()) if isinstance(function := known.get(node.func.id), ast.Lambda):
            passed = zip((each.arg for each in function.args.args), node.args, strict=False)
            return _tell(function.body, {**known, **{name: _settle(value, known) for name, value in passed}})
    return None


def _settle(value: ast.expr, known: _Names) -> ast.expr:
    """Return a text in place of an expression that names of this place compute."""
    text = _tell(value, known)
    return value if text is None else ast.Constant(text)


def _tell_part(part: ast.expr, known: _Names) -> str:
    if not isinstance(part, ast.FormattedValue):
        return str(_tell(part, known))
    text = _tell(part.value, known) if isinstance(part.value, ast.Constant | ast.IfExp | ast.Name) else None
    if text is not None:
        return text
    node: ast.AST = part.value
    while not isinstance(node, ast.Attribute | ast.Name):
        match node:
            case ast.Call(args=[*_, last]):
                node = last
            case ast.Call(func=function):
                node = function
            case ast.Subscript(value=inner) | ast.UnaryOp(operand=inner) | ast.BinOp(left=inner):
                node = inner
            case _:
                return "…"
    name = (node.attr if isinstance(node, ast.Attribute) else node.id).lower().strip("_")
    return "{instant}" if name == "isoformat" else f"{{{name}}}"
