"""`marketplace serve`: one process of a deployment with existing servers."""

from typing import Annotated, Final, Literal

from cyclopts import App, Parameter

from marketplace.cli.console import configure_logging, run_service, stop_on_signals
from marketplace.cli.output import CONSOLE
from marketplace.runtime.process.config import load_settings
from marketplace.runtime.process.secrets import new_admin_key, require_api_secrets

app = App(name="serve")
LogLevel = Literal["debug", "info", "warning", "error"]
WORKER_STOP_SECONDS_MAX: Final = 1.5
"""The longest orderly end of a worker. Another worker, or the same one after a restart, repeats what it was doing."""


@app.default
def serve(
    *,
    role: Literal["api", "worker"],
    host: str = "127.0.0.1",
    port: int = 8000,
    nats_url: Annotated[str | None, Parameter(env_var="MARKETPLACE_NATS_URL")] = None,
    database_url: Annotated[str | None, Parameter(env_var="MARKETPLACE_DATABASE_URL")] = None,
    log_level: Annotated[LogLevel, Parameter(env_var="MARKETPLACE_LOG_LEVEL")] = "info",
) -> int:
    """Run until Ctrl-C or SIGTERM.

    Args:
        role: `api` answers HTTP; `worker` projects, keeps time and runs auctions.
        host: Where the API listens.
        port: Where the API listens.
        nats_url: Servers and the application's user, separated by commas.
        database_url: postgresql://… of the projections.
        log_level: Lowest level that is logged.
    """
    configure_logging(log_level)
    if role == "api":
        from marketplace.app import serve_api  # noqa: PLC0415 - a worker loads no web framework
    else:
        from marketplace.worker_process import serve_worker  # noqa: PLC0415 - an API schedules nothing

    async def main() -> None:
        settings = load_settings(nats_url=nats_url, database_url=database_url)
        stop = stop_on_signals(WORKER_STOP_SECONDS_MAX if role == "worker" else None)
        if role == "api":
            require_api_secrets(settings)
            await serve_api(settings, host, port, stop)
        else:
            await serve_worker(settings, stop)

    run_service(main())


@app.command(name="new-admin-key")
def new_admin_key_command() -> None:
    """Print a new API key of the platform, for MARKETPLACE_ADMIN_KEY."""
    CONSOLE.print(new_admin_key())
