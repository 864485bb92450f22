"""Endpoints of the market's data, as each caller is answered."""

from decimal import Decimal

from tests.api.rows import SEEN, Row

GENERATION = ("nvidia", "hopper", ["H100_SXM"], True)


def _tell(row: dict) -> tuple:
    """What a generation is, and whether it has supply and awards."""
    has_supply = row["gpus"] > 0 and row["awarded_gpu_hours"] > 0
    return row["gpu_vendor"], row["gpu_generation"], [one["gpu_class"] for one in row["classes"]], has_supply


MARKET = (
    Row("GET", "/v1/market/classes", other=SEEN, check=lambda names: names == ["H100_SXM"]),
    Row(
        "GET",
        "/v1/market/depth?gpu_class=H100_SXM",
        refused=("limit=1", 422, "request_invalid"),
        other=SEEN,
        check=lambda levels: all(level["count"] for level in levels),
    ),
    Row(
        "GET",
        "/v1/market/depth?gpu_class=H100_SXM&at=1",
        refused=("gpu_class=H100_SXM&at=yesterday", 422, "request_invalid"),
        other=SEEN,
        check=lambda levels: levels == [],
    ),
    Row(
        "GET",
        "/v1/market/public",
        refused=("gpu_class=H900", 422, "gpu_class_unoffered"),
        other=SEEN,
        check=lambda one: (one["gpu_class"], len(one["index"]), one["depth"]) == ("H100_SXM", 90, []),
    ),
    Row("GET", "/v1/market/generations", other=SEEN, check=lambda rows: [_tell(row) for row in rows] == [GENERATION]),
    Row(
        "GET",
        "/v1/mandates/exposure",
        "fund",
        refused=("holder_id={startup}", 404, "party_unknown"),
        other=SEEN,
        check=lambda rows: (
            [(row["gpu_vendor"], row["gpu_generation"]) for row in rows] == [("nvidia", "hopper")]
            and Decimal(rows[0]["committed_usd"]) > 0
        ),
    ),
    Row(
        "GET",
        "/v1/market/prices",
        refused=("start=x", 422, "request_invalid"),
        other=SEEN,
        check=lambda page: page["items"],
    ),
    Row(
        "GET",
        "/v1/market/capacity?pool_id={pool}&start=2030-01-01T00:00:00Z&end=2030-02-01T00:00:00Z",
        refused=("pool_id={pool}&start=2030-02-01T00:00:00Z&end=2030-01-01T00:00:00Z", 422, "request_invalid"),
        other=SEEN,
        check=lambda steps: steps[0]["free"] == 0,
    ),
    Row(
        "GET",
        "/v1/market/capacity?pool_id={pool}&start=2030-01-01T00:00:00Z&end=2030-02-01T00:00:00Z&at=1",
        refused=("pool_id={pool}&start=2030-01-01T00:00:00Z&end=2030-02-01T00:00:00Z&at=x", 422, "request_invalid"),
        other=SEEN,
        check=lambda steps: steps[0]["offered"] == 0,
    ),
)
