"""Names the machine that figures come from."""

import os
import platform
from pathlib import Path


def describe_machine() -> str:
    """Return cores, processor and Python in one line."""
    processor = platform.processor() or platform.machine()
    path = Path("/proc/cpuinfo")
    if path.exists():
        names = [line.partition(":")[2].strip() for line in path.read_text().splitlines() if "model name" in line]
        processor = names[0] if names else processor
    return f"{os.cpu_count()} cores, {processor}, Python {platform.python_version()}"
