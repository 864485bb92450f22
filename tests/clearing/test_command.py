"""`marketplace clear` as a user runs it."""

import csv
import json
import subprocess
import sys

import pytest

from marketplace.clearing.codec import parse_clearing
from marketplace.clearing.verify.verifier import verify
from marketplace.cli.instance import parse_instance_dir
from marketplace.core.errors import Refusal

POOLS = "pool_id,gpu_class,region,interconnect,gpus_per_node\np,H100,us-east,infiniband,8\nq,H100,eu-north,ethernet,8\n"
LOTS = "lot_id,pool_id,nodes,from_period,to_period,ask_usd_per_gpu_hour\na,p,4,0,90,2.1000\nb,q,4,0,90,1.9000\n"
ORDERS = (
    "order_id,nodes,duration_periods,start_earliest,start_latest,gpu_classes,regions,infiniband_required,"
    "limit_usd_per_gpu_hour\n"
    "o0,2,10,0,5,H100|B200,us-east|eu-north,0,2.5000\no1,4,10,0,0,H100,us-east|eu-north,1,3.0000\no2,1,1,0,0,A100,us-east,0,9\n"
)


def write_instance(folder, orders=ORDERS):
    for name, text in (("pools", POOLS), ("lots", LOTS), ("orders", orders)):
        (folder / f"{name}.csv").write_text(text)


def run(folder, *extra):
    command = [sys.executable, "-m", "marketplace.cli.clear", str(folder), "--solution", str(folder / "s.csv")]
    return subprocess.run(
        [*command, "--prices", str(folder / "p.csv"), *extra], capture_output=True, text=True, check=False
    )


def test_the_command_writes_solution_prices_and_a_certificate_that_verifies(tmp_path):
    write_instance(tmp_path)
    done = run(tmp_path, "--certificate", str(tmp_path / "c.json"), "--seed", "3", "--iterations", "2")
    assert done.returncode == 0, done.stderr
    assert "2 of 3" in done.stdout
    assert "at most 0.0000 %, by the proven optimum" in done.stdout
    with (tmp_path / "s.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["order_id"], row["pool_id"], row["nodes"]) for row in rows] == [("o0", "q", "2"), ("o1", "p", "4")]
    with (tmp_path / "p.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 180
    verify(parse_instance_dir(tmp_path), parse_clearing(json.loads((tmp_path / "c.json").read_text())))


@pytest.mark.parametrize(
    ("name", "before", "after", "fault"),
    [
        ("orders", "2.5000", "cheap", "line 2, column limit_usd_per_gpu_hour: 'cheap' is not a decimal number"),
        ("orders", "o1,4,", "o1,four,", "line 3, column nodes: 'four' is not a whole number"),
        ("orders", "eu-north,1,", "eu-north,yes,", "line 3, column infiniband_required: 'yes' is not 0 or 1"),
        ("orders", "A100,us-east,0,9", "A100,us-east,0", "line 4 has 8 cells, the first line has 9"),
        ("orders", "A100,us-east,0,9", "A100,us-east,0,9,9", "line 4 has 10 cells, the first line has 9"),
        ("orders", "duration_periods,", "periods,", "name each of these columns once: duration_periods"),
        ("lots", "nodes,", "lot_id,", "name each of these columns once: lot_id, nodes"),
        ("pools", POOLS, "", "columns once: pool_id, gpu_class, region, interconnect, gpus_per_node"),
        ("pools", "us-east", '"us-east', "this is not CSV in UTF-8: unexpected end of data"),
        ("lots", "b,q", "\xffb,q", "this is not CSV in UTF-8: 'utf-8' codec can't decode byte 0xff"),
    ],
)
def test_a_broken_instance_is_refused_with_file_line_and_column(tmp_path, name, before, after, fault):
    write_instance(tmp_path)
    path = tmp_path / f"{name}.csv"
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after, 1), encoding="latin-1")
    with pytest.raises(Refusal) as caught:
        parse_instance_dir(tmp_path)
    assert caught.value.code == "malformed_instance"
    assert str(caught.value).startswith(f"{path}: ")
    assert fault in str(caught.value)


def test_the_command_tells_a_broken_instance_in_one_line(tmp_path):
    write_instance(tmp_path, ORDERS.replace("2.5000", "cheap"))
    done = run(tmp_path)
    assert done.returncode == 2
    assert "malformed_instance" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_spreadsheets_byte_order_mark_blank_lines_and_further_columns_do_no_harm(tmp_path):
    write_instance(tmp_path)
    book = parse_instance_dir(tmp_path)
    lots = "".join(f"{line},note\n\n" for line in LOTS.splitlines())
    (tmp_path / "lots.csv").write_text(lots, encoding="utf-8-sig")
    assert parse_instance_dir(tmp_path) == book


def test_a_missing_file_is_refused_by_name(tmp_path):
    done = run(tmp_path)
    assert done.returncode == 2
    assert "pools.csv" in done.stderr


STARVED = """
import resource, sys
from pathlib import Path
from marketplace.cli import clear as command

folder = Path(sys.argv[1])
pages = int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 4_000_000,) * 2)
sys.exit(command.clear_command(folder, solution=folder / "s.csv", prices=folder / "p.csv"))
"""


def test_where_memory_runs_out_nothing_is_written_and_it_is_told_in_a_line(tmp_path):
    rest = "10,0,80,H100,us-east|eu-north,0"
    orders = "".join(f"x{number},{number % 4 + 1},{rest},{3 + number % 7}.5\n" for number in range(3_000))
    write_instance(tmp_path, ORDERS.splitlines(keepends=True)[0] + orders)
    done = subprocess.run([sys.executable, "-c", STARVED, str(tmp_path)], capture_output=True, text=True, check=False)
    told = "error this machine has too little memory for this; nothing was written\n"
    assert (done.returncode, done.stderr) == (1, told)
    assert not (tmp_path / "s.csv").exists()
