# One word for each thing that is done often; `just` lists them.

set shell := ["bash", "-euo", "pipefail", "-c"]

_list:
    @just --list --unsorted

# Everything that must hold before a change lands.
check:
    .ci/run

# The tests, for example `just test tests/log`.
test *arguments:
    uv run pytest {{ arguments }}

# Format, and mend what can be mended.
fmt:
    uv run ruff format .
    uv run ruff check --fix .

# Pin every package of every group; `just pin --upgrade` moves to the newest releases.
pin *arguments:
    uv run --no-sync python scripts/pin_constraints.py {{ arguments }}
    uv sync

# Play the scenario on a market of its own.
demo *arguments:
    uv run marketplace demo {{ arguments }}

# Run the whole stack on a data folder.
up *arguments:
    uv run marketplace up {{ arguments }}

# The figures of the README, for example `just bench commands`.
bench name *arguments:
    uv run --group bench python -m benchmarks.{{ name }} {{ arguments }}

# Properties on examples that nobody has seen yet; the other tests run on the same ones each time.
search *arguments:
    HYPOTHESIS_PROFILE=search uv run pytest -m hypothesis {{ arguments }}

# Break a running market on three NATS servers, one fault after the other, and audit it: `just chaos --minutes 60 --servers 1`.
chaos *arguments:
    uv run python -m tests.chaos {{ arguments }}

# One full auction on real servers, and what it takes: `just large-auction --orders 10000 --servers 1`.
large-auction *arguments:
    uv run python -m tests.large_auction {{ arguments }}

# Play the log on a model of JetStream under a scheduler, for example `just simulate-log --seeds 10000` or `--planted`.
simulate-log *arguments:
    uv run python -m tests.simulation.log {{ arguments }}
