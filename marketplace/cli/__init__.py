"""The command line: one module per group of commands.

A group is imported when it is called, so that `clear` does not load a web framework and a database driver.
"""

import sys

from cyclopts import App

from marketplace import __version__

GROUPS = {
    "demo": "Play a whole market on embedded NATS and PostgreSQL, show it, and prove its replay.",
    "up": "Run the whole market on this machine, on a data folder that survives restarts.",
    "serve": "Run an API or a worker process against servers that exist already.",
    "migrate": "Create or upgrade the tables of this release in PostgreSQL.",
    "projections": "List, rebuild and verify the projections in PostgreSQL.",
    "explain": "Explain a number down to the events and readings behind it.",
    "prices": "Compare the market's prices with public list prices.",
    "log": "Read the event log and check its hash chain.",
    "clear": "Clear an instance of pools.csv, lots.csv and orders.csv.",
    "auction": "Check cleared auctions, and export them for auditors.",
    "equity": "Equity mathematics: verify certificates of rounds and distributions.",
    "usage": "Import readings and evidence of other systems.",
    "ocf": "Export, check and import Open Cap Table Format 1.2.0 packages.",
    "what-if": "Play rounds and sales on a branch of an issuer's events; nothing is recorded.",
    "plot": "Draw the console's charts as SVG files.",
    "portfolio": "A holder's portfolio: positions, multiples, concentration, recovery.",
}

app = App(
    name="marketplace",
    help="A compute-for-equity marketplace on an event log that anyone can replay.",
    version=__version__,
)
for name, text in GROUPS.items():
    app.command(f"marketplace.cli.{name.replace('-', '_')}:app", name=name, help=text)


def main() -> None:
    """Run the command line, and exit with what the command returns."""
    result = app()
    sys.exit(result if isinstance(result, int) else 0)
