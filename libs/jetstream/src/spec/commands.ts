/** What specs of the consumer and the client share: commands, and a consumer that writes down what it was handed. */
import { setTimeout as delay } from 'node:timers/promises';
import { HEADER, commandSubject, parseEnvelope, type CommandEnvelope } from '@callboard/envelope';
import { testCommand, type TestNats } from '@callboard/testing';
import type { NatsConnection } from '@nats-io/transport-node';
import { AckedPublisher, PublishRefused, headerLine } from '../acked-publisher.js';
import { CommandConsumer, type CommandConsumerOptions } from '../command-consumer.js';
import type { Delivery, Handled } from '../delivery.js';
import { OutcomePublisher } from '../outcome-publisher.js';

export function subjectOf(envelope: CommandEnvelope): string {
  return commandSubject({
    tenantId: envelope.tenant_id,
    tool: envelope.tool,
    method: envelope.method,
    orderingKey: envelope.ordering_key,
    correlationId: envelope.correlation_id,
  });
}

/** Stores commands in the order given, over crashes of the server too. */
export async function store(nc: NatsConnection, commands: CommandEnvelope[]): Promise<void> {
  const publisher = new AckedPublisher(nc);
  const head = headerLine(HEADER.expectedLastSubjectSequence, '0');
  await Promise.all(
    commands.map((envelope) =>
      publisher
        .publish(
          subjectOf(envelope),
          Buffer.from(JSON.stringify(envelope)),
          head + headerLine(HEADER.priority, envelope.priority),
          60_000,
        )
        // Sent again after a crash, and stored before it: that is what the expectation is there for.
        .catch((error: unknown) => {
          if (!(error instanceof PublishRefused && error.isWrongLastSequence)) throw error;
        }),
    ),
  );
  publisher.close();
}

export interface Run {
  key: string;
  n: unknown;
  by: string;
  mayHaveBegun: boolean;
  fence: number;
}

/** A consumer whose handler writes down what it was handed, does what the test says, and stores an outcome. */
export class Recorder {
  readonly errors: unknown[] = [];
  readonly stuck: number[] = [];
  running = 0;
  consumer!: CommandConsumer;

  private constructor(
    readonly nc: NatsConnection,
    readonly instance: string,
    readonly runs: Run[],
    private readonly act: (delivery: Delivery, envelope: CommandEnvelope) => Promise<Handled | void>,
  ) {}

  static async start(
    nats: TestNats,
    instance: string,
    runs: Run[],
    act: (delivery: Delivery, envelope: CommandEnvelope) => Promise<Handled | void> = () => Promise.resolve(),
    options: Partial<CommandConsumerOptions> = {},
  ): Promise<Recorder> {
    const recorder = new Recorder(await nats.connect('action-runner'), instance, runs, act);
    const outcomes = new OutcomePublisher(new AckedPublisher(recorder.nc), instance);
    recorder.consumer = await CommandConsumer.start(recorder.nc, {
      instance,
      partitions: nats.topology.options.partitions,
      concurrencyPerPartition: 64,
      windowBytesPerPartition: 16 * 1_048_576,
      handle: (delivery) => recorder.#handle(delivery, outcomes),
      onStuck: (partition) => recorder.stuck.push(partition),
      onError: (error) => recorder.errors.push(error),
      ...options,
    });
    return recorder;
  }

  async #handle(delivery: Delivery, outcomes: OutcomePublisher): Promise<Handled> {
    const envelope = parseEnvelope(delivery.data);
    const { ordering_key: key, args } = envelope;
    this.runs.push({
      key,
      n: args['n'],
      by: this.instance,
      mayHaveBegun: delivery.mayHaveBegun,
      fence: delivery.fence,
    });
    this.running += 1;
    delivery.acting = true;
    try {
      const said = await this.act(delivery, envelope);
      if (said) return said;
    } finally {
      delivery.acting = false;
      this.running -= 1;
    }
    await outcomes.publish(envelope, { status: 'succeeded', attempts: 1 });
    return 'ended';
  }

  /** As if the process had been killed. */
  async die(): Promise<void> {
    await this.nc.close();
    await this.consumer.drain(0);
  }
}

/** What each key was handed, in order. */
export function byKey(runs: Run[]): Record<string, unknown[]> {
  const keys: Record<string, unknown[]> = {};
  for (const { key, n } of runs) (keys[key] ??= []).push(n);
  return keys;
}

/** `keys` keys with `each` commands, mixed. */
export function backlog(keys: number, each: number, padding = ''): CommandEnvelope[] {
  return Array.from({ length: keys * each }, (_, i) =>
    testCommand(`k${i % keys}`, { n: Math.floor(i / keys), ...(padding && { padding }) }),
  );
}

export function inOrder(keys: number, each: number): Record<string, unknown[]> {
  const numbers = Array.from({ length: each }, (_, n) => n);
  return Object.fromEntries(Array.from({ length: keys }, (_, k) => [`k${k}`, numbers]));
}

/** An action that goes on until it is told to stop. */
export const endless = ({ signal }: Delivery): Promise<'left'> =>
  new Promise((resolve) => signal.addEventListener('abort', () => resolve('left')));
export const briefly = (): Promise<void> => delay(Math.random() * 3);
