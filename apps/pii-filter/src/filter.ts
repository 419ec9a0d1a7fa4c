import { randomBytes } from 'node:crypto';
import { AckedPublisher, AuditTrail, HeldLetterPublisher, connectApp, watchConnection } from '@callboard/jetstream';
import { OpsServer, watchAudit, type Logger } from '@callboard/telemetry';
import { jetstreamManager } from '@nats-io/jetstream';
import type { FilterConfig } from './config.js';
import { EventStores } from './event-stores.js';
import { FilterConsumer } from './filter-consumer.js';
import { EventFilter } from './filter-event.js';
import { FilterMetrics } from './metrics.js';
import { OperatorVerbs } from './operator-verbs.js';
import { PolicyFile, type Policies } from './policy-file.js';
import type { RawEvent } from './raw-event.js';
import { RedactionPool } from './redaction-pool.js';
import { TenantKeys } from './tenant-keys.js';

/** Nobody waits for an answer, and thousands of records may be under way: one that is late is not to have all of them sent again. */
const RECORD_TIMEOUT_MS = 60_000;

/** Everything a filter is made of, wired by hand. */
export interface Filter {
  ops: OpsServer;
  /** Ends what is begun, and lets go of everything. */
  stop(): Promise<void>;
}

export async function createFilter(config: FilterConfig, log: Logger): Promise<Filter> {
  const metrics = new FilterMetrics();
  const newPool = ({ policies }: Policies) =>
    new RedactionPool(
      { ...(policies && { policies }) },
      {
        ...config,
        onLost: (reason) => {
          metrics.lost(reason);
          log.warn({ reason }, 'a thread was lost to an event, and is replaced');
        },
      },
    );
  const policies = await PolicyFile.open(config.policyFile, {
    changed: (now) => {
      replacePool(now);
      log.info({ digest: now.digest }, 'the redaction policies have changed');
    },
    broken: (problems) =>
      log.error({ problems }, 'the redaction policies cannot be used; those of before stay in force'),
  });
  let pool = newPool(policies.current);
  const replacePool = (now: Policies) => {
    const before = pool;
    pool = newPool(now);
    void before.close();
  };
  await mustWork(pool);
  log.info({ digest: policies.current.digest }, 'redaction policies');
  const nc = await connectApp('pii-filter', config, log);
  const jsm = await jetstreamManager(nc, { checkAPI: false });
  const origin = { app: 'pii-filter', instance: config.instance };
  const audit = watchAudit(new AuditTrail(nc, origin, RECORD_TIMEOUT_MS), log);
  const publisher = new AckedPublisher(nc);
  const stores = new EventStores(jsm, publisher, new HeldLetterPublisher(publisher));
  const keys = await TenantKeys.open(nc, Buffer.from(config.pseudonymKey, 'base64'), {
    // The threads remember keys, and end with what they are at.
    lost: () => {
      replacePool(policies.current);
      log.info('the key of a tenant was destroyed');
    },
    unreadable: (tenant) =>
      log.warn({ tenant }, 'the key of a tenant was wrapped by another CALLBOARD_PSEUDONYM_KEY; it gets a new one'),
  });
  const judge = async (event: RawEvent) => {
    const key = await keys.of(event.address.tenantId);
    return pool.judge(event, key);
  };
  const filter = new EventFilter(judge, stores, metrics, audit);
  let consumer: FilterConsumer | undefined = undefined;
  metrics.observe(jsm, () => consumer, policies);
  consumer = await FilterConsumer.start(nc, filter, {
    instance: config.instance,
    windowBytes: config.windowBytesPerPartition,
    maxCrashes: config.maxCrashes,
    onError: (error) => log.warn({ err: error }, 'the filter met an error and goes on'),
  });
  const verbs = new OperatorVerbs(nc, jsm, filter, stores, keys, (error) =>
    log.warn({ err: error }, 'what an operator asked could not be done'),
  );
  const isConnected = watchConnection(nc);
  return {
    ops: new OpsServer({ host: config.opsHost, port: config.opsPort, readiness: isConnected }),
    stop: async () => {
      await Promise.all([verbs.stop(), consumer.drain(config.drainTimeoutMs)]);
      policies.close();
      keys.close();
      await pool.close();
      publisher.close();
      await audit.close();
      await nc.drain();
    },
  };
}

/** A filter that cannot redact at all would hold everything back, and look well. */
async function mustWork(pool: RedactionPool): Promise<void> {
  const address = { tenantId: 'self-test', source: 'self-test', topic: 'self-test', key: '', event: '' };
  const attributes = { id: '1', source: '/', type: 'self-test', extensions: {} };
  const event = { address, attributes, data: Buffer.from('{"mail": "jane.doe@example.org"}') };
  const { verdict } = await pool.judge(event, randomBytes(32));
  if (!verdict.ok && FAULTS.has(verdict.reason)) {
    throw new Error(`this filter cannot redact (${verdict.reason}): is it built completely? npm run build`);
  }
}

/** What no policy can be the reason of. */
const FAULTS = new Set(['internal', 'timed_out', 'filter_crashed']);
