/**
 * The ordered keyed consumer: owns partitions of the command stream and hands each key's commands to a handler, strictly one after
 * the other, many keys at once.
 *
 * For every lease it holds it makes the partition's consumer, reads ahead into a window, keeps a line per key, and acknowledges the
 * watermark: the highest sequence up to which every command has its outcome. The watermark is also kept as the partition's floor,
 * in the bucket of the leases, at most once a second. Nothing is redelivered by a timer. A new owner, and an old one after a
 * reconnect, makes the consumer anew from the floor and goes through everything above it again:
 *
 *   C1  What is still in the window is known and not run twice.
 *   C2  What may have ended before (it was in the stream when the consumer was made) is looked up in OUTCOMES before it joins its
 *       key's line, and skipped when it has ended. So a floor that is behind costs lookups, and never repeats a command.
 *   C3  After an owner that did not finish cleanly, the first unfinished command of each key may have begun there; it is handed over
 *       with `mayHaveBegun`. Later ones of that key cannot have: order forbids it.
 *   C4  A handler's command counts as done only when the handler says `ended`, which it says when the outcome is durable.
 *   C5  Nothing is begun, and the consumer is not touched, unless the lease is valid at that moment.
 *   C6  Deliveries are numbered without a gap. Where one went astray, everything is read again from the floor.
 *
 * Losing a lease aborts what runs. An action that does not stop within `STOP_GRACE_MS` could still have its effect after the next
 * owner has gone on; `onStuck` is then called, and the app must end the process. That is the fence for effects that know no fence.
 * What has acted and only waits for its outcome to be stored may take its time: the stream takes the first outcome.
 */
import {
  outcomeSubject,
  parseStoredCommandSubject,
  type CommandAddress,
  type Priority,
  HEADER,
  PRIORITIES,
} from '@callboard/envelope';
import {
  JetStreamApiCodes,
  JetStreamApiError,
  jetstream,
  jetstreamManager,
  type ConsumerInfo,
  type ConsumerMessages,
  type JetStreamManager,
  type JsMsg,
} from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { onConnectionChange } from './connect.js';
import { KeyedQueue } from './keyed-queue.js';
import { KeyValueStore } from './key-value-store.js';
import { PartitionLeases, type Lease } from './partition-leases.js';
import { LOOKUP_MOST, storedAmong } from './outcome-lookup.js';
import { SequenceWindow } from './sequence-window.js';
import { BUCKET, OWNER_GROUP, STREAM, partitionConsumer, partitionConsumerName, partitionsOf } from './topology.js';

export interface Delivery {
  /** Tenant and ordering key, as one text. */
  readonly key: string;
  readonly priority: Priority;
  readonly address: CommandAddress;
  /** As stored. */
  readonly subject: string;
  readonly data: Uint8Array;
  readonly sequence: number;
  readonly fence: number;
  /** An earlier owner may have begun this command: its effect may be there already. */
  mayHaveBegun: boolean;
  /** Set by the handler while the action's own code runs, and so may still have an effect. */
  acting: boolean;
  /** Fires when this process may no longer run the command. */
  readonly signal: AbortSignal;
  /** Fires when the process wants to stop: what waits for another attempt should be left to the next owner. */
  readonly draining: AbortSignal;
}

/** `ended`: the command has a durable outcome. `left`: it has none, and the next owner goes on with it. */
export type Handled = 'ended' | 'left';

export interface CommandConsumerOptions {
  instance: string;
  partitions: number;
  /** Commands that one partition runs at once. */
  concurrencyPerPartition: number;
  /** Bytes of commands that one partition reads ahead. */
  windowBytesPerPartition: number;
  /** Must settle, and must not reject. */
  handle(delivery: Delivery): Promise<Handled>;
  /** A lease was lost and an action did not stop: the process must end now. */
  onStuck(partition: number): void;
  onError(error: unknown): void;
}

const STOP_GRACE_MS = 1_000;
const PULL_MESSAGES = 512;
const REATTACH_MS = 500;
const KEEP_FLOOR_MS = 1_000;
const NOT_OURS: ReadonlySet<string> = new Set(['consumer_deleted', 'consumer_not_found', 'consumer_unpinned']);

export class CommandConsumer {
  readonly #owned = new Map<number, OwnedPartition>();
  #leases: PartitionLeases | undefined;
  #keepingFloors: NodeJS.Timeout | undefined;
  #unsubscribe: (() => void) | undefined;

  private constructor(
    private readonly nc: NatsConnection,
    private readonly jsm: JetStreamManager,
    private readonly store: KeyValueStore,
    private readonly options: CommandConsumerOptions,
  ) {}

  /** @throws Error when the stream has another number of partitions: what is in those that nobody knows of would never be run. */
  static async start(nc: NatsConnection, options: CommandConsumerOptions): Promise<CommandConsumer> {
    const jsm = await jetstreamManager(nc, { checkAPI: false });
    const partitions = partitionsOf((await jsm.streams.info(STREAM.commands)).config);
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
      if (change === 'connected') for (const partition of this.#owned.values()) partition.reattach();
    });
    this.#keepingFloors = setInterval(() => {
      for (const partition of this.#owned.values()) partition.keepFloor().catch(this.options.onError);
    }, KEEP_FLOOR_MS);
    await this.#leases.start();
  }

  #own(lease: Lease): void {
    const partition = new OwnedPartition(this.nc, this.jsm, this.store, lease, this.options);
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

/** One partition while this process holds its lease. */
class OwnedPartition {
  readonly released: Promise<void>;
  markReleased!: () => void;
  readonly #queue: KeyedQueue<Delivery>;
  readonly #window = new SequenceWindow<JsMsg>();
  readonly #abort = new AbortController();
  readonly #draining = new AbortController();
  /** Keys whose first unfinished command was already handed over; only while commands of before this lease come. */
  readonly #keysResumed = new Set<string>();
  /** In stream order; not yet looked up. */
  #received: Delivery[] = [];
  #admitting: Promise<void> | undefined;
  readonly #handling = new Set<Delivery>();
  /** Everything up to here has its outcome; unknown until it is read. */
  #floor: number | undefined;
  #keptFloor: number | undefined;
  #streamCreated = '';
  #mayHaveEndedUpTo = 0;
  #mayHaveBegunUpTo = 0;
  #messages: ConsumerMessages | undefined;
  /** Number of the last delivery of the present consumer. */
  #delivered = 0;
  #attaching: Promise<void> | undefined;
  #attachAgain = false;
  #paused = false;
  #leftBehind = false;
  #ackScheduled = false;
  #stopped = false;

  constructor(
    private readonly nc: NatsConnection,
    private readonly jsm: JetStreamManager,
    private readonly store: KeyValueStore,
    private readonly lease: Lease,
    private readonly options: CommandConsumerOptions,
  ) {
    this.released = new Promise((resolve) => (this.markReleased = resolve));
    this.#queue = new KeyedQueue(options.concurrencyPerPartition, (delivery) => this.#run(delivery));
  }

  get running(): number {
    return this.#queue.running;
  }

  get buffered(): number {
    return this.#window.size;
  }

  /** Does the code of an action run now? */
  get acting(): boolean {
    return [...this.#handling].some(({ acting }) => acting);
  }

  /** (Re)reads everything above the ack floor, and goes on from there. Needed whenever deliveries may have been lost on the way. */
  reattach(): void {
    this.#attachAgain = true;
    this.#attaching ??= this.#attachUntilDone();
  }

  /** Starts nothing more and waits for what runs. Returns whether nothing was left half done. */
  async drain(): Promise<boolean> {
    this.#stopped = true;
    this.#draining.abort();
    this.#messages?.stop();
    await Promise.all([this.#queue.stop(), this.#attaching]);
    this.#acknowledge();
    await this.keepFloor().catch(this.options.onError);
    return !this.#leftBehind;
  }

  /** Stores how far everything is done, when that has changed. A later owner starts there. */
  async keepFloor(): Promise<void> {
    const floor = this.#floor;
    if (floor === undefined || floor === this.#keptFloor || !this.lease.isValid()) return;
    const record: Floor = { stream: this.#streamCreated, floor, may_have_begun_up_to: this.#mayHaveBegunUpTo };
    await this.store.put(floorKey(this.lease.partition), Buffer.from(JSON.stringify(record)));
    this.#keptFloor = floor;
  }

  abort(): void {
    this.#abort.abort();
    this.#draining.abort();
  }

  async #attachUntilDone(): Promise<void> {
    while (this.#attachAgain && !this.#stopped) {
      this.#attachAgain = false;
      try {
        await this.#attach();
      } catch (error) {
        this.options.onError(error);
        this.#attachAgain = true;
        await new Promise((resolve) => setTimeout(resolve, REATTACH_MS));
      }
    }
    this.#attaching = undefined;
  }

  async #attach(): Promise<void> {
    const { partition, clean } = this.lease;
    const name = partitionConsumerName(partition);
    this.#messages?.stop();
    const { state, created } = await this.jsm.streams.info(STREAM.commands);
    const before = await this.#consumerBefore(name);
    if (this.#floor === undefined) {
      this.#streamCreated = String(created);
      const record = readFloor(await this.store.get(floorKey(partition)), this.#streamCreated);
      // A partition without a floor never had an owner. Otherwise the consumer of the owner before says what was handed out to it;
      // when that is gone, it may have been everything.
      const handedOut = record && !clean ? (before?.delivered.stream_seq ?? state.last_seq) : 0;
      this.#mayHaveBegunUpTo = Math.max(handedOut, record?.may_have_begun_up_to ?? 0);
      this.#floor = record?.floor ?? 0;
      // Stored before that consumer goes: an owner that dies now must not take the knowledge with it.
      await this.keepFloor();
    }
    this.#mayHaveEndedUpTo = state.last_seq;
    if (!this.#mayGoOn()) return;
    if (before) await this.jsm.consumers.delete(STREAM.commands, name);
    if (!this.#mayGoOn()) return;
    this.#window.beginEpoch();
    this.#delivered = 0;
    this.#paused = false;
    await this.jsm.consumers.add(STREAM.commands, partitionConsumer(partition, this.#floor));
    const consumer = await jetstream(this.nc).consumers.get(STREAM.commands, name);
    const messages = await consumer.consume({
      max_messages: PULL_MESSAGES,
      group: OWNER_GROUP,
      callback: (message) => this.#receive(message),
    });
    this.#messages = messages;
    if (this.#stopped) messages.stop();
    else void this.#watchConsumer(messages);
  }

  async #consumerBefore(name: string): Promise<ConsumerInfo | undefined> {
    try {
      return await this.jsm.consumers.info(STREAM.commands, name);
    } catch (error) {
      if (error instanceof JetStreamApiError && error.code === JetStreamApiCodes.ConsumerNotFound) return undefined;
      throw error;
    }
  }

  /** When the consumer is gone (it lives in the server's memory), or serves another client than this, it is made again. */
  async #watchConsumer(messages: ConsumerMessages): Promise<void> {
    for await (const { type } of messages.status()) {
      if (this.#messages !== messages || this.#stopped) return;
      if (NOT_OURS.has(type)) return this.reattach();
    }
  }

  #mayGoOn(): boolean {
    return !this.#stopped && this.lease.isValid();
  }

  #receive(message: JsMsg): void {
    if (this.#stopped || this.#paused) return;
    const number = message.info.deliverySequence;
    if (number !== this.#delivered + 1) return this.reattach();
    this.#delivered = number;
    if (!this.#window.open(message.seq, message, message.data.length)) {
      this.#scheduleAcknowledge();
      return;
    }
    const priority = message.headers?.get(HEADER.priority) as Priority | undefined;
    const address = addressOf(message.subject);
    this.#received.push({
      key: `${address.tenantId}\n${address.orderingKey}`,
      priority: priority && PRIORITIES.includes(priority) ? priority : 'normal',
      address,
      subject: message.subject,
      data: message.data,
      sequence: message.seq,
      fence: this.lease.fence,
      mayHaveBegun: false,
      acting: false,
      signal: this.#abort.signal,
      draining: this.#draining.signal,
    });
    this.#admitSoon();
    if (this.#window.bytes > this.options.windowBytesPerPartition) {
      // What is still on its way here is dropped, and comes again when the window has room: reattaching starts at the ack floor.
      this.#paused = true;
      this.#messages?.stop();
    }
  }

  #admitSoon(): void {
    this.#admitting ??= new Promise<void>((resolve) => setImmediate(resolve))
      .then(() => this.#admit())
      .finally(() => (this.#admitting = undefined));
  }

  /** Lets what was received into the lines of its keys, in stream order, without what has ended already. */
  async #admit(): Promise<void> {
    while (this.#received.length > 0 && !this.#stopped) {
      const chunk = this.#received.splice(0, LOOKUP_MOST);
      const unsure = chunk.filter(({ sequence }) => sequence <= this.#mayHaveEndedUpTo);
      const ended = unsure.length > 0 ? await this.#endedAmong(unsure) : undefined;
      for (const delivery of chunk) {
        if (ended?.has(delivery)) this.#window.done(delivery.sequence);
        else this.#queue.push(this.#markMayHaveBegun(delivery));
      }
      if (ended) this.#scheduleAcknowledge();
    }
  }

  async #endedAmong(deliveries: Delivery[]): Promise<Set<Delivery>> {
    const bySubject = new Map(
      deliveries.map((delivery) => [
        outcomeSubject(delivery.address.tenantId, delivery.address.correlationId),
        delivery,
      ]),
    );
    while (!this.#stopped) {
      try {
        const stored = await storedAmong(this.nc, [...bySubject.keys()]);
        return new Set([...stored].map((subject) => bySubject.get(subject)!));
      } catch (error) {
        // Not knowing is no reason to run: wait for the server, or for the lease to end.
        this.options.onError(error);
        await new Promise((resolve) => setTimeout(resolve, REATTACH_MS));
      }
    }
    return new Set();
  }

  #markMayHaveBegun(delivery: Delivery): Delivery {
    if (delivery.sequence <= this.#mayHaveBegunUpTo && !this.#keysResumed.has(delivery.key)) {
      this.#keysResumed.add(delivery.key);
      delivery.mayHaveBegun = true;
    }
    return delivery;
  }

  async #run(delivery: Delivery): Promise<void> {
    let handled: Handled = 'left';
    if (this.lease.isValid()) {
      this.#handling.add(delivery);
      try {
        handled = await this.options.handle(delivery);
      } catch (error) {
        this.options.onError(error);
      }
      this.#handling.delete(delivery);
    }
    if (handled === 'left') {
      this.#leftBehind = true;
      // Its key must not go on without it while this process owns the partition.
      await this.#untilStopped();
      return;
    }
    this.#window.done(delivery.sequence);
    this.#scheduleAcknowledge();
  }

  async #untilStopped(): Promise<void> {
    const { signal } = this.#draining;
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  }

  /** Once per turn of the event loop, however many commands ended in it. */
  #scheduleAcknowledge(): void {
    if (this.#ackScheduled) return;
    this.#ackScheduled = true;
    setImmediate(() => {
      this.#ackScheduled = false;
      this.#acknowledge();
    });
  }

  #acknowledge(): void {
    const last = this.#window.advance();
    if (last) {
      this.#floor = last.seq;
      last.ack();
    }
    if (this.#paused && !this.#stopped && this.#window.bytes < this.options.windowBytesPerPartition / 2)
      this.reattach();
  }
}

/** What the owners of a partition hand on to each other. */
interface Floor {
  /** When the stream was made: one that was made anew counts from the beginning. */
  stream: string;
  /** Every command of the partition up to here has its outcome. */
  floor: number;
  /** Up to here, the first unfinished command of each key may have been begun by an owner that did not finish it. */
  may_have_begun_up_to: number;
}

/** The floor of the present stream, if it has one. */
function readFloor(kept: Uint8Array | undefined, stream: string): Floor | undefined {
  if (!kept) return undefined;
  try {
    const record = JSON.parse(Buffer.from(kept).toString()) as Floor;
    return record.stream === stream ? record : undefined;
  } catch {
    // Somebody else's: as if all had to be read again.
    return { stream, floor: 0, may_have_begun_up_to: 0 };
  }
}

function floorKey(partition: number): string {
  return `floor.${partition}`;
}

/** A subject that none of our publishers wrote still gets an address: its command must end like any other. */
function addressOf(subject: string): CommandAddress {
  try {
    return parseStoredCommandSubject(subject);
  } catch {
    const [, , tenantId = '', tool = '', method = '', orderingKey = '', correlationId = ''] = subject.split('.');
    return { tenantId, tool, method, orderingKey, correlationId };
  }
}
