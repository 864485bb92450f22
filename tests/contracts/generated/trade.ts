// A trade through the TypeScript client that openapi-typescript and openapi-fetch make of the OpenAPI document.
//
//   node trade.ts FACTS

import { readFileSync } from "node:fs";
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.d.ts";

type Problem = components["schemas"]["Problem"];
type Facts = Record<"url" | "admin_key" | "provider_key" | "startup_key" | "provider_id" | "startup_id", string>;

const facts: Facts = JSON.parse(readFileSync(process.argv[2]!, "utf8"));
const DAY = 86_400_000;

function connect(token: string) {
  const headers = { Authorization: `Bearer ${token}` };
  return createClient<paths>({ baseUrl: facts.url, headers });
}

function name() {
  return { "Idempotency-Key": crypto.randomUUID() };
}

function expect<T>(answer: { data?: T; error?: Problem }): T {
  if (answer.data === undefined) throw new Error(JSON.stringify(answer.error));
  return answer.data;
}

async function wait<T>(ask: () => Promise<T | undefined>): Promise<T> {
  for (let tries = 0; tries < 600; tries += 1) {
    const found = await ask();
    if (found !== undefined) return found;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error("nothing came in time");
}

const [admin, provider, startup] = [connect(facts.admin_key), connect(facts.provider_key), connect(facts.startup_key)];

async function move(seconds: number) {
  expect(await admin.POST("/v1/test/clock", { params: { header: name() }, body: { seconds } }));
}

const now = Date.parse(expect(await admin.GET("/v1/test/clock")).now);
const begin = Math.ceil(now / DAY) * DAY + DAY;
const at = (instant: number) => new Date(instant).toISOString();

const site = expect(
  await provider.POST("/v1/sites", {
    params: { header: name() },
    body: {
      provider_id: facts.provider_id, name: "South", region: "us-west", jurisdiction: "US", status: "operating",
      power_contracted_kw: 100, power_energised_kw: 100, power_usage_effectiveness: "1.2", renewable_share: "0.5",
    },
  }),
);
const pool = expect(
  await provider.POST("/v1/pools", {
    params: { header: name() },
    body: {
      site_id: site.id, gpu_class: "A100", interconnect: "infiniband", gpus_per_node: 8, nodes: 4, power_per_node_kw: 11,
    },
  }),
);
const pools = expect(await startup.GET("/v1/pools", { params: { header: { "Min-Seq": pool.sequence } } }));
if (!pools.items.some((each) => each.pool_id === pool.id)) throw new Error("the pool is not listed");
expect(
  await provider.POST("/v1/lots", {
    params: { header: name() },
    body: {
      pool_id: pool.id, nodes: 4, start: at(begin), end: at(begin + 4 * DAY), ask_usd_per_gpu_hour: "2",
      service: { availability_min: "0.99", credits: [{ availability_below: "0.99", credit: "0.1" }] },
    },
  }),
);

const terms: components["schemas"]["OrderTerms"] = {
  nodes: 2, duration_hours: 24, start_earliest: at(begin), start_latest: at(begin),
  offers: [{ gpu_class: "A100", cash_usd_per_gpu_hour: "3", equity_usd_per_gpu_hour: "0" }],
};
const wrong = await startup.POST("/v1/orders", { params: { header: name() }, body: { startup_id: "x", terms } });
if (wrong.error?.code !== "body_invalid") throw new Error(`the order is refused with ${wrong.error?.code}`);
const body = { startup_id: facts.startup_id, terms };
const placed = expect(await startup.POST("/v1/orders", { params: { header: name() }, body }));
const auction = {
  locks_at: at(now + 600_000), horizon_start: at(begin), period_hours: 24 as const, periods: 4, seed: 1,
};
expect(await admin.POST("/v1/auctions", { params: { header: name() }, body: auction }));
await move(1_200);
const grant = await wait(async () => {
  const page = expect(await startup.GET("/v1/grants"));
  return page.items.find((each) => each.order_id === placed.id);
});
if (grant.service?.availability_min !== "0.99") throw new Error("the grant has no promise");
const path = { grant_id: grant.grant_id };
await move(Math.ceil((begin - now) / 1000));
expect(await provider.POST("/v1/grants/{grant_id}/activate", { params: { header: name(), path } }));
await move(86_400);
const reading = { reading_id: crypto.randomUUID(), start: at(begin), end: at(begin + DAY), nodes: 2 };
const report = { source: "dcgm", readings: [reading] };
const told = await provider.POST("/v1/grants/{grant_id}/usage", { params: { header: name(), path }, body: report });
if (expect(told).readings[0]?.outcome !== "accepted") throw new Error("the reading is not accepted");
await move(40 * 86_400);
const statement = await wait(async () => {
  const query = { grant_id: grant.grant_id };
  return expect(await startup.GET("/v1/statements", { params: { query } })).items[0];
});
console.log(`TypeScript: order ${placed.id}, grant ${grant.grant_id}, statement ${statement.statement_id}`);
