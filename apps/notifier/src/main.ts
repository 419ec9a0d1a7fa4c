import 'reflect-metadata';
import { loadConfig } from '@callboard/config';
import { announceReady, createLogger, startTracing, stopOnSignal, watchCertificates } from '@callboard/telemetry';
import { NotifierConfig } from './config.js';
import { createNotifier } from './notifier.js';

const config = loadConfig(NotifierConfig);
const log = createLogger('notifier', config.instance);
watchCertificates(config);
await startTracing('notifier', config);
const notifier = await createNotifier(config, process.env, log);
const opsPort = await notifier.ops.start();
announceReady({ ops: opsPort });
log.info({ ops_port: opsPort }, 'running');

stopOnSignal(log, async () => {
  await notifier.stop();
  await notifier.ops.stop();
});
