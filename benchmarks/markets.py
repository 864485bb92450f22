"""Makes markets like the instances that the clearing engine is judged on, any number of them, from seeds.

Two kinds: `synthetic`, whose prices are around list prices of mid-2026 and whose fabrics come and go, and `cluster`,
where jobs of a public trace's shape arrive in bursts at many equal pools of a dozen nodes, offered at three asks. An
instance is the folder of CSV files that `marketplace clear` reads.
"""

import csv
import random
from collections.abc import Iterable, Mapping
from pathlib import Path

PERIODS = 90
REGIONS = ("us-east", "us-west", "eu-north", "ap-east")
LIST_USD_PER_GPU_HOUR = {"H100_SXM": 2.6, "H200_SXM": 3.4, "B200_SXM": 5.0, "A100_80GB": 1.5}
CLASS_WEIGHTS = (45, 28, 15, 12)
FABRIC_SHARE = 0.6
"""Of orders of several nodes, how many need them on one fast fabric; a single node never does."""
CLUSTER_ASKS = ("1.6000", "2.0000", "2.4000")
Row = Mapping[str, object]


def write_synthetic(folder: Path, seed: int, orders: int, pools: int) -> Path:
    """Write an instance of fabrics with one to four lots each, and of requests with windows of up to two weeks."""
    pick = random.Random(seed)  # noqa: S311 - a market that repeats itself, no secret
    fabrics = [
        {
            "pool_id": f"pool_{at:03d}",
            "gpu_class": pick.choices(list(LIST_USD_PER_GPU_HOUR), CLASS_WEIGHTS)[0],
            "region": pick.choice(REGIONS),
            "interconnect": pick.choices(("infiniband", "ethernet"), (2, 1))[0],
            "gpus_per_node": 8,
        }
        for at in range(pools)
    ]
    lots = [_make_lot(pick, fabric, step) for fabric in fabrics for step in range(pick.randint(1, 4))]
    return write_instance(folder, fabrics, lots, (_make_order(pick, at) for at in range(orders)))


def _make_lot(pick: random.Random, fabric: Row, step: int) -> Row:
    ask = LIST_USD_PER_GPU_HOUR[str(fabric["gpu_class"])] * pick.uniform(0.8, 1.25)
    return {
        "lot_id": f"lot_{str(fabric['pool_id'])[5:]}_{step}",
        "pool_id": fabric["pool_id"],
        "nodes": pick.choice((8, 16, 32, 64, 128)),
        "from_period": pick.randint(0, 29),
        "to_period": pick.randint(45, PERIODS),
        "ask_usd_per_gpu_hour": f"{ask:.4f}",
    }


def _make_order(pick: random.Random, at: int) -> Row:
    nodes = pick.choices((1, 2, 4, 8, 16, 32, 64), (20, 20, 20, 20, 10, 6, 3))[0]
    duration = min(45, max(1, int(pick.lognormvariate(2.3, 0.9))))
    first = pick.randint(0, PERIODS - duration)
    names = list(LIST_USD_PER_GPU_HOUR)
    classes = sorted(pick.sample(names, pick.choice((1, 2))), key=names.index)
    limit = min(LIST_USD_PER_GPU_HOUR[name] for name in classes) * pick.uniform(0.8, 1.6)
    return {
        "order_id": f"order_{at:05d}",
        "nodes": nodes,
        "duration_periods": duration,
        "start_earliest": first,
        "start_latest": min(first + pick.choice((0, 1, 3, 7, 14)), PERIODS - duration),
        "gpu_classes": "|".join(classes),
        "regions": "|".join(sorted(pick.sample(REGIONS, pick.randint(1, 4)), key=REGIONS.index)),
        "infiniband_required": int(nodes > 1 and pick.random() < FABRIC_SHARE),
        "limit_usd_per_gpu_hour": f"{limit:.4f}",
    }


def write_cluster(folder: Path, seed: int, orders: int, pools: int) -> Path:
    """Write an instance of equal small pools, offered at three asks, and of jobs that come in bursts."""
    pick = random.Random(seed)  # noqa: S311 - a market that repeats itself, no secret
    fabrics: list[Row] = [
        {
            "pool_id": f"pool_{at:03d}",
            "gpu_class": ("V100", "P100")[at % 2],
            "region": ("us-east", "us-west", "eu-north", "ap-east")[at % 4],
            "interconnect": "infiniband" if at % 3 else "ethernet",
            "gpus_per_node": 1,
        }
        for at in range(pools)
    ]
    lots: list[Row] = [
        {
            "lot_id": f"lot_{at:03d}_{step}",
            "pool_id": fabric["pool_id"],
            "nodes": 4,
            "from_period": 0,
            "to_period": PERIODS,
            "ask_usd_per_gpu_hour": ask,
        }
        for at, fabric in enumerate(fabrics)
        for step, ask in enumerate(CLUSTER_ASKS)
    ]
    days = [pick.lognormvariate(0, 0.8) for _ in range(70)]
    starts = sorted(pick.choices(range(70), days, k=orders))
    return write_instance(folder, fabrics, lots, (_make_job(pick, at, first) for at, first in enumerate(starts)))


def _make_job(pick: random.Random, at: int, first: int) -> Row:
    nodes = pick.choices((1, 2, 4, 8, 16), (47, 7, 20, 23, 3))[0]
    return {
        "order_id": f"order_{at:05d}",
        "nodes": nodes,
        "duration_periods": min(PERIODS - first, 32, 2 + int(pick.lognormvariate(0.05, 1.2))),
        "start_earliest": first,
        "start_latest": first + pick.choice((0, 1, 3, 7)),
        "gpu_classes": pick.choice(("V100", "V100|P100")),
        "regions": "|".join(REGIONS) if pick.random() < 0.6 else pick.choice(REGIONS),
        "infiniband_required": int(nodes > 8),
        "limit_usd_per_gpu_hour": f"{pick.uniform(1.6, 3.2):.4f}",
    }


def write_instance(folder: Path, pools: Iterable[Row], lots: Iterable[Row], orders: Iterable[Row]) -> Path:
    """Write the three files of an instance and return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in (("pools", list(pools)), ("lots", list(lots)), ("orders", list(orders))):
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return folder
