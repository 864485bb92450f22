"""Files of dcgm-exporter and of Slurm are read as what they say, whatever release wrote them."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from events.usage import Sample
from marketplace.cli.metering.dcgm import parse_exposition
from marketplace.cli.metering.slurm import parse_accounting
from marketplace.core.errors import Refusal
from marketplace.core.instants import render_instant
from tests.domain.build import id_of

DATA = Path(__file__).parent / "metering"
NOW = datetime(2026, 1, 1, 9, tzinfo=UTC)
GRANT = id_of("grt")
GPU = "GPU-11111111-aaaa-4bbb-8ccc-00000000000"


def test_an_exposition_is_one_sample_a_device_without_its_sentinels():
    samples = parse_exposition((DATA / "exporter.prom").read_text(), NOW)
    assert samples == [
        Sample(
            device=f"{GPU}1",
            at=NOW,
            gpu_utilisation=Decimal("0.93"),
            energy_kwh=Decimal("2.000000"),
            xid_error=0,
        ),
        Sample(device=f"{GPU}2", at=NOW, gpu_utilisation=Decimal(0), xid_error=79),
        Sample(device=f"{GPU}4/1", at=NOW, gpu_utilisation=Decimal("0.500000")),
    ]


def test_names_and_labels_of_old_releases_are_known_and_a_value_may_have_its_own_time():
    (sample,) = parse_exposition((DATA / "exporter_old.prom").read_text(), NOW + timedelta(days=9))
    assert (sample.device, sample.at) == ("GPU-22222222-aaaa-4bbb-8ccc-000000000001", NOW)
    assert (sample.gpu_utilisation, sample.energy_kwh, sample.xid_error) == (Decimal("0.87"), Decimal(1), 0)


@pytest.mark.parametrize("text", ["", "no { exposition", 'DCGM_FI_DEV_GPU_UTIL{gpu="0"} 3\n', "up 1\n"])
def test_what_names_no_gpu_is_refused(text):
    with pytest.raises(Refusal) as refused:
        parse_exposition(text, NOW)
    assert refused.value.code == "exposition_invalid"


def job(number=7, start=NOW, lasting=timedelta(hours=2), gpus=16, *, plain=False, **changes):
    """Return a job as `sacct --json` writes it: numbers plain, or as objects as of Slurm 23."""

    def write(value):
        return value if plain else {"set": True, "infinite": False, "number": value}

    begin = int(start.timestamp()) if start else 0
    tres = [{"type": "cpu", "name": "", "id": 1, "count": write(128)}]
    if gpus:
        tres += [
            {"type": "gres", "name": "gpu", "id": 1001, "count": write(gpus)},
            {"type": "gres", "name": "gpu:h100", "id": 1002, "count": write(gpus)},
        ]
    end = begin + int(lasting.total_seconds()) if lasting is not None else 0
    time = {"start": write(begin), "end": write(end)}
    return {"job_id": number, "cluster": "north", "time": time, "tres": {"allocated": tres}, **changes}


def parse(*jobs):
    return parse_accounting(json.dumps({"meta": {}, "jobs": jobs}), GRANT)


@pytest.mark.parametrize("plain", [True, False])
def test_a_job_is_a_reading_of_its_gpus_whatever_release_wrote_it(plain):
    (event,), skipped = parse(job(plain=plain))
    assert (event["source"], event["id"], event["subject"]) == ("urn:slurm:north", "7/1767258000", GRANT)
    assert event["data"] == {
        "start": "2026-01-01T09:00:00Z",
        "end": "2026-01-01T11:00:00Z",
        "gpus": 16,
    }
    assert skipped == {}


def test_a_requeued_job_is_another_reading_and_a_long_one_is_several():
    events, _ = parse(job(), job(start=NOW + timedelta(hours=3)), job(8, lasting=timedelta(days=70)))
    assert len({event["id"] for event in events}) == len(events) == 5
    pieces = [(event["data"]["start"], event["data"]["end"]) for event in events[2:]]
    assert [end for _, end in pieces[:-1]] == [start for start, _ in pieces[1:]]
    assert pieces[-1][1] == render_instant(NOW + timedelta(days=70))


def test_jobs_that_are_no_reading_are_counted_by_the_reason():
    events, skipped = parse(job(lasting=None), job(start=None, lasting=None), job(gpus=0), job(lasting=timedelta(0)))
    assert events == []
    assert skipped == {"still running": 1, "never started": 1, "without GPUs": 1, "without duration": 1}


@pytest.mark.parametrize("text", ["{", "{}", '{"jobs": 1}', '{"jobs": [{}]}', '{"jobs": [7]}'])
def test_what_is_no_accounting_is_refused(text):
    with pytest.raises(Refusal) as refused:
        parse_accounting(text, GRANT)
    assert refused.value.code == "accounting_invalid"


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ("{", "it is not JSON"),
        ("[]", "it has no list of jobs"),
        ('{"jobs": 7}', "it has no list of jobs"),
        ('{"jobs": [7]}', "jobs[0] is not a job"),
        ('{"jobs": [{"job_id": 7}]}', "jobs[0] has no member time"),
    ],
)
def test_what_is_wrong_with_an_accounting_file_is_told_by_its_place(document, why):
    with pytest.raises(Refusal) as refused:
        parse_accounting(document, GRANT)
    assert why in refused.value.message
