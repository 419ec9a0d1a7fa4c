import 'reflect-metadata';
import { loadConfig } from '@callboard/config';
import { announceReady, createLogger, startTracing, stopOnSignal, watchCertificates } from '@callboard/telemetry';
import { FilterConfig } from './config.js';
import { createFilter } from './filter.js';

const config = loadConfig(FilterConfig);
const log = createLogger('pii-filter', config.instance);
watchCertificates(config);
await startTracing('pii-filter', config);
const filter = await createFilter(config, log);
const opsPort = await filter.ops.start();
announceReady({ ops: opsPort });
log.info({ ops_port: opsPort }, 'running');

stopOnSignal(log, async () => {
  await filter.stop();
  await filter.ops.stop();
});
