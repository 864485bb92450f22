"""Who makes a class of GPUs, from the class's name."""

from typing import Final

from events.types import GpuVendor

_VENDORS: Final[tuple[tuple[tuple[str, ...], GpuVendor], ...]] = (
    (("MI",), "amd"),
    (("GAUDI",), "intel"),
    (("TPU",), "google"),
    (("TRN", "INF"), "aws"),
    (("A1", "A2", "A3", "A4", "B1", "B2", "B3", "GB", "GH", "H1", "H2", "L4", "RTX", "T4", "V1"), "nvidia"),
)


def find_vendor(gpu_class: str) -> GpuVendor:
    """Return the vendor of a GPU class, from the start of its name; ``other`` if unknown."""
    found = (vendor for names, vendor in _VENDORS if gpu_class.startswith(names))
    return next(found, "other")
