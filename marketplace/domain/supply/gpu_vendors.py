"""Who makes a class of GPUs, and of which generation it is, from the class's name."""

import re
from typing import Final

from events.types import GpuVendor

_VENDORS: Final[tuple[tuple[tuple[str, ...], GpuVendor], ...]] = (
    (("MI",), "amd"),
    (("GAUDI",), "intel"),
    (("TPU",), "google"),
    (("TRN", "INF"), "aws"),
    (
        ("A1", "A2", "A3", "A4", "B1", "B2", "B3", "GB", "GH", "H1", "H2", "L4", "R1", "R2", "RTX", "T4", "V1", "VR"),
        "nvidia",
    ),
)
_GENERATIONS: Final[tuple[tuple[tuple[str, ...], str], ...]] = (
    (("VR", "R1", "R2"), "rubin"),
    (("B1", "B2", "B3", "GB"), "blackwell"),
    (("H1", "H2", "GH"), "hopper"),
    (("L4", "RTX_4", "RTX4", "RTX_6000_ADA"), "ada"),
    (("A1", "A2", "A3", "A4"), "ampere"),
    (("T4",), "turing"),
    (("V1",), "volta"),
    (("MI45", "MI44"), "cdna_5"),
    (("MI35",), "cdna_4"),
    (("MI3",), "cdna_3"),
    (("MI2",), "cdna_2"),
    (("MI1",), "cdna_1"),
)
_NUMBERED: Final = {"GAUDI": "gaudi", "TPU_V": "tpu_v", "TPUV": "tpu_v", "TRN": "trainium_", "INF": "inferentia_"}
_NUMBER: Final = re.compile(r"_?(?P<number>[0-9]+)")


def find_generation(gpu_class: str) -> str:
    """Return the generation of a GPU class, such as ``hopper``; ``other`` if unknown.

    Classes of one architecture share a generation. A numbered chip gives its series and number: ``TRN2`` is
    ``trainium_2``.
    """
    for names, generation in _GENERATIONS:
        if gpu_class.startswith(names):
            return generation
    for name, series in _NUMBERED.items():
        match = _NUMBER.match(gpu_class, len(name)) if gpu_class.startswith(name) else None
        if match is not None:
            return series + match["number"]
    return "other"


def find_vendor(gpu_class: str) -> GpuVendor:
    """Return the vendor of a GPU class, from the start of its name; ``other`` if unknown."""
    found = (vendor for names, vendor in _VENDORS if gpu_class.startswith(names))
    return next(found, "other")
