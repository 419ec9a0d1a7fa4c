import { AuditTrail, BUCKET, KeyValueStore, connectApp, watchConnection } from '@callboard/jetstream';
import { ActionService } from '@callboard/service';
import { OpsServer, gateOf, openPolicies, watchAudit, type Logger } from '@callboard/telemetry';
import { jetstreamManager } from '@nats-io/jetstream';
import { BudgetLedger } from './budgets/budget-ledger.js';
import type { NotifierConfig } from './config.js';
import { Delivery } from './delivery.js';
import { DigestKeeper } from './digests/digest-keeper.js';
import { NotifierMetrics } from './metrics.js';
import { readSettings } from './notifications-file.js';
import { Notifier, SUBJECT } from './notify.js';
import { Slots } from './slots.js';

/** Everything a notifier is made of, wired by hand. */
export interface RunningNotifier {
  ops: OpsServer;
  /** Ends what is begun, and lets go of everything. */
  stop(): Promise<void>;
}

const SERVICE = 'notifier';

export async function createNotifier(
  config: NotifierConfig,
  env: NodeJS.ProcessEnv,
  log: Logger,
): Promise<RunningNotifier> {
  const settings = await readSettings(config, env);
  const nc = await connectApp('notifier', config, log);
  const policies = await openPolicies(config.policies, log);
  const audit = watchAudit(new AuditTrail(nc, { app: 'notifier', instance: config.instance }), log);
  const jsm = await jetstreamManager(nc, { checkAPI: false });
  const metrics = new NotifierMetrics(settings.budgets.map(({ name }) => name));
  const ledger = new BudgetLedger(nc, jsm, (error) =>
    log.warn({ err: error }, 'the budgets could not be read or written; trying again'),
  );
  const delivery = new Delivery(new Slots(config.concurrency), config.timeoutMs, (reason) => {
    metrics.again();
    log.warn({ reason }, 'Backstage did not take a notification; trying again');
  });
  const digests = await DigestKeeper.start(
    await KeyValueStore.open(nc, BUCKET.digests),
    config.instance,
    settings,
    ledger,
    delivery,
    {
      delivered: () => metrics.digest('sent'),
      refused: (reason) => {
        metrics.digest('refused');
        log.warn({ reason }, 'Backstage refused a digest; it is gone');
      },
      failed: (error) => log.warn({ err: error }, 'a digest could not be delivered; trying again'),
    },
  );
  const notifier = new Notifier(settings, ledger, delivery, digests, metrics, gateOf(policies, audit), log, audit);
  const service = await ActionService.start(nc, await KeyValueStore.open(nc, BUCKET.actions), {
    service: SERVICE,
    place: config.instance,
    actions: notifier.actions(),
    subject: SUBJECT,
    maxCommands: config.maxCommands,
    onError: (error, command) => log.warn({ err: error, ...command }, 'the notifier met an error and goes on'),
  });
  metrics.observe(() => service.running);
  return {
    ops: new OpsServer({ host: config.opsHost, port: config.opsPort, readiness: watchConnection(nc) }),
    stop: async () => {
      await service.drain(config.drainTimeoutMs);
      await digests.stop();
      policies.close();
      await audit.close();
      await nc.drain();
    },
  };
}
