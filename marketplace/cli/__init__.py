"""The command line: one module per group of commands."""

import sys

from cyclopts import App

from marketplace import __version__
from marketplace.cli import clear, demo, equity, log, projections, serve, up

app = App(
    name="marketplace",
    help="A compute-for-equity marketplace on an event log that anyone can replay.",
    version=__version__,
)
for module in (demo, up, serve, projections, log, clear, equity):
    app.command(module.app)


def main() -> None:
    """Run the command line, and exit with what the command returns."""
    result = app()
    sys.exit(result if isinstance(result, int) else 0)
