import { Announcer, Catalog } from '@callboard/actions';
import { AuditTrail, BUCKET, KeyValueStore, connectApp, watchConnection } from '@callboard/jetstream';
import { OpsServer, watchAudit, type Logger } from '@callboard/telemetry';
import type { OrchestratorConfig } from './config.js';
import { Definitions } from './definitions.js';
import { SagaMetrics } from './metrics.js';
import { SagaOrchestrator } from './saga-orchestrator.js';

/** Everything an orchestrator is made of, wired by hand. */
export interface RunningOrchestrator {
  ops: OpsServer;
  /** Hands its sagas over, and lets go of everything. */
  stop(): Promise<void>;
}

const SERVICE = 'saga-orchestrator';

export async function createOrchestrator(config: OrchestratorConfig, log: Logger): Promise<RunningOrchestrator> {
  const definitions = await Definitions.load(config.sagas, config.uncompensated, (problems) => {
    if (problems.length > 0)
      log.warn({ problems }, 'sagas are left out: they cannot run with the actions that there are');
  });
  const nc = await connectApp(SERVICE, config, log);
  const registry = await KeyValueStore.open(nc, BUCKET.actions);
  const catalog = new Catalog(registry, (error) => log.warn({ err: error }, 'the registry could not be read'));
  catalog.onChange((view) => definitions.refresh(view));
  await catalog.start();
  const metrics = new SagaMetrics();
  const audit = watchAudit(new AuditTrail(nc, { app: SERVICE, instance: config.instance }), log);
  const sagas = await SagaOrchestrator.start(nc, {
    instance: config.instance,
    maxSagas: config.maxSagas,
    definitionOf: (id) => definitions.get(id),
    registered: (id) => catalog.get(id),
    audit,
    metrics,
    log,
  });
  metrics.observe(sagas);
  const announcer = new Announcer(
    registry,
    definitions.actions,
    { service: SERVICE, instance: config.instance },
    (error) => log.warn({ err: error }, 'the sagas could not be announced'),
  );
  await announcer.start();
  return {
    ops: new OpsServer({ host: config.opsHost, port: config.opsPort, readiness: watchConnection(nc) }),
    stop: async () => {
      catalog.stop();
      await sagas.drain(config.drainTimeoutMs);
      await announcer.stop();
      await audit.close();
      await nc.drain();
    },
  };
}
