"""The certificates that the market's equity engine wrote for the round and the sale of the story.

They are golden as the samples are: a later engine may write another layout, these stay, and the checker must take them.
"""

from pathlib import Path


def load_certificate(name: str) -> str:
    """Return the canonical JSON of a certificate, ``round`` or ``sale``."""
    return (Path(__file__).parent / f"{name}_certificate.json").read_text(encoding="utf-8").rstrip("\n")
