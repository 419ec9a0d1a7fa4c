import { ActionSet, Announcer } from '@callboard/actions';
import { openAdapters, type Adapters } from '@callboard/adapters';
import {
  BUCKET,
  AckedPublisher,
  CommandConsumer,
  DeadLetterPublisher,
  JetStreamServer,
  KeyValueStore,
  OutcomePublisher,
  ProgressLog,
  connectNats,
} from '@callboard/jetstream';
import { OpsServer, type Logger } from '@callboard/telemetry';
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
}

export async function createRunner(config: RunnerConfig, log: Logger): Promise<Runner> {
  const actions = await loadActions(config.actionModules, process.env);
  const adapters = config.adapters ? await openAdapters(config.adapters, process.env, log) : undefined;
  for (const action of adapters?.actions ?? []) actions.add(action);
  const nc = await connectNats({
    servers: config.natsUrl,
    user: 'action-runner',
    name: config.instance,
    ...(config.natsCreds && { credsFile: config.natsCreds }),
  });
  const publisher = new AckedPublisher(nc);
  const metrics = new RunnerMetrics();
  const commands = new CommandRunner({
    actions,
    outcomes: new OutcomePublisher(publisher, config.instance),
    progress: await ProgressLog.open(nc, publisher),
    deadLetters: new DeadLetterPublisher(publisher),
    metrics,
    log,
  });
  const transport = new JetStreamServer(
    () =>
      CommandConsumer.start(nc, {
        instance: config.instance,
        partitions: config.partitions,
        concurrencyPerPartition: config.concurrencyPerPartition,
        windowBytesPerPartition: config.windowBytesPerPartition,
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
  metrics.observe(() => transport.unwrap<CommandConsumer | undefined>());
  const announcer = new Announcer(
    await KeyValueStore.open(nc, BUCKET.actions),
    actions,
    { service: config.service, instance: config.instance },
    (error) => log.warn({ err: error }, 'the actions could not be announced'),
  );
  const ops = new OpsServer({
    host: config.opsHost,
    port: config.opsPort,
    readiness: () => !nc.isClosed() && transport.unwrap<CommandConsumer | undefined>() !== undefined,
  });
  return { nc, actions, adapters, announcer, transport, ops };
}
