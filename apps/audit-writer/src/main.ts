import 'reflect-metadata';
import { loadConfig } from '@callboard/config';
import { announceReady, createLogger, startTracing, stopOnSignal, watchCertificates } from '@callboard/telemetry';
import { createAuditWriter } from './audit-writer.js';
import { AuditWriterConfig } from './config.js';

const config = loadConfig(AuditWriterConfig);
const log = createLogger('audit-writer', config.instance);
watchCertificates(config);
await startTracing('audit-writer', config);
const writer = await createAuditWriter(config, log);
const opsPort = await writer.ops.start();
announceReady({ ops: opsPort });
log.info({ ops_port: opsPort }, 'running');

stopOnSignal(log, async () => {
  await writer.stop();
  await writer.ops.stop();
});
