"""The command line: one module per group of commands."""

import sys

from cyclopts import App

from marketplace import __version__
from marketplace.cli.auction import app as auction_app
from marketplace.cli.clear import app as clear_app
from marketplace.cli.demo import app as demo_app
from marketplace.cli.equity import app as equity_app
from marketplace.cli.explain import app as explain_app
from marketplace.cli.log import app as log_app
from marketplace.cli.prices import app as prices_app
from marketplace.cli.projections import app as projections_app
from marketplace.cli.serve import app as serve_app
from marketplace.cli.up import app as up_app
from marketplace.cli.usage import app as usage_app

app = App(
    name="marketplace",
    help="A compute-for-equity marketplace on an event log that anyone can replay.",
    version=__version__,
)
GROUPS = (
    demo_app,
    up_app,
    serve_app,
    projections_app,
    explain_app,
    prices_app,
    log_app,
    clear_app,
    auction_app,
    equity_app,
    usage_app,
)
for command in GROUPS:
    app.command(command)


def main() -> None:
    """Run the command line, and exit with what the command returns."""
    result = app()
    sys.exit(result if isinstance(result, int) else 0)
