/**
 * Runs the sagas of the partitions that this process owns. Which those are is settled by leases, as it is for runners: each process holds its fair
 * share, and a lease that is lost is worked on no more. Two owners at once would do no harm: see `RunningSaga`.
 */
import type { RegisteredAction } from '@callboard/actions';
import type { Audit } from '@callboard/audit';
import {
  BUCKET,
  AckedPublisher,
  CommandClient,
  InputExchange,
  KeyValueStore,
  PartitionLeases,
  RawEvents,
  ProgressLog,
  STREAM,
  partitionsOf,
  whenLed,
} from '@callboard/jetstream';
import type { SagaDefinition } from '@callboard/saga';
import { SagaJournal } from '@callboard/saga-journal';
import type { Logger } from '@callboard/telemetry';
import { jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { setTimeout as delay } from 'node:timers/promises';
import { DueList } from './due-list.js';
import type { SagaMetrics } from './metrics.js';
import { SagaEvents } from './saga-events.js';
import { OwnedSagas, type OwnedSagasDependencies } from './owned-sagas.js';

export interface SagaOrchestratorOptions {
  instance: string;
  maxSagas: number;
  definitionOf(actionId: string): SagaDefinition | undefined;
  registered(actionId: string): RegisteredAction | undefined;
  audit: Audit;
  metrics: SagaMetrics;
  log: Logger;
}

/** Of a command whose action nobody announces, and whose step says nothing. */
const DEFAULT_DEADLINE_MS = 60_000;
const POLL_MS = 20;
/**
 * Whoever owns a saga waits for its commands, and ends them at their deadlines: a deadline in the stream is for the time in which nobody owns it. It
 * costs two messages, in a stream that all commands share, so a burst of sagas must not make steps late enough to need one each.
 */
const SCHEDULE_DEADLINES_AFTER_MS = 5_000;

export class SagaOrchestrator {
  readonly #owned = new Map<number, OwnedSagas>();
  readonly #due = new DueList();
  #leases!: PartitionLeases;

  private constructor(
    private readonly nc: NatsConnection,
    private readonly publisher: AckedPublisher,
    private readonly commands: CommandClient,
    private readonly inputs: InputExchange,
    private readonly journal: SagaJournal,
    private readonly options: SagaOrchestratorOptions,
  ) {}

  static async start(nc: NatsConnection, options: SagaOrchestratorOptions): Promise<SagaOrchestrator> {
    const publisher = new AckedPublisher(nc);
    const orchestrator = new SagaOrchestrator(
      nc,
      publisher,
      await CommandClient.start(nc, {
        instance: options.instance,
        audit: options.audit,
        scheduleDeadlinesAfterMs: SCHEDULE_DEADLINES_AFTER_MS,
      }),
      await InputExchange.open(nc, publisher),
      await SagaJournal.open(nc, publisher),
      options,
    );
    await orchestrator.#start();
    return orchestrator;
  }

  /** Sagas that it has. */
  get size(): number {
    return this.#sum(({ size }) => size);
  }

  /** Those of them that wait for an operator. */
  get halted(): number {
    return this.#sum(({ halted }) => halted);
  }

  get partitions(): number {
    return this.#owned.size;
  }

  /** Hands everything over, and is gone. */
  async drain(timeoutMs: number): Promise<void> {
    const late = Date.now() + timeoutMs;
    await this.#leases.leave();
    while (this.#leases.held.length > 0 && Date.now() < late) await delay(POLL_MS);
    this.#leases.stop();
    for (const owned of this.#owned.values()) owned.stop();
    this.#due.stop();
    this.inputs.close();
    this.commands.close();
    this.publisher.close();
  }

  async #start(): Promise<void> {
    const { log, instance } = this.options;
    const jsm = await jetstreamManager(this.nc, { checkAPI: false });
    const partitions = partitionsOf((await whenLed(() => jsm.streams.info(STREAM.sagas))).config) ?? 1;
    this.nc.subscribe('abort.*.*', {
      callback: (error, message) => {
        const tail = message.subject.slice('abort.'.length);
        const saga = error ? undefined : this.#find(tail);
        if (!saga) return;
        void saga.lookAtCommand();
        message.respond(JSON.stringify({ state: 'running' }));
      },
    });
    this.#leases = new PartitionLeases(await KeyValueStore.open(this.nc, BUCKET.sagaLeases), instance, partitions, {
      acquired: ({ partition }) => {
        const owned = new OwnedSagas(partition, this.#dependencies());
        this.#owned.set(partition, owned);
        owned.start();
      },
      surplus: (partition) => {
        this.#letGo(partition);
        void this.#leases
          .giveBack(partition, true)
          .catch((error: unknown) =>
            log.warn({ err: error, partition }, 'a partition of sagas could not be given back'),
          );
      },
      lost: (partition) => {
        this.#letGo(partition);
        this.#leases.stopped(partition);
      },
      error: (error) => log.warn({ err: error }, 'the leases of sagas could not be read or written'),
      load: (partition) => this.#owned.get(partition)?.size ?? 0,
    });
    await this.#leases.start();
  }

  #dependencies(): OwnedSagasDependencies {
    const { definitionOf, registered, maxSagas, audit, metrics, log } = this.options;
    return {
      nc: this.nc,
      journal: this.journal,
      commands: this.commands,
      channels: { commands: this.commands, inputs: this.inputs, progress: new ProgressLog(this.publisher) },
      due: this.#due,
      deadlineMsOf: (id) => registered(id)?.deadline_ms ?? DEFAULT_DEADLINE_MS,
      definitionOf,
      registered,
      hasRoom: () => this.size <= maxSagas,
      audit,
      events: new SagaEvents(new RawEvents(this.publisher), metrics, log),
      metrics,
      log,
    };
  }

  #find(tail: string) {
    for (const owned of this.#owned.values()) {
      const saga = owned.find(tail);
      if (saga) return saga;
    }
    return undefined;
  }

  #letGo(partition: number): void {
    this.#owned.get(partition)?.stop();
    this.#owned.delete(partition);
  }

  #sum(of: (owned: OwnedSagas) => number): number {
    let sum = 0;
    for (const owned of this.#owned.values()) sum += of(owned);
    return sum;
  }
}
