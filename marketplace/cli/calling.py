"""Commands that call an API. Its refusals, and a missing API, are shown like any other error."""

from collections.abc import Coroutine
from typing import Any

import httpx

from marketplace.cli.console import run
from marketplace.client import ProblemError
from marketplace.core.errors import Refusal, Unavailable


def run_call(main: Coroutine[Any, Any, int | None], api_url: str) -> int:
    """Run a command that asks the API at `api_url`, and return its exit code, as `console.run` does."""
    return run(_call(main, api_url))


async def _call(main: Coroutine[Any, Any, int | None], api_url: str) -> int | None:
    try:
        return await main
    except ProblemError as problem:
        raise Refusal(problem.code, problem.detail) from problem
    except httpx.TransportError as error:
        raise Unavailable("the API", f"nobody answers at {api_url}: {error!r}; check --api-url") from error
