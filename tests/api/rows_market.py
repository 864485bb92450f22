"""Endpoints of the market's data, as each caller is answered."""

from tests.api.rows import SEEN, Row

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
        "/v1/market/prices",
        refused=("start=x", 422, "request_invalid"),
        other=SEEN,
        check=lambda page: page["items"],
    ),
    Row(
        "GET",
        "/v1/market/capacity?pool_id={pool}&start=2030-01-01T00:00:00Z&end=2030-02-01T00:00:00Z",
        refused=("pool_id=x&start=2030-02-01T00:00:00Z&end=2030-01-01T00:00:00Z", 422, "request_invalid"),
        other=SEEN,
        check=lambda steps: steps[0]["free"] == 0,
    ),
    Row(
        "GET",
        "/v1/market/capacity?pool_id={pool}&start=2030-01-01T00:00:00Z&end=2030-02-01T00:00:00Z&at=1",
        refused=("pool_id=x&start=2030-01-01T00:00:00Z&end=2030-02-01T00:00:00Z&at=x", 422, "request_invalid"),
        other=SEEN,
        check=lambda steps: steps[0]["offered"] == 0,
    ),
)
