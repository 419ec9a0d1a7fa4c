import 'reflect-metadata';
import { loadConfig } from '@callboard/config';
import { announceReady, createLogger, startTracing, stopOnSignal, watchCertificates } from '@callboard/telemetry';
import { OperatorToolsConfig } from './config.js';
import { createOperatorTools } from './operator-tools.js';

const config = loadConfig(OperatorToolsConfig);
const log = createLogger('operator-tools', config.instance);
watchCertificates(config);
await startTracing('operator-tools', config);
const tools = await createOperatorTools(config, log);
const opsPort = await tools.ops.start();
announceReady({ ops: opsPort });
log.info({ ops_port: opsPort }, 'running');

stopOnSignal(log, async () => {
  await tools.stop();
  await tools.ops.stop();
});
