"""Meters across grants over HTTP: a GPU in two grants is flagged, and one figure is allocated to several."""

from marketplace.log.memory import MemoryLog
from tests.api.meters import BATCH, open_site
from tests.domain.build import PROVIDER, STARTUP, id_of

TENANT = {"startup_id": STARTUP, "gpu_class": "H100_SXM", "source": "fleet"}


async def test_a_gpu_in_two_grants_at_once_is_flagged_with_its_readings(database_url: str):
    async with open_site(MemoryLog(), database_url=database_url) as site:
        mine, theirs = await site.grant(1), await site.grant(2, startup_id=id_of("pty", 7))
        provider, startup = await site.client(PROVIDER), await site.client(STARTUP)
        events = [
            site.event(mine, "a", 0, 2, gpus=2, devices=["GPU-1", "GPU-2"]),
            site.event(theirs, "b", 1, 3, gpus=1, devices=["GPU-1"]),
            site.event(theirs, "c", 1, 3, gpus=1, devices=["GPU-3"]),
        ]
        sent = await provider.post("/v1/usage", json=events, headers=BATCH)
        assert [reading["outcome"] for reading in sent.json()["readings"]] == ["accepted"] * 3
        seen = {"Min-Seq": sent.headers["commit-seq"]}
        path = f"/v1/grants/{mine}/usage/contradictions"
        (found,) = (await provider.get(path, headers=seen)).json()
        assert (found["kind"], found["device"]) == ("device_elsewhere", "GPU-1")
        assert (found["start"], found["end"]) == tuple(
            site.hour(number).isoformat().replace("+00:00", "Z") for number in (1, 2)
        )
        names = [(named["grant_id"], named["source"], named["reading_id"]) for named in found["readings"]]
        assert names == [(mine, "urn:meter:1", "a"), (theirs, "urn:meter:1", "b")]
        (shown,) = (await startup.get(path, headers=seen)).json()
        assert [named["grant_id"] for named in shown["readings"]] == [mine]
        assert theirs not in str(shown)
        voided = await provider.post(
            f"/v1/grants/{theirs}/usage/voids",
            json={"source": "urn:meter:1", "reading_id": "b", "reason": "another GPU"},
            headers={"Idempotency-Key": "void-b"},
        )
        assert (await provider.get(path, headers={"Min-Seq": voided.headers["commit-seq"]})).json() == []


async def test_what_a_source_says_again_under_other_ids_is_flagged_where_the_grant_has_room(database_url: str):
    async with open_site(MemoryLog(), database_url=database_url) as site:
        grant_id = await site.grant(nodes=8)
        provider, path = await site.client(PROVIDER), f"/v1/grants/{grant_id}/usage"

        async def tell(answer):
            assert answer.status_code == 200
            seen = {"Min-Seq": answer.headers["commit-seq"]}
            return (await provider.get(f"{path}/contradictions", headers=seen)).json()

        first = [site.event(grant_id, f"n{node}", nodes=1) for node in range(3)]
        assert await tell(await provider.post("/v1/usage", json=first, headers=BATCH)) == []
        again = [site.event(grant_id, f"v2:n{node}", nodes=1) for node in range(3)]
        (told,) = await tell(await provider.post("/v1/usage", json=again, headers=BATCH))
        assert told["kind"] == "said_twice"
        assert "counts 24 and 24 GPUs" in told["message"]
        assert [name["reading_id"] for name in told["readings"]] == ["n0", "v2:n0"]
        for node in range(3):
            void = {"source": "urn:meter:1", "reading_id": f"v2:n{node}", "reason": "said twice"}
            voided = await provider.post(f"{path}/voids", json=void, headers={"Idempotency-Key": f"v{node}"})
        assert await tell(voided) == []


async def test_one_figure_is_allocated_to_grants_and_shown_on_each(database_url: str):
    async with open_site(MemoryLog(), database_url=database_url) as site:
        first, second = await site.grant(1), await site.grant(2, hours=30)
        provider, startup = await site.client(PROVIDER), await site.client(STARTUP)
        span = {"start": site.hour(0).isoformat(), "end": site.hour(1).isoformat()}
        body = {
            **TENANT,
            "readings": [{"reading_id": "u", "gpus": 20, **span}, {"reading_id": "v", "gpus": 20, **span}],
        }
        sent = await provider.post("/v1/usage/allocations", json=body, headers={"Idempotency-Key": "u"})
        one, two = sent.json()["readings"]
        assert [(part["grant_id"], part["gpus"]) for part in one["parts"]] == [(second, 16), (first, 4)]
        assert (two["outcome"], two["code"], two["pointer"]) == ("rejected", "grants_exhausted", "/readings/1")
        again = await provider.post("/v1/usage/allocations", json=body, headers={"Idempotency-Key": "other"})
        assert [reading["outcome"] for reading in again.json()["readings"]] == ["duplicate", "rejected"]
        lowered = await provider.post(
            "/v1/usage/allocations/corrections",
            json={**TENANT, "reading": {"reading_id": "u", "gpus": 18, **span}, "reason": "miscounted"},
            headers={"Idempotency-Key": "lower"},
        )
        seen = {"Min-Seq": lowered.headers["commit-seq"]}
        sums = [(await startup.get(f"/v1/grants/{grant}/usage", headers=seen)).json() for grant in (first, second)]
        assert [int(one["gpu_seconds"]) for one in sums] == [2 * 3_600, 16 * 3_600]
        rows = (await startup.get("/v1/usage/allocations", headers=seen)).json()["items"]
        assert [(row["reading_id"], row["gpus"], len(row["parts"]), row["reason"]) for row in rows] == [
            ("u", 18, 2, "miscounted")
        ]
        stranger = await site.client(id_of("pty", 7))
        assert (await stranger.get("/v1/usage/allocations", headers=seen)).json()["items"] == []
        nameless = await site.stage.admin.post("/v1/usage/allocations", json=body, headers={"Idempotency-Key": "n"})
        assert nameless.json()["code"] == "provider_missing"
