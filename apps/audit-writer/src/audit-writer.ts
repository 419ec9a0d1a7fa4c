import { setTimeout as delay } from 'node:timers/promises';
import { CheckpointSigner } from '@callboard/audit';
import { ConfigError } from '@callboard/config';
import { AckedPublisher, AuditTrail, connectApp, watchConnection } from '@callboard/jetstream';
import {
  Checkpoints,
  EmbeddedDatabase,
  Ledger,
  LedgerReader,
  PostgresDatabase,
  WRITER_ROLE,
  migrate,
  migrationOf,
  sqlStateOf,
  type Database,
} from '@callboard/ledger';
import { OpsServer, watchAudit, type Logger } from '@callboard/telemetry';
import { jetstreamManager } from '@nats-io/jetstream';
import type { AuditWriterConfig } from './config.js';
import { AnotherStream, Feed } from './feed.js';
import { WriterMetrics } from './metrics.js';
import { Verbs } from './verbs.js';

/** Everything an audit writer is made of, wired by hand. */
export interface RunningAuditWriter {
  ops: OpsServer;
  stop(): Promise<void>;
}

const INSUFFICIENT_PRIVILEGE = '42501';

export async function createAuditWriter(config: AuditWriterConfig, log: Logger): Promise<RunningAuditWriter> {
  const origin = { app: 'audit-writer', instance: config.instance };
  const nc = await connectApp('audit-writer', config, log);
  const jsm = await jetstreamManager(nc, { checkAPI: false });
  const db = await openDatabase(config, log);
  const signer = new CheckpointSigner(Buffer.from(config.signingKey, 'base64'));
  const ledger = new Ledger(db, Buffer.from(config.sealingKey, 'base64'), origin);
  const publisher = new AckedPublisher(nc);
  const checkpoints = new Checkpoints(db, signer, publisher, jsm);
  const audit = watchAudit(new AuditTrail(nc, origin), log);
  const feed = new Feed(ledger, checkpoints, nc, jsm, new WriterMetrics(), {
    checkpointMs: config.checkpointMs,
    keepMs: config.keepMs,
    onError: (error) =>
      error instanceof AnotherStream
        ? log.error({ err: error }, 'the ledger is not that of this audit stream: nothing is written')
        : log.warn({ err: error }, 'the ledger could not be written; trying again'),
  });
  feed.start();
  const verbs = new Verbs(nc, jsm, db, ledger, new LedgerReader(db), feed, signer.publicKey, audit, (error) =>
    log.warn({ err: error }, 'what an operator asked of the ledger could not be done'),
  );
  const isConnected = watchConnection(nc);
  return {
    ops: new OpsServer({ host: config.opsHost, port: config.opsPort, readiness: () => isConnected() && feed.fit }),
    stop: async () => {
      await verbs.stop();
      await feed.stop();
      // What is written and not vouched for is vouched for at the next start; now is better.
      await feed.vouch().catch((error: unknown) => log.warn({ err: error }, 'no last checkpoint could be taken'));
      await audit.close();
      publisher.close();
      await nc.drain();
      await db.close();
    },
  };
}

/** @throws ConfigError when the tables are not there and may not be made */
async function openDatabase({ databaseUrl, databaseDir }: AuditWriterConfig, log: Logger): Promise<Database> {
  if (databaseUrl === undefined) {
    const db = await EmbeddedDatabase.open(databaseDir!);
    await migrate(db);
    await db.query(`SET ROLE ${WRITER_ROLE}`);
    return db;
  }
  const owner = new PostgresDatabase(databaseUrl);
  try {
    await reached(() => migrationOf(owner), log);
    await migrate(owner);
  } catch (error) {
    if (sqlStateOf(error) !== INSUFFICIENT_PRIVILEGE) throw error;
    throw new ConfigError([
      `CALLBOARD_AUDIT_DATABASE_URL names a user who may not make the ledger's tables; make them first, as their owner: callboard audit migrate --database-url URL`,
    ]);
  } finally {
    await owner.close();
  }
  return new PostgresDatabase(databaseUrl, WRITER_ROLE);
}

const RETRY_MS = 1_000;
/** The server is starting, stopping, or has no place left: not the answer of one that knows what it was asked. */
const NOT_NOW = /^(08|53|57P)/;

/** Waits for a server that is not there yet. */
async function reached(ask: () => Promise<unknown>, log: Logger): Promise<void> {
  for (;;) {
    try {
      return void (await ask());
    } catch (error) {
      const state = sqlStateOf(error);
      if (state !== undefined && !NOT_NOW.test(state)) throw error;
      log.warn({ err: error }, 'the database of the ledger cannot be reached yet; trying again');
      await delay(RETRY_MS);
    }
  }
}
