import 'reflect-metadata';
import { loadConfig } from '@callboard/config';
import { announceReady, createLogger, startTracing, stopOnSignal, watchCertificates } from '@callboard/telemetry';
import { OrchestratorConfig } from './config.js';
import { DefinitionMistakes } from './definitions.js';
import { createOrchestrator } from './orchestrator.js';

const config = loadConfig(OrchestratorConfig);
const log = createLogger('saga-orchestrator', config.instance);
watchCertificates(config);
await startTracing('saga-orchestrator', config);
const orchestrator = await createOrchestrator(config, log).catch((error: unknown) => {
  if (!(error instanceof DefinitionMistakes)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exit(78);
});
const opsPort = await orchestrator.ops.start();
announceReady({ ops: opsPort });
log.info({ ops_port: opsPort }, 'running');

stopOnSignal(log, async () => {
  await orchestrator.stop();
  await orchestrator.ops.stop();
});
