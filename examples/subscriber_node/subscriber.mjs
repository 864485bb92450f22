// Follow the marketplace's events from a position of one's own, with the official NATS client and nothing of ours.
//
//   node subscriber.mjs --url nats://reads_grants:secret@127.0.0.1:4222 --consumer reads_grants --aggregate grant
//
// Prints one line per event, the same as examples/subscriber_python. The position is the stream sequence of the last
// event that was handled, kept in a file: a page is handled first and the position stored after it, hence at least once.
// Every consumer begins at the last event that was handled, not after it. If the log has another event there or none, it
// is another log, or was restored to an earlier state: the program stops and prints nothing.
// What an operator stated of damaged events and of empty positions is read first, and again every few seconds: an event
// that is passed over is not handled. Of one that was handled before, or is lost, the program says so: undo it.
// Exit codes: 0 when stopped, 1 for a broken chain, 2 if the servers refuse or do not answer, 3 for another log.

import { createHash, randomUUID } from "node:crypto";
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";
import { parseArgs } from "node:util";
import {
  AckPolicy, DeliverPolicy, JetStreamApiError, JetStreamError, jetstream, jetstreamManager,
} from "@nats-io/jetstream";
import { connect, errors, nanos } from "@nats-io/transport-node";

const STREAM = "MARKETPLACE";
const DOMAIN = "MARKETPLACE";
const PAGE_EVENTS_MAX = 256;
const WAIT_MS = 2_000;
const RETRY_MS = 1_000;
const FAILURES_MAX = 60;
const CONSUMER_IDLE_MS = 30_000;
const STATEMENTS_MS = 10_000;
// What operators state of damaged events, of empty positions and of losses.
const LOG_SUBJECT = "marketplace.log.log_00000000000000000000000000";
// A message here holds the place of an empty position, in a log that was restored from an archive. It is no event.
const EMPTY_SUBJECT = "marketplace.log.empty";
const CONSUMER_NOT_FOUND = 10_014;
const UNAVAILABLE = 503;
const NATS_ERRORS = [JetStreamApiError, JetStreamError, ...Object.values(errors)];
// Nobody answers where a user may not ask, as where no JetStream is. The client exports no class for that.
const NOT_ENABLED = "JetStreamNotEnabled";

class BrokenChain extends Error {}

class OtherLog extends Error {}

class Progress {
  constructor(path) {
    this.path = path;
    const stored = existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : { sequence: 0, hash: "" };
    this.sequence = stored.sequence;
    this.hash = stored.hash;
    this.heads = new Map(Object.entries(stored.heads ?? {})); // what the next event of a subject may follow
    this.stated = new Map(Object.entries(stored.stated ?? {})); // what operators stated, by sequence and hash
  }

  move(last) {
    this.sequence = last.seq;
    this.hash = readHash(last);
    this.save();
  }

  // A reader of the file sees the old position or the new one, never half of it.
  save() {
    const { sequence, hash } = this;
    const [heads, stated] = [this.heads, this.stated].map((each) => Object.fromEntries(each));
    const file = openSync(`${this.path}.new`, "w");
    writeSync(file, JSON.stringify({ sequence, hash, heads, stated }));
    fsyncSync(file);
    closeSync(file);
    renameSync(`${this.path}.new`, this.path);
  }
}

// The hash that was stored with an event.
function readHash(message) {
  return message.headers?.get("ce-hash") ?? "";
}

// The log must have the last event that was handled, where it was, unless an operator stated that just this one is lost.
function requireSame(progress, found) {
  if (found?.seq === progress.sequence && readHash(found) === progress.hash) return;
  if (progress.stated.get(`${progress.sequence} ${progress.hash}`) === "lost") return;
  throw new OtherLog(`event ${progress.sequence}, the last that was handled, is not in this log or not of these aggregates`);
}

function computeHash(subject, headers, body) {
  const written = (headers?.keys() ?? [])
    .filter((name) => ["content-type", "traceparent"].includes(name) || (name.startsWith("ce-") && name !== "ce-hash"))
    .sort()
    .map((name) => [name, headers.get(name)]);
  return createHash("sha256").update(`${JSON.stringify([subject, written])}\n`).update(body).digest("hex");
}

// Checks one event against its own hash and against the event before it. A damaged one that an operator annotated is not
// checked: the next one may follow it, or the event before it.
function verify(message, computed, progress, effect) {
  const where = `event ${message.seq} on ${message.subject}`;
  const before = progress.heads.get(message.subject) ?? [""];
  const said = readHash(message);
  if (effect !== undefined) {
    progress.heads.set(message.subject, [before[0], said]);
    return;
  }
  if (computed !== said) throw new BrokenChain(`${where} says that its hash is ${said || "none"}, but it is ${computed}`);
  const follows = message.headers.get("ce-previoushash");
  if (!before.includes(follows)) {
    throw new BrokenChain(`${where} follows '${follows}', but the event before it is '${before[0]}'`);
  }
  progress.heads.set(message.subject, [computed]);
}

function renderLine(message) {
  const [, aggregate, key] = message.subject.split(".");
  const header = (name) => message.headers?.get(name);
  let fields;
  try {
    fields = Object.keys(message.json()).length - 1; // all but the tag
  } catch (error) {
    throw new BrokenChain(`event ${message.seq} on ${message.subject} cannot be read: ${error.message}`);
  }
  if (!header("ce-type")) throw new BrokenChain(`event ${message.seq} on ${message.subject} cannot be read: it is none`);
  return [
    message.seq, header("ce-type"), `${aggregate}/${key}`, header("ce-time"), header("ce-id"), `${fields} fields`,
  ].join("\t");
}

// Do what this subscriber is for, then move the position once for the page: put your own effect in place of the print.
function handle(page, progress, options) {
  for (const message of page) {
    if (message.subject === EMPTY_SUBJECT) continue;
    const computed = computeHash(message.subject, message.headers, message.data);
    const effect = progress.stated.get(`${message.seq} ${computed}`);
    if (options["verify-chain"]) verify(message, computed, progress, effect);
    if (effect === "passed_over") {
      console.error(`event ${message.seq} on ${message.subject} is passed over: its operator annotated it`);
    } else console.log(renderLine(message));
  }
  if (page.length > 0) progress.move(page.at(-1));
}

function listSubjects(options) {
  return (options.aggregate ?? ["*"]).map((aggregate) => `marketplace.${aggregate}.*`);
}

// An account of its own reaches JetStream by the domain, and may use two consumers; the log's account makes any.
async function openConsumer(connection, options, suffix, subjects, start) {
  const scope = options.consumer ? { domain: DOMAIN } : {};
  const manager = await jetstreamManager(connection, { ...scope, checkAPI: false });
  const name = options.consumer ? `${options.consumer}${suffix}` : `subscriber-${randomUUID()}`;
  if (options.consumer) {
    await manager.consumers.delete(STREAM, name).catch((error) => {
      if (!(error instanceof JetStreamApiError) || error.code !== CONSUMER_NOT_FOUND) throw error;
    });
  }
  const made = await manager.consumers.add(STREAM, {
    name,
    ...(subjects.length === 1 ? { filter_subject: subjects[0] } : { filter_subjects: subjects }),
    deliver_policy: DeliverPolicy.StartSequence,
    opt_start_seq: start,
    ack_policy: AckPolicy.None,
    inactive_threshold: nanos(CONSUMER_IDLE_MS),
    mem_storage: true,
    num_replicas: 1,
  });
  return { made, consumer: jetstream(connection, scope).consumers.getConsumerFromInfo(made) };
}

// Yields what arrives now; a connection that was lost may never end it by itself.
async function* fetchMessages(consumer, count) {
  const messages = await consumer.fetch({ max_messages: count, expires: WAIT_MS });
  const timer = setTimeout(() => messages.stop(), 2 * WAIT_MS);
  try {
    yield* messages;
  } finally {
    clearTimeout(timer);
  }
}

// Remembers what operators stated of the log, and says which events that were handled have no effect any more.
async function readStatements(connection, progress, options) {
  const { made, consumer } = await openConsumer(connection, options, "_log", [LOG_SUBJECT], 1);
  for (let left = made.num_pending; left > 0; ) {
    const before = left;
    for await (const message of fetchMessages(consumer, Math.min(left, PAGE_EVENTS_MAX))) {
      left -= 1;
      for (const stated of parseStatements(message)) {
        const key = `${stated.sequence} ${stated.hash}`;
        if (progress.stated.has(key)) continue;
        progress.stated.set(key, stated.effect);
        if (stated.sequence <= progress.sequence) tellUndone(stated, options);
      }
      if (message.info.pending === 0) break;
    }
    if (left === before) throw new errors.TimeoutError();
  }
  progress.save();
}

// What an event of the log's own subject states of positions; nothing if it is damaged.
function parseStatements(message) {
  if (computeHash(message.subject, message.headers, message.data) !== readHash(message)) return [];
  const body = message.json();
  if (body.type === "log.annotated.v1") return [body];
  if (body.type !== "log.gap_accepted.v1") return [];
  return body.lost.map(({ subject, hash }) => ({ sequence: body.sequence, subject, hash: hash ?? "", effect: "lost" }));
}

// Says that an event that was handled has no effect: put what undoes it in place of the message.
function tellUndone({ sequence, subject, effect }, options) {
  const aggregate = subject.split(".")[1];
  if (effect === "kept" || !(options.aggregate ?? [aggregate]).includes(aggregate)) return;
  console.error(`event ${sequence} on ${subject}, which was handled, is ${effect.replace("_", " ")}: undo it`);
}

// Reads from a consumer in the server's memory until the server forgot it or a message was lost on the way.
// Returns whether everything was read, which only `--once` asks. `answered` is called after each answer.
async function readConsumer(connection, progress, options, answered) {
  await readStatements(connection, progress, options);
  let readAt = Date.now();
  const last = progress.sequence;
  const { made, consumer } = await openConsumer(connection, options, "", listSubjects(options), Math.max(1, last));
  answered();
  if (last > 0 && made.num_pending === 0) requireSame(progress, undefined);
  if (options.once && made.num_pending === 0) return true;
  for (let delivered = 0; ; ) {
    const page = [];
    let pending;
    for await (const message of fetchMessages(consumer, PAGE_EVENTS_MAX)) {
      if (message.info.deliverySequence !== delivered + 1) return false;
      delivered += 1;
      pending = message.info.pending;
      if (last > 0 && delivered === 1) requireSame(progress, message);
      if (message.seq > last) page.push(message);
      if (pending === 0) break; // nothing more now: handle the page at once
    }
    // Where nothing arrives, the last message may be lost. This fails if the server forgot the consumer.
    if (pending === undefined && (await consumer.info()).delivered.consumer_seq !== delivered) return false;
    if (Date.now() - readAt > STATEMENTS_MS) {
      await readStatements(connection, progress, options);
      readAt = Date.now();
    }
    handle(page, progress, options);
    if (options.once && pending === 0) return true;
    answered();
  }
}

// Whether it is an error of NATS that may be over soon. An answer such as "stream not found" is final.
function isTransient(error) {
  if (error instanceof JetStreamApiError) return error.status === UNAVAILABLE || error.code === CONSUMER_NOT_FOUND;
  return isOfNats(error);
}

function isOfNats(error) {
  return error.name === NOT_ENABLED || NATS_ERRORS.some((kind) => error instanceof kind);
}

// What the client met, for example a refused permission. The client continues by itself where it can.
async function report(connection) {
  for await (const { type, error } of connection.status()) {
    if (type === "error") console.error(`NATS says: ${error.message}`);
  }
}

// Connects, also where the first attempts fail, and handles events as they come; with `--once` until there are no more.
async function follow(access, progress, options) {
  let connection;
  process.once("SIGINT", () => {
    console.error(`stopped after sequence ${progress.sequence}`);
    process.exit(0);
  });
  try {
    for (let failures = 0; ; ) {
      try {
        if (connection === undefined) {
          connection = await connect(access);
          report(connection);
        }
        if (await readConsumer(connection, progress, options, () => { failures = 0; })) return;
      } catch (error) {
        failures += 1;
        if (!isTransient(error) || connection?.isClosed() || failures === FAILURES_MAX) throw error;
        console.error(`no answer, trying again in ${RETRY_MS} ms: ${error.message}`);
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  } finally {
    await connection?.close();
  }
}

const { values: options } = parseArgs({
  options: {
    url: { type: "string" },
    consumer: { type: "string" },
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
// In the log's account each user hears an inbox of its own only: _INBOX_ and its name in capitals.
const inboxPrefix = options["inbox-prefix"] ?? `_INBOX_${(username || "subscriber").toUpperCase()}`;
const access = {
  servers, inboxPrefix, user: username || undefined, pass: password || undefined,
  maxReconnectAttempts: FAILURES_MAX, reconnectTimeWait: RETRY_MS,
};
try {
  await follow(access, new Progress(options.position), options);
} catch (error) {
  if (error instanceof OtherLog) {
    console.error(`${error.message}; undo what you did for its events, delete ${options.position}, begin anew`);
    process.exitCode = 3;
  } else if (error instanceof BrokenChain) {
    console.error(`the log was tampered with: ${error.message}; tell its operator, and start again once it is annotated`);
    process.exitCode = 1;
  } else if (isOfNats(error)) {
    console.error(`the servers refuse or do not answer: ${error.message}`);
    process.exitCode = 2;
  } else throw error;
}
