"""What the API refuses, as an exception."""

from http import HTTPStatus

import httpx
import msgspec

from marketplace.api.problems import FieldError, Problem
from marketplace.core.errors import Fact


class ProblemError(Exception):
    """The API answered with a problem document.

    Attributes:
        code: Stable code; branch on it.
        detail: What happened, and the remedy.
        status: The HTTP status.
        errors: Members of the request that are to blame.
        facts: The values behind the sentence.
        retry_after_seconds: When to try again, where the server said so.
    """

    def __init__(self, problem: Problem, retry_after_seconds: float | None = None) -> None:
        super().__init__(f"{problem.status} {problem.code}: {problem.detail}")
        self.code: str = problem.code
        self.detail: str = problem.detail
        self.status: int = problem.status
        self.errors: tuple[FieldError, ...] = problem.errors
        self.facts: dict[str, Fact] = problem.facts
        self.retry_after_seconds = retry_after_seconds


def parse_problem(response: httpx.Response) -> ProblemError:
    """Return the problem in an answer; what is no problem document, say of a proxy, gets the code ``http_error``."""
    retry_after = response.headers.get("retry-after", "")
    seconds = float(retry_after) if retry_after.isdigit() else None
    try:
        problem = msgspec.json.decode(response.content, type=Problem)
    except msgspec.DecodeError:
        problem = Problem(
            type="about:blank",
            title=HTTPStatus(response.status_code).phrase,
            status=response.status_code,
            code="http_error",
            detail=f"{response.request.method} {response.request.url} was answered {response.status_code}",
        )
    return ProblemError(problem, seconds)
