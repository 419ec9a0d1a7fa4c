import { ActionSet, Announcer, Catalog } from '@callboard/actions';
import { SecretTexts, VaultClient } from '@callboard/config';
import {
  CallersToken,
  Handovers,
  NatsServices,
  openAdapters,
  type Adapters,
  type AskForToken,
  type Callbacks,
} from '@callboard/adapters';
import {
  BUCKET,
  AckedPublisher,
  AttemptLog,
  AuditTrail,
  CommandConsumer,
  DeadLetterPublisher,
  DeadlineKeeper,
  Halts,
  InputExchange,
  KeyValueStore,
  OutcomePublisher,
  ProgressLog,
  askForToken,
  connectApp,
  watchConnection,
} from '@callboard/jetstream';
import { JetStreamServer } from '@callboard/jetstream/nest';
import { OpsServer, gateOf, openPolicies, watchAudit, type Logger } from '@callboard/telemetry';
import type { NatsConnection } from '@nats-io/transport-node';
import type { RunnerConfig } from './config.js';
import { loadActions } from './load-actions.js';
import { RunnerMetrics } from './metrics.js';
import { CommandRunner } from './run-command.js';

/** Everything a runner is made of, wired by hand: each part takes what it needs, and knows nothing of Nest. */
export interface Runner {
  nc: NatsConnection;
  actions: ActionSet;
  adapters: Adapters | undefined;
  announcer: Announcer;
  transport: JetStreamServer;
  ops: OpsServer;
  /** Stops what listens beside the transport. */
  close(): Promise<void>;
}

export async function createRunner(config: RunnerConfig, log: Logger): Promise<Runner> {
  const onTaken = (id: string) => log.warn({ action: id }, 'an action is left out: another has its name');
  const actions = await loadActions(config.actionModules, process.env, onTaken);
  const askForCallersToken: AskForToken = ({ tenantId, correlationId }, signal) =>
    askForToken(nc, { tenant_id: tenantId, correlation_id: correlationId }, signal);
  const adapters = config.adapters
    ? await openAdapters(config.adapters, {
        env: process.env,
        log,
        callbacks: callbacksOf(config),
        handovers: () => handovers,
        lastSeen: () => registry,
        askForToken: askForCallersToken,
        backstageTokens: (site, service) => new CallersToken(site, service, askForCallersToken),
        onTaken,
      })
    : undefined;
  if (adapters) actions.include(adapters.actions, onTaken);
  const nc = await connectApp('action-runner', config, log);
  const handovers = await Handovers.open(nc);
  const registry = await KeyValueStore.open(nc, BUCKET.actions);
  await adapters?.start();
  const catalog = new Catalog(registry, (error) => log.warn({ err: error }, 'the registry could not be read'));
  const services = new NatsServices(nc, catalog);
  await catalog.start();
  const publisher = new AckedPublisher(nc);
  const metrics = new RunnerMetrics();
  const audit = watchAudit(new AuditTrail(nc, { app: 'action-runner', instance: config.instance }), log);
  const policies = await openPolicies(config.policies, log);
  const outcomes = new OutcomePublisher(publisher, config.instance, audit);
  const inputs = await InputExchange.open(nc, publisher);
  // Halts of before are told while this opens.
  let transport: JetStreamServer | undefined = undefined;
  const consumer = () => transport?.unwrap<CommandConsumer | undefined>();
  const halts = await Halts.open(nc, (tenantId, orderingKey, { resume_with: first }) => {
    if (first !== undefined) consumer()?.putFirst(tenantId, orderingKey, first);
  });
  const commands = new CommandRunner({
    actions,
    elsewhere: (id) => services.find(id),
    outcomes,
    attempts: await AttemptLog.open(nc, publisher),
    inputs,
    halts,
    progress: new ProgressLog(publisher),
    deadLetters: new DeadLetterPublisher(publisher),
    gate: gateOf(policies, audit),
    audit,
    secrets: new SecretTexts('.', VaultClient.fromEnv(process.env)),
    metrics,
    log,
  });
  transport = new JetStreamServer(
    () =>
      CommandConsumer.start(nc, {
        instance: config.instance,
        partitions: config.partitions,
        concurrencyPerPartition: config.concurrencyPerPartition,
        windowBytesPerPartition: config.windowBytesPerPartition,
        starvationMs: config.starvationMs,
        keysKnown: () => halts.current(),
        goesFirst: (tenantId, orderingKey) => halts.get(tenantId, orderingKey)?.resume_with,
        handle: (delivery) => commands.run(delivery),
        onStuck: (partition) => {
          log.error(
            { partition },
            'a handler did not stop after its lease was lost: ending the process, so that it cannot act after the next owner',
          );
          process.exit(70);
        },
        onError: (error) => log.warn({ err: error }, 'the command consumer met an error and goes on'),
      }),
    config.drainTimeoutMs,
  );
  metrics.observe(consumer, config.partitions, halts);
  const deadlines = await DeadlineKeeper.start(nc, outcomes, (error) =>
    log.warn({ err: error }, 'a deadline could not be kept; trying again'),
  );
  const announcer = new Announcer(registry, actions, { service: config.service, instance: config.instance }, (error) =>
    log.warn({ err: error }, 'the actions could not be announced'),
  );
  const isConnected = watchConnection(nc);
  const ops = new OpsServer({
    host: config.opsHost,
    port: config.opsPort,
    readiness: () => isConnected() && consumer() !== undefined,
  });
  return {
    nc,
    actions,
    adapters,
    announcer,
    transport,
    ops,
    close: async () => {
      policies.close();
      services.close();
      catalog.stop();
      handovers.close();
      deadlines.stop();
      inputs.close();
      halts.close();
      await audit.close();
    },
  };
}

/** Far sides report only where the runner can say where, and with what token. */
function callbacksOf({ resultsUrl, resultsKey }: RunnerConfig): Callbacks | undefined {
  return resultsUrl && resultsKey
    ? { url: resultsUrl.replace(/\/$/, ''), key: Buffer.from(resultsKey, 'base64') }
    : undefined;
}
