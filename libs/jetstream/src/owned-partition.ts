/**
 * One partition while this process holds its lease: reads ahead, keeps a line per key, hands over, and knows how far everything is
 * done. See `CommandConsumer` for the rules C1 to C7 that this keeps.
 *
 * What it remembers of the stream:
 *   `position`   the last command that came by; the consumer is made anew after it whenever deliveries may have been lost.
 *   `unfinished` commands that came by and have not ended, in stream order.
 *   `backlogs`   keys that are read by their own subject; see `KeyBacklog`.
 *   `floor`      below the first of all these nothing is unfinished. It is kept, for the next owner.
 */
import {
  HEADER,
  PRIORITIES,
  encodeToken,
  outcomeSubject,
  parseStoredCommandSubject,
  partitionSubjects,
  type CommandAddress,
  type Priority,
} from '@callboard/envelope';
import {
  JetStreamApiCodes,
  JetStreamApiError,
  jetstream,
  type ConsumerInfo,
  type ConsumerMessages,
  type JetStreamManager,
  type JsMsg,
} from '@nats-io/jetstream';
import type { MsgHdrs, NatsConnection } from '@nats-io/transport-node';
import { BacklogScout } from './backlog-scout.js';
import type { CommandConsumerOptions } from './command-consumer.js';
import { markEnded, type Delivery, type Handled } from './delivery.js';
import { KeyBacklog } from './key-backlog.js';
import type { HeardEnds } from './heard-ends.js';
import { KeyedQueue, type Again } from './keyed-queue.js';
import type { KeyValueStore } from './key-value-store.js';
import { LOOKUP_MOST, storedAmong } from './outcome-lookup.js';
import { floorKey, readFloor, type Floor } from './partition-floor.js';
import type { Lease } from './partition-leases.js';
import { readSubject } from './read-subject.js';
import { OWNER_GROUP, STREAM, partitionConsumer, partitionConsumerName } from './topology.js';

const PULL_MESSAGES = 512;
/** Of commands that may have been erased. */
const READS_AT_ONCE = 32;
const REATTACH_MS = 500;
const DEFAULT_STARVATION_MS = 10_000;
/** Commands that a partition keeps in memory. */
export const WINDOW_COMMANDS = 8_192;
/** Commands of one key that it keeps in memory; the rest is read again when their turn comes. */
const LINE_COMMANDS = 256;
/** Urgent commands that wait to be pulled forward; what is found beyond that keeps its place. */
const URGENT_MOST = 10_000;
const NOT_OURS: ReadonlySet<string> = new Set(['consumer_deleted', 'consumer_not_found', 'consumer_unpinned']);

export class OwnedPartition {
  readonly released: Promise<void>;
  markReleased!: () => void;
  readonly #queue: KeyedQueue<Delivery>;
  readonly #abort = new AbortController();
  readonly #draining = new AbortController();
  /** By sequence, rising. */
  readonly #unfinished = new Map<number, Delivery>();
  readonly #backlogs = new Map<string, KeyBacklog>();
  /** By tenant and correlation id. */
  readonly #byCommand = new Map<string, Delivery>();
  /** How many of a key are in memory, in its line or on the way there. */
  readonly #ofKey = new Map<string, number>();
  /** Keys whose first unfinished command was already handed over; only while commands of before this lease come. */
  readonly #keysResumed = new Set<string>();
  readonly #handling = new Set<Delivery>();
  readonly #scout: BacklogScout;
  /** In the order of their keys; not yet looked up. */
  #received: Delivery[] = [];
  #admitting: Promise<void> | undefined;
  #bytes = 0;
  #position = 0;
  /** What the owner before kept; unknown until it is read. */
  #startFloor: number | undefined;
  #keptFloor: string | undefined;
  #streamCreated = '';
  #mayHaveEndedUpTo = 0;
  #mayHaveBegunUpTo = 0;
  /** Does the stream of the outcomes have replicas, of which some may be behind? */
  #replicated = false;
  /** The last command that was pulled forward: the next owner must know that it may have begun. */
  #pulledUpTo = 0;
  /** Commands that were read before it was their turn, because they go first; until everything before them has ended. */
  readonly #readFirst = new Map<number, Delivery>();
  #urgent: { subject: string; sequence: number }[] = [];
  #pulling: Promise<void> | undefined;
  #messages: ConsumerMessages | undefined;
  /** Deliveries of an earlier consumer are not listened to. */
  #epoch = 0;
  /** Where this was when the consumer was last found to have handed out more. */
  #behindAt: number | undefined;
  /** Number of the last delivery of the present consumer. */
  #delivered = 0;
  #attaching: Promise<void> | undefined;
  #attachAgain = false;
  #paused = false;
  #leftBehind = false;
  #stopped = false;

  constructor(
    private readonly nc: NatsConnection,
    private readonly jsm: JetStreamManager,
    private readonly store: KeyValueStore,
    private readonly lease: Lease,
    private readonly heardEnds: HeardEnds,
    private readonly options: CommandConsumerOptions,
  ) {
    this.released = new Promise((resolve) => (this.markReleased = resolve));
    const { concurrencyPerPartition: concurrency, starvationMs = DEFAULT_STARVATION_MS } = options;
    this.#queue = new KeyedQueue({ concurrency, starvationMs }, (delivery) => this.#run(delivery));
    this.#scout = new BacklogScout(
      nc,
      partitionSubjects(lease.partition),
      (subject, sequence) => this.#hurry(subject, sequence),
      options.onError,
    );
  }

  get running(): number {
    return this.#queue.running;
  }

  /** Commands in memory. */
  get buffered(): number {
    return this.#byCommand.size;
  }

  /** Does the code of an action run now? */
  get acting(): boolean {
    return [...this.#handling].some(({ acting }) => acting);
  }

  /** Reads on after the last command that came by. Needed whenever deliveries may have been lost on the way. */
  reattach(): void {
    this.#attachAgain = true;
    this.#attaching ??= this.#attachUntilDone();
  }

  /**
   * Asked now and then: has the consumer handed out what never came? A gap shows at the next delivery, but where nothing follows only the consumer
   * knows of it: a node that dies takes what it has sent along, and its successor counts it as delivered.
   */
  async lookForLost(): Promise<void> {
    const [position, epoch] = [this.#position, this.#epoch];
    if (!this.#messages || this.#paused || this.#attaching || !this.#mayGoOn()) return;
    const info = await this.#consumerNow(partitionConsumerName(this.lease.partition));
    // It lives in the memory of one node, and goes with it.
    const isBehind = info === undefined || info.delivered.stream_seq > position;
    const isSame = epoch === this.#epoch && position === this.#position && !this.#paused;
    // What is on its way has come by the next time.
    if (isBehind && isSame && this.#behindAt === position) this.reattach();
    this.#behindAt = isBehind ? position : undefined;
  }

  /** After a time without a connection: what was ended by others meanwhile is found in the stream. */
  async recheck(): Promise<void> {
    const known = [...this.#byCommand.values()];
    for (let from = 0; from < known.length && !this.#stopped; from += LOOKUP_MOST) {
      const ended = await this.#endedAmong(known.slice(from, from + LOOKUP_MOST));
      for (const delivery of ended) markEnded(delivery);
    }
  }

  /**
   * Somebody has ended a command. Returns whether an attempt at it had begun here, or `undefined` when it is not in memory; one that only
   * waits will not begin any more.
   */
  end(tenantId: string, correlationId: string): 'waiting' | 'running' | undefined {
    const delivery = this.#byCommand.get(commandKey(tenantId, correlationId));
    if (!delivery) return undefined;
    const begun = delivery.acting || delivery.attempts > 0;
    markEnded(delivery);
    return begun ? 'running' : 'waiting';
  }

  /** Puts a command before all of its key that have not begun. One that its key's line has no room for is read for that. */
  putFirst(tenantId: string, orderingKey: string, correlationId: string): void {
    const key = keyOf(tenantId, orderingKey);
    const isFound = this.#queue.putFirst(key, ({ address }) => address.correlationId === correlationId);
    const isKnown = isFound || this.#byCommand.has(commandKey(tenantId, correlationId));
    if (!isKnown && this.#lengthOf(key) > 0) void this.#readAhead(tenantId, orderingKey, correlationId);
  }

  /** Starts nothing more and waits for what runs. Returns whether nothing was left half done. */
  async drain(): Promise<boolean> {
    this.#stopped = true;
    this.#draining.abort();
    this.#scout.stop();
    this.#messages?.stop();
    await Promise.all([this.#queue.stop(), this.#attaching]);
    await this.keepFloor().catch(this.options.onError);
    // One that waits for its next attempt has begun as well.
    return !this.#leftBehind && ![...this.#byCommand.values()].some(({ attempts }) => attempts > 0);
  }

  abort(): void {
    this.#abort.abort();
    this.#draining.abort();
  }

  /** Everything of the partition up to here has ended; unknown before the partition was first read. */
  get floor(): number | undefined {
    if (this.#startFloor === undefined) return undefined;
    const [first] = this.#unfinished.keys();
    let floor = first === undefined ? this.#position : first - 1;
    for (const { lowest } of this.#backlogs.values()) if (lowest !== undefined) floor = Math.min(floor, lowest - 1);
    return Math.max(floor, this.#startFloor);
  }

  /** Stores how far everything is done, when that has changed. A later owner starts there. */
  async keepFloor(): Promise<void> {
    const { floor } = this;
    if (floor === undefined || !this.lease.isValid()) return;
    for (const sequence of this.#readFirst.keys()) if (sequence <= floor) this.#readFirst.delete(sequence);
    const record: Floor = {
      stream: this.#streamCreated,
      floor,
      may_have_begun_up_to: Math.max(this.#mayHaveBegunUpTo, this.#pulledUpTo),
    };
    const text = JSON.stringify(record);
    if (text === this.#keptFloor) return;
    await this.store.put(floorKey(this.lease.partition), Buffer.from(text));
    this.#keptFloor = text;
  }

  async #attachUntilDone(): Promise<void> {
    while (this.#attachAgain && !this.#stopped) {
      this.#attachAgain = false;
      try {
        await this.#attach();
      } catch (error) {
        this.options.onError(error);
        this.#attachAgain = true;
        await sleep(REATTACH_MS);
      }
    }
    this.#attaching = undefined;
  }

  async #attach(): Promise<void> {
    const { partition, clean } = this.lease;
    const name = partitionConsumerName(partition);
    const epoch = ++this.#epoch;
    this.#messages?.stop();
    this.#scout.stop();
    const { state, created, config } = await this.jsm.streams.info(STREAM.commands);
    const before = await this.#consumerNow(name);
    if (this.#startFloor === undefined) {
      await this.options.keysKnown?.();
      this.#streamCreated = String(created);
      const record = readFloor(await this.store.get(floorKey(partition)), this.#streamCreated);
      // A partition without a floor never had an owner. Otherwise the consumer of the owner before says what was handed out to it;
      // when that is gone, it may have been everything. So it may with replicas: who leads the consumer now may not have heard of the last ones.
      const knows = before !== undefined && config.num_replicas === 1;
      const handedOut = record && !clean ? (knows ? before.delivered.stream_seq : state.last_seq) : 0;
      this.#mayHaveBegunUpTo = Math.max(handedOut, record?.may_have_begun_up_to ?? 0);
      this.#startFloor = record?.floor ?? 0;
      this.#position = this.#startFloor;
      // Stored before that consumer goes: an owner that dies now must not take the knowledge with it.
      await this.keepFloor();
    }
    this.#mayHaveEndedUpTo = state.last_seq;
    this.#replicated = config.num_replicas > 1;
    if (!this.#mayGoOn()) return;
    if (before) await this.jsm.consumers.delete(STREAM.commands, name);
    if (!this.#mayGoOn()) return;
    this.#delivered = 0;
    this.#paused = false;
    await this.jsm.consumers.add(STREAM.commands, partitionConsumer(partition, this.#position));
    const consumer = await jetstream(this.nc).consumers.get(STREAM.commands, name);
    const messages = await consumer.consume({
      max_messages: PULL_MESSAGES,
      group: OWNER_GROUP,
      callback: (message) => this.#receive(message, epoch),
    });
    this.#messages = messages;
    if (this.#stopped) messages.stop();
    else void this.#watchConsumer(messages, epoch);
  }

  async #consumerNow(name: string): Promise<ConsumerInfo | undefined> {
    try {
      return await this.jsm.consumers.info(STREAM.commands, name);
    } catch (error) {
      if (error instanceof JetStreamApiError && error.code === JetStreamApiCodes.ConsumerNotFound) return undefined;
      throw error;
    }
  }

  /** When the consumer is gone (it lives in the server's memory), or serves another client than this, it is made again. */
  async #watchConsumer(messages: ConsumerMessages, epoch: number): Promise<void> {
    for await (const { type } of messages.status()) {
      if (epoch !== this.#epoch || this.#stopped) return;
      if (NOT_OURS.has(type)) return this.reattach();
    }
    // The client has given up.
    if (epoch === this.#epoch && !this.#paused && !this.#stopped) this.reattach();
  }

  #mayGoOn(): boolean {
    return !this.#stopped && this.lease.isValid();
  }

  #receive(message: JsMsg, epoch: number): void {
    if (this.#stopped || this.#paused || epoch !== this.#epoch) return;
    const { deliverySequence, pending } = message.info;
    if (deliverySequence !== this.#delivered + 1) return this.reattach();
    this.#delivered = deliverySequence;
    this.#position = message.seq;
    if (pending === 0) this.#scout.stop();
    const first = this.#readFirst.get(message.seq);
    const delivery = first ?? this.#delivery(message.seq, message.subject, message.data, message.headers);
    const backlog = this.#backlogs.get(delivery.key);
    if (backlog) {
      backlog.note(message.seq);
      this.#readBacklog(backlog);
      return;
    }
    if (first) {
      if (this.#isOpen(first)) this.#unfinished.set(message.seq, first);
      return;
    }
    if (this.#lengthOf(delivery.key) >= LINE_COMMANDS) {
      this.#follow(delivery.key, delivery.subject, message.seq).note(message.seq);
      return;
    }
    this.#unfinished.set(message.seq, delivery);
    this.#take(delivery);
    if (this.#bytes > this.options.windowBytesPerPartition || this.#byCommand.size >= WINDOW_COMMANDS) this.#pause();
  }

  /** What is still on its way here is dropped, and comes again when there is room. Meanwhile only urgent commands are looked for. */
  #pause(): void {
    this.#paused = true;
    this.#messages?.stop();
    void this.#scout.start(this.#position);
  }

  #delivery(sequence: number, subject: string, data: Uint8Array, headers: MsgHdrs | undefined): Delivery {
    const priority = headers?.get(HEADER.priority) as Priority | undefined;
    const address = addressOf(subject);
    return {
      key: keyOf(address.tenantId, address.orderingKey),
      owner: address.tenantId,
      priority: priority && PRIORITIES.includes(priority) ? priority : 'normal',
      address,
      subject,
      data,
      sequence,
      fence: this.lease.fence,
      mayHaveBegun: false,
      attempts: 0,
      acting: false,
      ended: false,
      endListeners: undefined,
      signal: this.#abort.signal,
      draining: this.#draining.signal,
      putFirst: (correlationId) => this.putFirst(address.tenantId, address.orderingKey, correlationId),
      rest: (until) => this.#queue.rest(until),
    };
  }

  #lengthOf(key: string): number {
    return this.#ofKey.get(key) ?? 0;
  }

  #isOpen(delivery: Delivery): boolean {
    const { tenantId, correlationId } = delivery.address;
    return this.#byCommand.get(commandKey(tenantId, correlationId)) === delivery;
  }

  #take(delivery: Delivery): void {
    this.#bytes += delivery.data.length;
    this.#ofKey.set(delivery.key, this.#lengthOf(delivery.key) + 1);
    this.#byCommand.set(commandKey(delivery.address.tenantId, delivery.address.correlationId), delivery);
    this.#received.push(delivery);
    this.#admitting ??= new Promise<void>((resolve) => setImmediate(resolve))
      .then(() => this.#admit())
      .finally(() => (this.#admitting = undefined));
  }

  /** Lets what was received into the lines of its keys, in order, without what has ended already. */
  async #admit(): Promise<void> {
    while (this.#received.length > 0 && !this.#stopped) {
      const chunk = this.#received.splice(0, LOOKUP_MOST);
      const unsure = chunk.filter(
        ({ sequence, address }) =>
          sequence <= this.#mayHaveEndedUpTo ||
          this.#readFirst.has(sequence) ||
          this.heardEnds.mayHaveEnded(commandKey(address.tenantId, address.correlationId)),
      );
      const ended = unsure.length > 0 ? await this.#endedAmong(unsure) : undefined;
      // Erased with its outcome while it was on its way here: the outcome was there when the command went. It must not begin again.
      for (const gone of ended ? await this.#goneAmong(unsure.filter((delivery) => !ended.has(delivery))) : []) {
        ended?.add(gone);
      }
      for (const delivery of chunk) {
        if (ended?.has(delivery)) {
          this.#finish(delivery);
          continue;
        }
        this.#queue.push(this.#markMayHaveBegun(delivery));
        const { tenantId, orderingKey, correlationId } = delivery.address;
        if (this.options.goesFirst?.(tenantId, orderingKey) === correlationId) {
          delivery.mayHaveBegun = delivery.sequence <= this.#mayHaveBegunUpTo;
          this.putFirst(tenantId, orderingKey, correlationId);
        }
      }
      if (ended) this.#goOn();
    }
  }

  async #endedAmong(deliveries: Delivery[]): Promise<Set<Delivery>> {
    const bySubject = new Map(
      deliveries.map((delivery) => [
        outcomeSubject(delivery.address.tenantId, delivery.address.correlationId),
        delivery,
      ]),
    );
    const leader = this.#replicated ? this.jsm : undefined;
    const stored = await this.#insist(() => storedAmong(this.nc, [...bySubject.keys()], leader));
    return new Set([...(stored ?? [])].map((subject) => bySubject.get(subject)!));
  }

  /** Which of these are not stored any more. */
  async #goneAmong(deliveries: Delivery[]): Promise<Delivery[]> {
    if (deliveries.length === 0) return [];
    const info = await this.#insist(() => this.jsm.streams.info(STREAM.commands));
    if (!info) return [];
    const { first_seq, num_deleted = 0 } = info.state;
    const gone: Delivery[] = [];
    for (let from = 0; from < deliveries.length; from += READS_AT_ONCE) {
      await Promise.all(
        deliveries.slice(from, from + READS_AT_ONCE).map(async (delivery) => {
          const { sequence } = delivery;
          if (sequence >= first_seq && num_deleted === 0) return;
          // Of the leader: what a replica that is behind has not stored yet is not gone.
          const message = await this.#insist(() => this.jsm.streams.getMessage(STREAM.commands, { seq: sequence }));
          if (message === null) gone.push(delivery);
        }),
      );
    }
    return gone;
  }

  /** Not knowing is no reason to run: waits for the server, or for the lease to end. */
  async #insist<T>(ask: () => Promise<T>): Promise<T | undefined> {
    while (!this.#stopped) {
      try {
        return await ask();
      } catch (error) {
        this.options.onError(error);
        await sleep(REATTACH_MS);
      }
    }
    return undefined;
  }

  #markMayHaveBegun(delivery: Delivery): Delivery {
    if (delivery.sequence <= this.#mayHaveBegunUpTo && !this.#keysResumed.has(delivery.key)) {
      this.#keysResumed.add(delivery.key);
      delivery.mayHaveBegun = true;
    }
    return delivery;
  }

  async #run(delivery: Delivery): Promise<Again | void> {
    let handled: Handled = delivery.ended ? 'ended' : 'left';
    if (handled === 'left' && this.lease.isValid()) {
      this.#handling.add(delivery);
      try {
        handled = await this.options.handle(delivery);
      } catch (error) {
        this.options.onError(error);
      }
      this.#handling.delete(delivery);
    }
    if (handled === 'ended') {
      this.#finish(delivery);
      this.#goOn();
      return;
    }
    if (handled === 'left') this.#leftBehind = true;
    // What was left holds its key for as long as this process owns the partition.
    return handled === 'left' ? { again: new Promise(() => undefined) } : handled;
  }

  #finish(delivery: Delivery): void {
    const { sequence, key, address, data } = delivery;
    this.#unfinished.delete(sequence);
    this.#byCommand.delete(commandKey(address.tenantId, address.correlationId));
    this.#bytes -= data.length;
    const left = this.#lengthOf(key) - 1;
    if (left > 0) this.#ofKey.set(key, left);
    else this.#ofKey.delete(key);
    const backlog = this.#backlogs.get(key);
    if (!backlog) return;
    backlog.done(sequence);
    this.#readBacklog(backlog);
  }

  /** There is room again: reads on, if reading was paused. */
  #goOn(): void {
    if (!this.#paused || this.#stopped) return;
    const { windowBytesPerPartition } = this.options;
    if (this.#bytes >= windowBytesPerPartition / 2 || this.#byCommand.size >= WINDOW_COMMANDS / 2) return;
    this.#paused = false;
    // What is still on its way from before the pause is not listened to.
    this.#epoch += 1;
    this.reattach();
  }

  #follow(key: string, subject: string, next: number): KeyBacklog {
    const { tenantId, orderingKey } = addressOf(subject);
    const subjects = `cmd.${this.lease.partition}.${encodeToken(tenantId)}.*.*.${encodeToken(orderingKey)}.*`;
    const backlog = new KeyBacklog(key, subjects, next);
    this.#backlogs.set(key, backlog);
    return backlog;
  }

  /** Reads more of a key into its line when that has become short, or something in it is urgent. */
  #readBacklog(backlog: KeyBacklog): void {
    if (backlog.reading || this.#stopped) return;
    const urgent = backlog.urgentUpTo >= backlog.next;
    if (!urgent && this.#lengthOf(backlog.key) > LINE_COMMANDS / 2) return;
    if (backlog.next > backlog.upTo) {
      // All that is known of the key is in its line: it can be read as it comes by, once that has come as far.
      if (backlog.next <= this.#position + 1 && backlog.unfinished.length === 0) this.#backlogs.delete(backlog.key);
      return;
    }
    backlog.reading = true;
    void this.#readMore(backlog).finally(() => {
      backlog.reading = false;
      this.#readBacklog(backlog);
    });
  }

  async #readMore(backlog: KeyBacklog): Promise<void> {
    const upTo = backlog.upTo;
    try {
      const messages = await readSubject(this.jsm, STREAM.commands, backlog.subjects, backlog.next - 1);
      if (this.#stopped) return;
      for (const { seq, subject, data, header } of messages) {
        if (seq > backlog.upTo) {
          backlog.next = Math.max(backlog.next, backlog.upTo + 1);
          break;
        }
        backlog.next = seq + 1;
        const first = this.#readFirst.get(seq);
        if (!first || this.#isOpen(first)) backlog.unfinished.push(seq);
        if (!first) this.#take(this.#delivery(seq, subject, data, header));
      }
      // Nothing more of the key is stored below what was known when this was asked.
      if (messages.length === 0) backlog.next = Math.max(backlog.next, upTo + 1);
    } catch (error) {
      this.options.onError(error);
      await sleep(REATTACH_MS);
    }
  }

  /** Reads one command that is to go before its key's others, and leaves it out when it comes by. */
  async #readAhead(tenantId: string, orderingKey: string, correlationId: string): Promise<void> {
    const [tenant, key, id] = [tenantId, orderingKey, correlationId].map(encodeToken);
    const subject = `cmd.${this.lease.partition}.${tenant}.*.*.${key}.${id}`;
    try {
      const [found] = await readSubject(this.jsm, STREAM.commands, subject, 0, { batch: 1 });
      if (!found || this.#readFirst.has(found.seq)) return;
      this.#pulledUpTo = Math.max(this.#pulledUpTo, found.seq);
      // The next owner must know before it begins.
      await this.keepFloor();
      if (this.#stopped || this.#readFirst.has(found.seq) || this.#byCommand.has(commandKey(tenantId, correlationId)))
        return;
      const delivery = this.#delivery(found.seq, found.subject, found.data, found.header);
      this.#readFirst.set(found.seq, delivery);
      this.#take(delivery);
    } catch (error) {
      // Whoever waits for it asks again.
      this.options.onError(error);
    }
  }

  /** An urgent command was found deep in the backlog. */
  #hurry(subject: string, sequence: number): void {
    if (this.#urgent.length >= URGENT_MOST || sequence <= this.#position) return;
    this.#urgent.push({ subject, sequence });
    this.#pulling ??= this.#pullForward().finally(() => (this.#pulling = undefined));
  }

  /** The key of an urgent command is read up to it; what stands before it in its key hurries with it. */
  async #pullForward(): Promise<void> {
    while (this.#urgent.length > 0 && !this.#stopped) {
      const found = this.#urgent;
      this.#urgent = [];
      this.#pulledUpTo = Math.max(this.#pulledUpTo, ...found.map(({ sequence }) => sequence));
      try {
        // The next owner must know before anything of it begins.
        await this.keepFloor();
      } catch (error) {
        this.options.onError(error);
        await sleep(REATTACH_MS);
        this.#urgent.unshift(...found);
        continue;
      }
      for (const { subject, sequence } of found) {
        const { tenantId, orderingKey } = addressOf(subject);
        const key = keyOf(tenantId, orderingKey);
        const backlog = this.#backlogs.get(key) ?? this.#follow(key, subject, this.#position + 1);
        if (backlog.note(sequence)) continue;
        backlog.urgentUpTo = sequence;
        this.#readBacklog(backlog);
      }
    }
  }
}

function keyOf(tenantId: string, orderingKey: string): string {
  return `${tenantId}\n${orderingKey}`;
}

export function commandKey(tenantId: string, correlationId: string): string {
  return `${tenantId}\n${correlationId}`;
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

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
