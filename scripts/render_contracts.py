"""Write the generated files: schemas, lock, samples of new tags, AsyncAPI, error codes, READMEs' tables, sync types.

    uv run python scripts/render_contracts.py                after a new event type, query, refusal, docstring or method
    uv run python scripts/render_contracts.py --resample     and rewrite samples that the story now gives otherwise
    uv run python scripts/render_contracts.py --relock TAG   and lock a tag anew that no release contains yet

Existing samples are rewritten with `--resample` only, because the sample of a released tag must not change.
"""

import argparse
import sys
from pathlib import Path

from events.registry import EVENT_TYPES, render_schema_name
from events.rendering.contract import ChangedSchema, extend_lock, render_files, render_json
from scripts import aggregate_table, error_catalogue, query_table, rights_table, sync_client, visibility_page
from scripts.contract_files import FOLDER, LOCK, README, load_lock
from tests.contracts.story.book import build_samples


def main() -> int:
    """Write the files and print which changed; return 1 if a locked schema changed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--relock", nargs="+", default=[], metavar="TAG", choices=tuple(EVENT_TYPES))
    parser.add_argument("--resample", action="store_true")
    arguments = parser.parse_args()
    try:
        lock = extend_lock(load_lock(), frozenset(arguments.relock))
    except ChangedSchema as changed:
        print(changed, file=sys.stderr)
        return 1
    samples = build_samples()
    texts = render_files(samples, README.read_text(encoding="utf-8"))
    texts[str(LOCK.relative_to(FOLDER))] = render_json(lock)
    for tag, sample in samples.items():
        path = f"samples/{render_schema_name(tag)}"
        if arguments.resample or not (FOLDER / path).exists():
            texts[path] = render_json(sample)
    for path, text in texts.items():
        _write(FOLDER / path, text)
    for table in (query_table, aggregate_table, rights_table):
        _write(table.README, table.replace_table(table.README.read_text(encoding="utf-8")))
    _write(visibility_page.PAGE, visibility_page.render_page())
    _write(sync_client.STUB, sync_client.render_stub())
    _write(error_catalogue.CATALOGUE, error_catalogue.render_catalogue(error_catalogue.parse_package()))
    return 0


def _write(target: Path, text: str) -> None:
    if not target.exists() or target.read_text(encoding="utf-8") != text:
        target.write_text(text, encoding="utf-8")
        print(f"wrote {target.relative_to(FOLDER.parent)}")


if __name__ == "__main__":
    sys.exit(main())
