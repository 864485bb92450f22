// Follow the marketplace's events from a position of one's own, with the official NATS client and nothing of ours.
//
//   node subscriber.mjs --url nats://subscriber:secret@127.0.0.1:4222 --aggregate grant --aggregate statement
//
// Prints one line per event, the same as examples/subscriber_python. The position is the stream sequence of the last
// event that was handled, kept in a file: handling comes first and the position after it, hence at least once.

import { createHash } from "node:crypto";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { DeliverPolicy, jetstream } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";

const STREAM = "MARKETPLACE";

class BrokenChain extends Error {}

class Progress {
  constructor(path) {
    this.path = path;
    const stored = existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : { sequence: 0, heads: {} };
    this.sequence = stored.sequence;
    this.heads = new Map(Object.entries(stored.heads));
  }

  // A reader of the file sees the old position or the new one, never half of it.
  move(sequence) {
    this.sequence = sequence;
    const text = JSON.stringify({ sequence, heads: Object.fromEntries(this.heads) });
    writeFileSync(`${this.path}.new`, text, { flush: true });
    renameSync(`${this.path}.new`, this.path);
  }
}

function computeHash(subject, headers, body) {
  const written = headers
    .keys()
    .filter((name) => ["content-type", "traceparent"].includes(name) || (name.startsWith("ce-") && name !== "ce-hash"))
    .sort()
    .map((name) => [name, headers.get(name)]);
  return createHash("sha256").update(`${JSON.stringify([subject, written])}\n`).update(body).digest("hex");
}

function verify(message, progress) {
  const where = `event ${message.seq} on ${message.subject}`;
  const computed = computeHash(message.subject, message.headers, message.data);
  const said = message.headers.get("ce-hash");
  if (computed !== said) throw new BrokenChain(`${where} says that its hash is ${said}, but it is ${computed}`);
  const before = progress.heads.get(message.subject) ?? "";
  const follows = message.headers.get("ce-previoushash");
  if (follows !== before) {
    throw new BrokenChain(`${where} follows '${follows}', but the event before it is '${before}'`);
  }
  progress.heads.set(message.subject, computed);
}

function renderLine(message) {
  const [, aggregate, key] = message.subject.split(".");
  const fields = Object.keys(message.json()).length - 1; // all but the tag
  const header = (name) => message.headers.get(name);
  return [
    message.seq, header("ce-type"), `${aggregate}/${key}`, header("ce-time"), header("ce-id"), `${fields} fields`,
  ].join("\t");
}

// Ordered: the client makes its consumer again from the last sequence when the server forgot it or an answer was lost.
async function follow(connection, progress, options) {
  const consumer = await jetstream(connection).consumers.get(STREAM, {
    filter_subjects: (options.aggregate ?? ["*"]).map((aggregate) => `marketplace.${aggregate}.*`),
    deliver_policy: DeliverPolicy.StartSequence,
    opt_start_seq: progress.sequence + 1,
  });
  if (options.once && (await consumer.info()).num_pending === 0) return;
  for await (const message of await consumer.consume()) {
    if (options["verify-chain"]) verify(message, progress);
    console.log(renderLine(message));
    progress.move(message.seq);
    if (options.once && message.info.pending === 0) return;
  }
}

const { values: options } = parseArgs({
  options: {
    url: { type: "string" },
    "inbox-prefix": { type: "string" },
    position: { type: "string", default: "position.json" },
    aggregate: { type: "string", multiple: true },
    "verify-chain": { type: "boolean", default: false },
    once: { type: "boolean", default: false },
  },
});
if (!options.url) {
  console.error("say where the NATS servers are: --url nats://user:password@host:4222");
  process.exit(2);
}
const { username, password } = new URL(options.url.split(",")[0]);
const servers = options.url.split(",").map((url) => new URL(url).host);
// The servers let each user hear an inbox of its own only: _INBOX_ and its name in capitals.
const inboxPrefix = options["inbox-prefix"] ?? `_INBOX_${(username || "subscriber").toUpperCase()}`;
const connection = await connect({
  servers, inboxPrefix, user: username || undefined, pass: password || undefined, maxReconnectAttempts: -1,
});
process.once("SIGINT", () => connection.close());
try {
  await follow(connection, new Progress(options.position), options);
} catch (error) {
  if (!(error instanceof BrokenChain)) throw error;
  console.error(`the log was tampered with: ${error.message}; stop and tell its operator`);
  process.exitCode = 1;
} finally {
  await connection.close();
}
