/** A filter that dies, as a process, of every event whose id says so: what no thread could keep to itself. */
import 'reflect-metadata';
import { loadConfig } from '@callboard/config';
import { AckedPublisher, AuditTrail, HeldLetterPublisher, connectNats } from '@callboard/jetstream';
import { announceReady, stopOnSignal, createLogger } from '@callboard/telemetry';
import { jetstreamManager } from '@nats-io/jetstream';
import { FilterConfig } from './config.js';
import { EventStores } from './event-stores.js';
import { FilterConsumer } from './filter-consumer.js';
import { EventFilter } from './filter-event.js';
import { judgeEvent } from './judge-event.js';
import { FilterMetrics } from './metrics.js';

const config = loadConfig(FilterConfig);
const log = createLogger('pii-filter', config.instance);
const nc = await connectNats({
  servers: config.natsUrl,
  user: 'pii-filter',
  name: config.instance,
  credsFile: config.natsCreds!,
});
const publisher = new AckedPublisher(nc);
const jsm = await jetstreamManager(nc, { checkAPI: false });
const stores = new EventStores(jsm, publisher, new HeldLetterPublisher(publisher));
const key = Buffer.from(config.pseudonymKey, 'base64');
const filter = new EventFilter(
  async (event) => {
    if (event.attributes.id.startsWith('deadly')) process.kill(process.pid, 'SIGKILL');
    return { verdict: judgeEvent(event, { key }), attempts: 1 };
  },
  stores,
  new FilterMetrics(),
  new AuditTrail(nc, { app: 'pii-filter', instance: config.instance }),
);
const consumer = await FilterConsumer.start(nc, filter, {
  instance: config.instance,
  windowBytes: config.windowBytesPerPartition,
  maxCrashes: config.maxCrashes,
  onError: (err) => log.warn({ err }, 'spec'),
});
announceReady({ ops: 0 });
stopOnSignal(log, async () => {
  await consumer.drain(5_000);
  await nc.close();
});
