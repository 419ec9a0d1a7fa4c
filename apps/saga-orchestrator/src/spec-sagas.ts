/** What specs of the orchestrator share: a real nats-server, orchestrators that can be killed, and a runner of their own that does what it is told. */
import {
  AckedPublisher,
  CommandClient,
  CommandConsumer,
  DEFAULT_TOPOLOGY,
  OutcomePublisher,
  onEnded,
} from '@callboard/jetstream';
import { MemoryAudit } from '@callboard/audit';
import { parseEnvelope, type CommandEnvelope, type JsonObject } from '@callboard/envelope';
import type { ActionStep, SagaDefinition, StepDefinition } from '@callboard/saga';
import { SagaJournal, type SagaRecord } from '@callboard/saga-journal';
import { createLogger } from '@callboard/telemetry';
import { testCommand, waitFor, type TestNats } from '@callboard/testing';
import type { NatsConnection } from '@nats-io/transport-node';
import { SagaMetrics } from './metrics.js';
import { SagaOrchestrator } from './saga-orchestrator.js';

export const TENANT = 'acme';

export const action = (name: string, more: Partial<ActionStep> = {}): ActionStep => ({
  kind: 'action',
  name,
  action: `stage.${name}`,
  args: { step: name },
  ...more,
});

export const undoable = (name: string, more: Partial<ActionStep> = {}): ActionStep =>
  action(name, {
    compensation: {
      action: `stage.un${name}`,
      args: { step: name },
      retry: { max_attempts: 2, backoff_ms: 10, max_backoff_ms: 10 },
      in_doubt: 'undo',
    },
    ...more,
  });

export const definition = (steps: StepDefinition[], more: Partial<SagaDefinition> = {}): SagaDefinition => ({
  definition_version: '1.0',
  id: 'stage.play',
  version: 1,
  description: 'For specs.',
  input_schema: { type: 'object' },
  deadline_ms: 60_000,
  steps,
  ...more,
});

export interface Ran {
  what: string;
  id: string;
  args: JsonObject;
}

/** What an action does when it is run: nothing, or an error whose text is the reason. */
export type Acts = (command: CommandEnvelope) => Promise<JsonObject | void>;

/** Runs every command in order, as a runner does, and writes down which. */
export class SpecRunner {
  readonly ran: Ran[] = [];
  acts: Acts = () => Promise.resolve();
  #consumer!: CommandConsumer;

  static async start(nats: TestNats): Promise<SpecRunner> {
    const runner = new SpecRunner();
    const nc = await nats.connect('action-runner');
    const outcomes = new OutcomePublisher(new AckedPublisher(nc), 'spec-runner');
    runner.#consumer = await CommandConsumer.start(nc, {
      instance: 'spec-runner',
      partitions: DEFAULT_TOPOLOGY.partitions,
      concurrencyPerPartition: 64,
      windowBytesPerPartition: 16 * 1024 ** 2,
      onStuck: () => undefined,
      onError: () => undefined,
      handle: async (delivery) => {
        const command = parseEnvelope(delivery.data);
        runner.ran.push({ what: command.method, id: command.correlation_id, args: command.args });
        try {
          // What has been ended elsewhere is told to stop, and does.
          const stopped = new Promise<void>((resolve) => onEnded(delivery, resolve));
          const structuredContent = (await Promise.race([runner.acts(command), stopped])) ?? {};
          await outcomes.publish(command, { status: 'succeeded', result: { structuredContent }, attempts: 1 });
        } catch (error) {
          const body = { code: 'action_failed', message: (error as Error).message, retryable: false };
          await outcomes.publish(command, { status: 'failed', error: body, attempts: 1 });
        }
        return 'ended';
      },
    });
    return runner;
  }

  async stop(): Promise<void> {
    await this.#consumer.drain(0);
  }
}

const metrics = new SagaMetrics();
/** What orchestrators have recorded. */
export const audit = new MemoryAudit();

export class SpecOrchestrator {
  private constructor(
    readonly nc: NatsConnection,
    readonly is: SagaOrchestrator,
  ) {}

  static async start(
    nats: TestNats,
    definitions: SagaDefinition[],
    instance = 'orchestrator-1',
  ): Promise<SpecOrchestrator> {
    const nc = await nats.connect('saga-orchestrator');
    const byId = new Map(definitions.map((each) => [each.id, each]));
    const is = await SagaOrchestrator.start(nc, {
      instance,
      maxSagas: 1_000,
      definitionOf: (id) => byId.get(id),
      registered: () => undefined,
      audit,
      metrics,
      log: createLogger('saga-orchestrator', instance),
    });
    return new SpecOrchestrator(nc, is);
  }

  /** As if the process had been killed. */
  async die(): Promise<void> {
    await this.nc.close();
    await this.is.drain(0).catch(() => undefined);
  }

  async stop(): Promise<void> {
    await this.is.drain(5_000);
    await this.nc.close();
  }
}

/** As a front end begins a declared saga, and as operators look at it. */
export class SpecCaller {
  private constructor(
    readonly commands: CommandClient,
    readonly journal: SagaJournal,
  ) {}

  static async start(nats: TestNats): Promise<SpecCaller> {
    const nc = await nats.connect('mcp-frontend');
    return new SpecCaller(
      await CommandClient.start(nc, { instance: 'spec-caller' }),
      await SagaJournal.open(nc, new AckedPublisher(nc)),
    );
  }

  begin(input: JsonObject = {}, more: Partial<CommandEnvelope> = {}) {
    const command = testCommand('any', input, { tool: 'stage', method: 'play', ...more });
    return this.commands.submit(command, { saga: true });
  }

  until(sagaId: string, what: string, holds: (saga: SagaRecord) => unknown): Promise<SagaRecord> {
    return waitFor(
      async () => {
        const saga = await this.journal.read(TENANT, sagaId);
        return holds(saga) ? saga : false;
      },
      { what },
    );
  }
}
