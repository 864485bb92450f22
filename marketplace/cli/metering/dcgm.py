"""NVIDIA's dcgm-exporter: a Prometheus exposition, as evidence of each GPU or MIG instance.

Names differ between its releases: ``dcgm_gpu_utilization`` became ``DCGM_FI_DEV_GPU_UTIL``, and the GPU's label
``uuid`` became ``UUID``. Values from 9223372036854775792 on are sentinels for what DCGM could not read, and are
ignored. See https://github.com/NVIDIA/dcgm-exporter and ``dcgm_structs.h``.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, Literal

from prometheus_client.parser import text_string_to_metric_families

from events.usage import Sample
from marketplace.core.errors import Refusal

SENTINEL: Final = 9_223_372_036_854_775_792
MILLIJOULES_PER_KWH: Final = Decimal(3_600_000_000)
_PERCENT: Final = Decimal(100)
_PLACES: Final = Decimal("0.000001")
_MEMBERS: Final[Mapping[str, Literal["percent", "share", "energy", "xid"]]] = {
    "DCGM_FI_DEV_GPU_UTIL": "percent",
    "dcgm_gpu_utilization": "percent",
    "DCGM_FI_PROF_GR_ENGINE_ACTIVE": "share",
    "dcgm_fi_prof_gr_engine_active": "share",
    "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION": "energy",
    "dcgm_total_energy_consumption": "energy",
    "DCGM_FI_DEV_XID_ERRORS": "xid",
    "dcgm_xid_errors": "xid",
}
_UUID_LABELS: Final = ("UUID", "uuid")
_INSTANCE_LABELS: Final = ("GPU_I_ID", "gpu_i_id")


def parse_exposition(text: str, at: datetime) -> list[Sample]:
    """Return the samples of an exposition, one for each device and instant.

    Args:
        text: The exposition.
        at: When it was taken, for values without a time of their own.

    Raises:
        Refusal: ``exposition_invalid`` if it cannot be read or names no GPU.
    """
    found: dict[tuple[str, datetime], dict[str, Any]] = {}
    try:
        for family in text_string_to_metric_families(text):
            for metric in family.samples:
                member = _MEMBERS.get(metric.name) or _MEMBERS.get(metric.name.removesuffix("_total"))
                device = _find_device(metric.labels)
                if member is None or device is None or not _is_known(metric.value):
                    continue
                when = at if metric.timestamp is None else datetime.fromtimestamp(float(metric.timestamp), UTC)
                _take(found.setdefault((device, when), {}), member, metric.value)
    except ValueError as error:
        raise Refusal("exposition_invalid", f"this is not a Prometheus exposition: {error}") from None
    if not found:
        raise Refusal("exposition_invalid", "the exposition has no metric of dcgm-exporter that names a GPU's UUID")
    return [Sample(device=device, at=when, **said) for (device, when), said in sorted(found.items())]


def _find_device(labels: Mapping[str, str]) -> str | None:
    """Return the GPU's UUID, for a MIG instance with its id; None if the exporter does not state it."""
    uuid = next((labels[name] for name in _UUID_LABELS if labels.get(name)), None)
    instance = next((labels[name] for name in _INSTANCE_LABELS if labels.get(name)), None)
    return uuid if uuid is None or instance is None else f"{uuid}/{instance}"


def _is_known(value: float) -> bool:
    """Return whether a value is a number that DCGM could read."""
    return 0 <= value < SENTINEL


def _take(said: dict[str, Any], member: str, value: float) -> None:
    exact = Decimal(str(value))
    match member:
        case "percent":
            said.setdefault("gpu_utilisation", min(exact / _PERCENT, Decimal(1)))
        case "share":
            said["gpu_utilisation"] = min(exact, Decimal(1)).quantize(_PLACES)
        case "energy":
            said["energy_kwh"] = (exact / MILLIJOULES_PER_KWH).quantize(_PLACES)
        case _:
            said["xid_error"] = int(exact)
