"""Write the generated files of `events/`: JSON Schemas, lock, golden samples of new tags, AsyncAPI, the README's table.

    uv run python scripts/render_contracts.py                   after a new event type or another docstring
    uv run python scripts/render_contracts.py --relock TAG [TAG …] after a change of a tag that no release carried yet

A golden sample that exists is never rewritten, except with `--relock`.
"""

import argparse
import sys

from events.contract import FOLDER, LOCK, ChangedSchema, extend_lock, load_lock, render_files, render_json
from events.registry import EVENT_TYPES, render_schema_name
from tests.contracts.story.book import build_samples


def main() -> int:
    """Write the files and say which changed; 1 when a locked schema is not what it was."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--relock", nargs="+", default=[], metavar="TAG", choices=tuple(EVENT_TYPES))
    relock = frozenset(parser.parse_args().relock)
    try:
        lock = extend_lock(load_lock(), relock)
    except ChangedSchema as changed:
        print(changed, file=sys.stderr)
        return 1
    samples = build_samples()
    texts = render_files(samples, (FOLDER / "README.md").read_text(encoding="utf-8"))
    texts[str(LOCK.relative_to(FOLDER))] = render_json(lock)
    for tag, sample in samples.items():
        path = f"samples/{render_schema_name(tag)}"
        if tag in relock or not (FOLDER / path).exists():
            texts[path] = render_json(sample)
    _write(texts)
    return 0


def _write(texts: dict[str, str]) -> None:
    for path, text in texts.items():
        target = FOLDER / path
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            target.write_text(text, encoding="utf-8")
            print(f"wrote events/{path}")


if __name__ == "__main__":
    sys.exit(main())
