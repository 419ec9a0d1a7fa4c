import { AckedPublisher, HeldLetterPublisher, connectApp, watchConnection } from '@callboard/jetstream';
import { OpsServer, type Logger } from '@callboard/telemetry';
import { jetstreamManager } from '@nats-io/jetstream';
import type { FilterConfig } from './config.js';
import { EventStores } from './event-stores.js';
import { FilterConsumer } from './filter-consumer.js';
import { EventFilter } from './filter-event.js';
import { FilterMetrics } from './metrics.js';
import { OperatorVerbs } from './operator-verbs.js';
import { PolicyFile, type Policies } from './policy-file.js';
import { RedactionPool } from './redaction-pool.js';

/** Everything a filter is made of, wired by hand. */
export interface Filter {
  ops: OpsServer;
  /** Ends what is begun, and lets go of everything. */
  stop(): Promise<void>;
}

export async function createFilter(config: FilterConfig, log: Logger): Promise<Filter> {
  const metrics = new FilterMetrics();
  const key = Buffer.from(config.pseudonymKey, 'base64');
  const newPool = ({ policies }: Policies) =>
    new RedactionPool(
      { key, ...(policies && { policies }) },
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
      const before = pool;
      pool = newPool(now);
      log.info({ digest: now.digest }, 'the redaction policies have changed');
      void before.close();
    },
    broken: (problems) =>
      log.error({ problems }, 'the redaction policies cannot be used; those of before stay in force'),
  });
  let pool = newPool(policies.current);
  await mustWork(pool);
  log.info({ digest: policies.current.digest }, 'redaction policies');
  const nc = await connectApp('pii-filter', config);
  const jsm = await jetstreamManager(nc, { checkAPI: false });
  const publisher = new AckedPublisher(nc);
  const stores = new EventStores(jsm, publisher, new HeldLetterPublisher(publisher));
  const filter = new EventFilter((event) => pool.judge(event), stores, metrics);
  let consumer: FilterConsumer | undefined = undefined;
  metrics.observe(jsm, () => consumer, policies);
  consumer = await FilterConsumer.start(nc, filter, {
    instance: config.instance,
    windowBytes: config.windowBytesPerPartition,
    maxCrashes: config.maxCrashes,
    onError: (error) => log.warn({ err: error }, 'the filter met an error and goes on'),
  });
  const verbs = new OperatorVerbs(nc, jsm, filter, stores, (error) =>
    log.warn({ err: error }, 'what an operator asked could not be done'),
  );
  const isConnected = watchConnection(nc);
  return {
    ops: new OpsServer({ host: config.opsHost, port: config.opsPort, readiness: isConnected }),
    stop: async () => {
      await Promise.all([verbs.stop(), consumer.drain(config.drainTimeoutMs)]);
      policies.close();
      await pool.close();
      publisher.close();
      await nc.drain();
    },
  };
}

/** A filter that cannot redact at all would hold everything back, and look well. */
async function mustWork(pool: RedactionPool): Promise<void> {
  const address = { tenantId: 'self-test', source: 'self-test', topic: 'self-test', key: '', event: '' };
  const attributes = { id: '1', source: '/', type: 'self-test', extensions: {} };
  const { verdict } = await pool.judge({ address, attributes, data: Buffer.from('{"mail": "jane.doe@example.org"}') });
  if (!verdict.ok && FAULTS.has(verdict.reason)) {
    throw new Error(`this filter cannot redact (${verdict.reason}): is it built completely? npm run build`);
  }
}

/** What no policy can be the reason of. */
const FAULTS = new Set(['internal', 'timed_out', 'filter_crashed']);
