/**
 * The ordered keyed consumer: owns partitions of the command stream and hands each key's commands to a handler, strictly one after
 * the other, many keys at once.
 *
 * For every lease it holds it makes the partition's consumer, reads ahead, keeps a line per key, and knows the floor: the highest
 * sequence up to which every command has its outcome. The floor is kept in the bucket of the leases, at most once a second. Nothing is
 * redelivered by a timer. A new owner goes through everything above the floor again:
 *
 *   C1  What is in memory is known, and not read twice: after a reconnect the owner reads on where it was.
 *   C2  What may have ended before (it was in the stream when the consumer was made) is looked up in OUTCOMES before it joins its
 *       key's line, and skipped when it has ended. So a floor that is behind costs lookups, and never repeats a command.
 *   C3  After an owner that did not finish cleanly, the first unfinished command of each key may have begun there; it is handed over
 *       with `mayHaveBegun`. Later ones of that key cannot have: order forbids it.
 *   C4  A handler's command counts as done only when the handler says `ended`, which it says when the outcome is durable.
 *   C5  Nothing is begun, and the consumer is not touched, unless the lease is valid at that moment.
 *   C6  Deliveries are numbered without a gap. Where one went astray, everything after the last that came is read again; where nothing follows
 *       that would show it, the consumer is asked how far it is.
 *   C7  Nothing that takes long holds back other keys: a command that waits gives its place away, and a key with many commands is
 *       read again from the stream when its turn comes.
 *
 * Losing a lease aborts what runs. An action that does not stop within `STOP_GRACE_MS` could still have its effect after the next
 * owner has gone on; `onStuck` is then called, and the app must end the process. That is the fence for effects that know no fence.
 * What has acted and only waits for its outcome to be stored may take its time: the stream takes the first outcome.
 *
 * Who ends a command from outside says so at `abort.<tenant>.<correlation_id>`; whoever has it answers what it was doing, and the others
 * remember it, for the command may be on its way to one of them.
 */
import { decodeToken } from '@callboard/envelope';
import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import type { Msg, NatsConnection, Subscription } from '@nats-io/transport-node';
import { onConnectionChange } from './connect.js';
import type { Delivery, Handled } from './delivery.js';
import { KeyValueStore } from './key-value-store.js';
import { HeardEnds } from './heard-ends.js';
import { OwnedPartition, commandKey } from './owned-partition.js';
import { PartitionLeases, type Lease } from './partition-leases.js';
import { BUCKET, STREAM, partitionsOf } from './topology.js';
import { whenLed } from './when-led.js';

export interface CommandConsumerOptions {
  instance: string;
  partitions: number;
  /** Commands that one partition runs at once. */
  concurrencyPerPartition: number;
  /** Bytes of commands that one partition reads ahead. */
  windowBytesPerPartition: number;
  /** A command that is first of its key and has waited so long goes before more urgent ones, in turns with them. Default 10 s. */
  starvationMs?: number;
  /** Must settle, and must not reject. */
  handle(delivery: Delivery): Promise<Handled>;
  /** Resolves when all is known of keys that whoever owned their partition before has stored; nothing is begun before. It is asked again when it fails. */
  keysKnown?(): Promise<void>;
  /** Correlation id of the command that goes before all others of its key, where an operator said so. */
  goesFirst?(tenantId: string, orderingKey: string): string | undefined;
  /** A lease was lost and an action did not stop: the process must end now. */
  onStuck(partition: number): void;
  onError(error: unknown): void;
}

const STOP_GRACE_MS = 1_000;
const KEEP_FLOOR_MS = 1_000;
const LOOK_FOR_LOST_MS = 3_000;

export class CommandConsumer {
  readonly #owned = new Map<number, OwnedPartition>();
  #leases: PartitionLeases | undefined;
  #keepingFloors: NodeJS.Timeout | undefined;
  #lookingForLost: NodeJS.Timeout | undefined;
  #unsubscribe: (() => void) | undefined;
  #aborts: Subscription | undefined;
  readonly #heardEnds = new HeardEnds();

  private constructor(
    private readonly nc: NatsConnection,
    private readonly jsm: JetStreamManager,
    private readonly store: KeyValueStore,
    private readonly options: CommandConsumerOptions,
  ) {}

  /** @throws Error when the stream has another number of partitions: what is in those that nobody knows of would never be run. */
  static async start(nc: NatsConnection, options: CommandConsumerOptions): Promise<CommandConsumer> {
    const jsm = await jetstreamManager(nc, { checkAPI: false });
    const partitions = partitionsOf((await whenLed(() => jsm.streams.info(STREAM.commands))).config);
    if (partitions !== options.partitions) {
      throw new Error(
        `${STREAM.commands} has ${partitions} partitions, this process is set to ${options.partitions}: set CALLBOARD_PARTITIONS to ${partitions}`,
      );
    }
    const consumer = new CommandConsumer(nc, jsm, await KeyValueStore.open(nc, BUCKET.leases), options);
    await consumer.#start();
    return consumer;
  }

  /** Partitions owned now. */
  get partitions(): number[] {
    return [...this.#owned.keys()];
  }

  /** Commands running now. */
  get running(): number {
    return [...this.#owned.values()].reduce((sum, partition) => sum + partition.running, 0);
  }

  /** Commands read ahead or running. */
  get buffered(): number {
    return [...this.#owned.values()].reduce((sum, partition) => sum + partition.buffered, 0);
  }

  /** Puts a command before all others of its key that have not begun, if it is here. */
  putFirst(tenantId: string, orderingKey: string, correlationId: string): void {
    for (const partition of this.#owned.values()) partition.putFirst(tenantId, orderingKey, correlationId);
  }

  /** Finishes what runs, hands over the rest, gives all leases back. After `timeoutMs` what still runs is aborted. */
  async drain(timeoutMs: number): Promise<void> {
    this.#unsubscribe?.();
    const late = setTimeout(() => {
      for (const partition of this.#owned.values()) partition.abort();
    }, timeoutMs);
    await this.#leases?.leave();
    await Promise.all([...this.#owned.values()].map((partition) => partition.released));
    clearTimeout(late);
    clearInterval(this.#keepingFloors);
    clearInterval(this.#lookingForLost);
    if (!this.nc.isClosed()) this.#aborts?.unsubscribe();
    this.#leases?.stop();
  }

  async #start(): Promise<void> {
    this.#leases = new PartitionLeases(this.store, this.options.instance, this.options.partitions, {
      acquired: (lease) => this.#own(lease),
      surplus: (partition) => void this.#release(partition),
      lost: (partition) => void this.#lose(partition),
      error: this.options.onError,
      load: (partition) => this.#owned.get(partition)?.running ?? 0,
    });
    this.#unsubscribe = onConnectionChange(this.nc, (change) => {
      if (change !== 'connected') return;
      for (const partition of this.#owned.values()) {
        partition.reattach();
        partition.recheck().catch(this.options.onError);
      }
    });
    this.#aborts = this.nc.subscribe('abort.*.*', {
      callback: (error, message) => {
        if (!error) this.#end(message);
      },
    });
    this.#keepingFloors = setInterval(() => {
      for (const partition of this.#owned.values()) partition.keepFloor().catch(this.options.onError);
    }, KEEP_FLOOR_MS);
    this.#lookingForLost = setInterval(() => {
      for (const partition of this.#owned.values()) partition.lookForLost().catch(this.options.onError);
    }, LOOK_FOR_LOST_MS);
    await this.#leases.start();
  }

  #end(message: Msg): void {
    const [tenant, id] = message.subject.split('.').slice(1).map(decodeToken) as [string, string];
    for (const partition of this.#owned.values()) {
      const state = partition.end(tenant, id);
      if (state) return void message.respond(JSON.stringify({ state }));
    }
    this.#heardEnds.note(commandKey(tenant, id));
  }

  #own(lease: Lease): void {
    const partition = new OwnedPartition(this.nc, this.jsm, this.store, lease, this.#heardEnds, this.options);
    this.#owned.set(lease.partition, partition);
    partition.reattach();
  }

  async #release(number: number): Promise<void> {
    const partition = this.#owned.get(number);
    if (!partition) return;
    const clean = await partition.drain();
    if (this.#owned.get(number) !== partition) return;
    this.#owned.delete(number);
    await this.#leases?.giveBack(number, clean).catch(this.options.onError);
    partition.markReleased();
  }

  async #lose(number: number): Promise<void> {
    const partition = this.#owned.get(number);
    if (!partition) return;
    this.#owned.delete(number);
    partition.abort();
    const stuck = setTimeout(() => partition.acting && this.options.onStuck(number), STOP_GRACE_MS);
    await partition.drain();
    clearTimeout(stuck);
    this.#leases?.stopped(number);
    partition.markReleased();
  }
}
