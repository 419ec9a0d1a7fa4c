/**
 * `audit`: how many records a second become entries of the ledger in a PostgreSQL server, against as many bare rows of the same size inserted; how
 * many entries a second are verified, with the messages of the stream that are still there, against the same rows only read; how fast the audit writer
 * itself is, and how far behind. With `--tamperings` what was written is tampered with in the end, and must be found. At full size the ledger has a million
 * entries.
 */
import { CheckpointSigner, writeRecord, type LedgerRow, type VerifyReport } from '@callboard/audit';
import { AckedPublisher, LedgerControl, STREAM } from '@callboard/jetstream';
import {
  Checkpoints,
  Ledger,
  LedgerReader,
  PostgresDatabase,
  WRITER_ROLE,
  migrate,
  verifyLedger,
  type StreamMessage,
} from '@callboard/ledger';
import { startTestNats, startTestPostgres, type TestNats, type TestPostgres } from '@callboard/testing';
import { jetstreamManager } from '@nats-io/jetstream';
import { setTimeout as delay } from 'node:timers/promises';
import { notFound, tamperWith } from './audit-tampering.js';
import type { Bench, BenchContext, Measurement } from './bench.js';
import { Child } from './child.js';
import { cpuMsOf, cpuMsOfTree } from './processes.js';
import { compare } from './rounds.js';

const ENTRIES = 1_000_000;
const QUICK_ENTRIES = 20_000;
const ROUNDS = 4;
/** As many as the audit writer takes at once. */
const BATCH = 1_000;
/** As often as the audit writer takes checkpoints. */
const BATCHES_A_CHECKPOINT = 10;
const PAGE = 2_000;
const TENANTS = 10;
const PERSONS = 100;
/** Most messages that the stream still has. */
const TAIL = 100_000;
const PUBLISHED_AT_ONCE = 200;
const STREAM_BYTES = 4 * 1024 ** 3;
const KEK = Buffer.alloc(32, 1);
const SEED = Buffer.alloc(32, 2);
const signer = new CheckpointSigner(SEED);

const AUDIT_WRITER = new URL('../../../apps/audit-writer/dist/main.js', import.meta.url);
const LAG_PER_SECOND = 500;
const LAG_SECONDS = 10;
const STATUS_MS = 20;
const CATCH_UP_MS = 600_000;

export const audit: Bench = {
  name: 'audit',
  title: `${ENTRIES.toLocaleString('en')} records of ${TENANTS} tenants written to a ledger, and verified`,
  async run(context) {
    const postgres = await startTestPostgres();
    const nats = await startTestNats({
      auth: 'none',
      syncInterval: '2m',
      topology: { maxBytes: STREAM_BYTES },
    });
    const owner = new PostgresDatabase(postgres.url);
    const db = new PostgresDatabase(postgres.url, WRITER_ROLE);
    const wrong: string[] = [];
    const details: string[] = [];
    try {
      await migrate(owner);
      await owner.query('CREATE TABLE bare (LIKE audit_records)');
      const ledger = new Ledger(db, KEK, { app: 'bench', instance: 'bench' });
      const connection = await nats.connect('sre');
      const jsm = await jetstreamManager(connection, { checkAPI: false });
      const checkpoints = new Checkpoints(db, signer, new AckedPublisher(connection), jsm);
      const entries = context.records ?? (context.quick ? QUICK_ENTRIES : ENTRIES);
      const rounds = context.quick ? 1 : ROUNDS;
      const perRound = Math.ceil(entries / rounds / BATCH) * BATCH;
      let sequence = 0;
      let last: LedgerRow[] = [];
      const tail: StreamMessage[][] = [];

      const append = async (count: number, meter?: Meter) => {
        const messages = Array.from({ length: count }, () => messageOf(++sequence));
        if (tail.push(messages) > TAIL / BATCH) tail.shift();
        const work = () => ledger.append(messages);
        last = await (meter ? meter.time(work) : work());
        if (tail.length % BATCHES_A_CHECKPOINT === 0) await checkpoints.take();
      };
      const write = () => batches(perRound, append);
      const insert = () =>
        batches(perRound, async (_, meter) => {
          const rows = JSON.stringify(last);
          const sql = 'INSERT INTO bare SELECT * FROM json_populate_recordset(NULL::bare, $1::json)';
          await meter.time(() => owner.query(sql, [rows]));
        });
      // The first entries, of which the bare rows are made.
      await append(BATCH);

      const written = await compare(
        {
          what: `batches of ${BATCH}`,
          baseline: { name: 'bare rows', measure: insert },
          candidate: { name: 'written', measure: write },
        },
        rounds,
        context,
      );
      await checkpoints.take();
      const messages = tail.flat().slice(-Math.min(TAIL, Math.ceil(entries / 2)));
      await fillStream(nats, messages);

      const reader = new LedgerReader(db);
      const verifyAll = () => verifyLedger(reader, connection, signer.publicKey);
      const verify = () =>
        measured(async () => {
          const report = await verifyAll();
          const { records, compared, findings } = report;
          if (records !== sequence) wrong.push(`${records} of ${sequence} entries are in the ledger`);
          if (compared !== messages.length) wrong.push(`${compared} of ${messages.length} messages were compared`);
          if (findings.length > 0) wrong.push(`${findings[0]!.code}: ${findings[0]!.where}`);
          return records;
        });
      const verified = await compare(
        {
          what: `${sequence.toLocaleString('en')} entries, ${messages.length.toLocaleString('en')} messages`,
          baseline: { name: 'read', measure: () => measured(() => readAll(reader)) },
          candidate: { name: 'verified', measure: verify },
        },
        context.quick ? 1 : 2,
        context,
      );
      if (context.tamperings > 0) {
        const { done, takenOut } = await tamperWith(owner, messages, sequence, TENANT_IDS, context.tamperings);
        await fillStream(nats, messages);
        for (const seq of takenOut) await jsm.streams.deleteMessage(STREAM.audit, seq, false);
        await tellFound(done, await verifyAll(), details, wrong);
      }
      details.push(...(await writerAtWork(postgres, messages, context, wrong)));
      return { comparisons: [written, verified], details, wrong };
    } finally {
      await db.close();
      await owner.close();
      await nats.dispose();
      await postgres.dispose();
    }
  },
};

const TENANT_IDS = Array.from({ length: TENANTS }, (_, i) => `tenant-${i}`);

function messageOf(sequence: number): StreamMessage {
  const { subject, data } = writeRecord(
    {
      kind: 'call',
      what: 'submitted',
      tenantId: TENANT_IDS[sequence % TENANTS]!,
      who: { userId: `user:default/person-${sequence % PERSONS}` },
      correlationId: `c_${sequence}`,
      action: 'demo.echo',
      args: { text: 'hello' },
    },
    { app: 'mcp-frontend', instance: 'mcp-frontend-1' },
  );
  return { sequence, subject, data };
}

/** The inverse of what `messageOf` does with the tenants. */
function sequenceOf(tenant: string, position: number): number {
  return (position - 1) * TENANTS + (TENANT_IDS.indexOf(tenant) || TENANTS);
}

function tellFound(
  done: Awaited<ReturnType<typeof tamperWith>>['done'],
  { findings, more }: VerifyReport,
  details: string[],
  wrong: string[],
): void {
  const missed = notFound(done, findings, sequenceOf);
  for (const what of new Set(done.map((each) => each.what))) {
    const [all, not] = [done, missed].map((list) => list.filter((each) => each.what === what).length);
    details.push(`  tampered with, ${what}: ${all! - not!} of ${all} found`);
  }
  for (const { what, from, to } of missed) wrong.push(`not found: ${what}, between ${from} and ${to}`);
  details.push(`  ${findings.length + more} findings of ${done.length} tamperings in one pass`);
}

/** Makes the audit stream anew, with these messages at their sequences. */
async function fillStream(nats: TestNats, messages: readonly StreamMessage[]): Promise<void> {
  const connection = await nats.connect('provisioner');
  const jsm = await jetstreamManager(connection, { checkAPI: false });
  const { config } = await jsm.streams.info(STREAM.audit);
  await jsm.streams.delete(STREAM.audit);
  await jsm.streams.add({ ...config, first_seq: messages[0]!.sequence });
  for (const [at, { subject, data }] of messages.entries()) {
    // The ack of one is that of those before it.
    if (at % PUBLISHED_AT_ONCE > 0 && at < messages.length - 1) connection.publish(subject, data);
    else await connection.request(subject, data, { timeout: 30_000 });
  }
  const { first_seq, last_seq } = (await jsm.streams.info(STREAM.audit)).state;
  if (first_seq !== messages[0]!.sequence || last_seq !== messages.at(-1)!.sequence) {
    throw new Error(`the stream has ${first_seq} to ${last_seq}`);
  }
}

/** The audit writer in a process of its own: takes in what it finds in the stream, and then what comes while it runs. */
async function writerAtWork(
  postgres: TestPostgres,
  messages: readonly StreamMessage[],
  context: BenchContext,
  wrong: string[],
): Promise<string[]> {
  const nats = await startTestNats({ auth: 'none', syncInterval: '2m', topology: { maxBytes: STREAM_BYTES } });
  const admin = new PostgresDatabase(postgres.url);
  await admin.query('CREATE DATABASE writer').finally(() => admin.close());
  const all = messages.map((each, at) => ({ ...each, sequence: at + 1 }));
  await fillStream(nats, all);
  const writer = await Child.start('the audit writer', AUDIT_WRITER, {
    CALLBOARD_NATS_URL: nats.url,
    CALLBOARD_NATS_CREDS: '',
    CALLBOARD_OPS_PORT: '0',
    CALLBOARD_AUDIT_DATABASE_URL: postgres.url.replace(/postgres$/, 'writer'),
    CALLBOARD_AUDIT_SEALING_KEY: KEK.toString('base64'),
    CALLBOARD_AUDIT_SIGNING_KEY: SEED.toString('base64'),
  });
  try {
    const connection = await nats.connect('operator');
    const control = new LedgerControl(connection);
    const status = () => control.ask('status', {});
    const written = async () => (await status()).written;
    const upTo = async (sequence: number) => {
      for (const until = performance.now() + CATCH_UP_MS; performance.now() < until; await delay(STATUS_MS)) {
        if ((await written()) >= sequence) return;
      }
      wrong.push(`the audit writer has not written ${sequence} records`);
    };
    const [from, before, cpu] = [performance.now(), await written(), cpuMsOf(writer.pid) ?? NaN];
    await upTo(all.length);
    const ms = performance.now() - from;
    const count = all.length - before;
    const cpuUs = (((cpuMsOf(writer.pid) ?? NaN) - cpu) * 1_000) / count;

    // The writer has told of itself meanwhile.
    const { stream: base } = await status();
    await upTo(base);
    const publishedAt: number[] = [];
    const lags: number[] = [];
    const seconds = context.quick ? 1 : LAG_SECONDS;
    const begun = performance.now();
    const publishing = (async () => {
      while (publishedAt.length < LAG_PER_SECOND * seconds) {
        const due = Math.floor(((performance.now() - begun) / 1_000) * LAG_PER_SECOND);
        while (publishedAt.length < Math.min(due, LAG_PER_SECOND * seconds)) {
          const { subject, data } = messageOf(base + publishedAt.length + 1);
          publishedAt.push(performance.now());
          connection.publish(subject, data);
        }
        await delay(2);
      }
    })();
    for (let seen = 0; seen < LAG_PER_SECOND * seconds; await delay(STATUS_MS)) {
      const now = (await written()) - base;
      for (; seen < now; seen++) lags.push(performance.now() - publishedAt[seen]!);
      if (performance.now() - begun > CATCH_UP_MS) break;
    }
    await publishing;
    lags.sort((a, b) => a - b);
    const at = (share: number) => Math.round(lags[Math.floor((lags.length - 1) * share)] ?? NaN);
    return [
      `  the audit writer, ${count.toLocaleString('en')} records behind: ${Math.round((count / ms) * 1_000).toLocaleString('en')} a second, ${Math.round(cpuUs)} us of processor time each`,
      `  beside ${LAG_PER_SECOND} records a second, from the publish until the ledger says it has it: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, most ${at(1)} ms`,
    ];
  } finally {
    await writer.stop();
    await nats.dispose();
  }
}

/** Adds up the time that work takes, and the processor time of this process and of the servers that it has started. */
class Meter {
  #ms = 0;
  #ownMs = 0;
  #serversMs = 0;

  async time<T>(work: () => Promise<T>): Promise<T> {
    const [own, tree, from] = [process.cpuUsage(), cpuMsOfTree(process.pid), performance.now()];
    const result = await work();
    this.#ms += performance.now() - from;
    const { user, system } = process.cpuUsage(own);
    const ownMs = (user + system) / 1_000;
    this.#ownMs += ownMs;
    this.#serversMs += Math.max(0, cpuMsOfTree(process.pid) - tree - ownMs);
    return result;
  }

  of(count: number): Measurement {
    const each = (ms: number) => (ms * 1_000) / count;
    return {
      perSecond: (count / this.#ms) * 1_000,
      cpuUs: { ledger: each(this.#ownMs), servers: each(this.#serversMs) },
    };
  }
}

async function batches(count: number, work: (count: number, meter: Meter) => Promise<void>): Promise<Measurement> {
  const meter = new Meter();
  for (let done = 0; done < count; done += BATCH) await work(BATCH, meter);
  return meter.of(count);
}

async function measured(work: () => Promise<number>): Promise<Measurement> {
  const meter = new Meter();
  return meter.of(await meter.time(work));
}

async function readAll(reader: LedgerReader): Promise<number> {
  let count = 0;
  for (let after = 0; ;) {
    const rows = await reader.rows(after, PAGE);
    if (rows.length === 0) return count;
    count += rows.length;
    after = rows.at(-1)!.stream_sequence;
  }
}
