/**
 * One partition of raw events while this process holds its lease: reads ahead, has many events judged at once, and puts them where they
 * belong strictly in the order of the stream.
 *
 *   F1  Events are put in stream order: an event is put when all before it in the partition have been put, by this owner or by those
 *       before it. What is acked has been put.
 *   F2  An event is acked when it is durable in EVENTS, or its body in EVENTS_HELD and its letter in DEAD_LETTERS, and not before.
 *   F3  An owner begins at the ack floor (the consumer is reset), so it goes through everything that may not have been put, in order.
 *   F4  What an owner before may have held stays held.
 *
 * So two owners at work at once do no harm: both put in stream order, both began at or before the first event that was not put, and what is
 * there is not put again. Whoever is first to put an event has put, or found, all before it. There is no fence.
 *   Not guaranteed, with two at once (which takes a process that is suspended between looking at its lease and publishing): that they agree
 * whether to hold an event which only timed out.
 *
 * After an owner that died, what it had in hand may be what killed it. Those events are taken one at a time, one in the whole process,
 * each noted before; see `CrashNotes`.
 */
import { STREAM, filterConsumerName, type Lease } from '@callboard/jetstream';
import { jetstream, type Consumer, type ConsumerMessages, type JetStreamManager, type JsMsg } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import type { CrashNotes } from './crash-notes.js';
import type { EventFilter, Fate } from './filter-event.js';
import type { Turns } from './turns.js';

export interface PartitionOptions {
  windowBytes: number;
  maxCrashes: number;
  onError(error: unknown): void;
}

interface Slot {
  message: JsMsg;
  /** Of which reading the message is: only one of the present reading is acked, for the reset has forgotten the others. */
  reading: number;
  /** Absent while nothing has begun. */
  fate: Promise<Fate> | undefined;
  state: 'waiting' | 'being put' | 'put';
}

/** Events that a partition keeps in memory, give or take a hundred. */
const WINDOW_EVENTS = 1_024;
/** The largest message fits in. */
const LEAST_PULL_BYTES = 2 * 1024 * 1024;
const PULL_EXPIRES_MS = 30_000;
const RETRY_MS = 500;

export class RawPartition {
  readonly released: Promise<void>;
  markReleased!: () => void;
  /** By sequence, rising. */
  readonly #slots = new Map<number, Slot>();
  readonly #puts = new Set<Promise<void>>();
  #bytes = 0;
  #messages: ConsumerMessages | undefined;
  /** Up to here, an owner before may have put or held the event without an ack. */
  #mayHaveBeenPutUpTo = 0;
  /** Up to here, an event may be what killed the owner before. */
  #suspectUpTo = 0;
  /** Counts how often it was read from the floor. */
  #reading = 0;
  #putFailed = false;
  #phase: 'working' | 'draining' | 'stopped' = 'working';
  readonly #waiting: (() => void)[] = [];
  readonly #work: Promise<unknown>;

  constructor(
    private readonly nc: NatsConnection,
    private readonly jsm: JetStreamManager,
    private readonly lease: Lease,
    private readonly filter: EventFilter,
    private readonly notes: CrashNotes,
    private readonly turns: Turns,
    private readonly options: PartitionOptions,
  ) {
    this.released = new Promise((resolve) => (this.markReleased = resolve));
    this.#work = Promise.all([this.#read(), this.#putAll()]);
  }

  /** Events in memory. */
  get buffered(): number {
    return this.#slots.size;
  }

  /** Reads anew from the ack floor: deliveries may have been lost. */
  reattach(): void {
    this.#reading += 1;
    this.#readNoMore();
  }

  /** Reads no more, and puts what it has in memory. Returns whether nothing was left half done. */
  async drain(): Promise<boolean> {
    if (this.#phase === 'working') this.#phase = 'draining';
    this.#readNoMore();
    await this.#work;
    return this.#isDone();
  }

  /** Puts nothing more; what is on its way to the server may still arrive, in order. */
  async stop(): Promise<void> {
    this.#phase = 'stopped';
    this.#readNoMore();
    await this.#work;
  }

  async #read(): Promise<void> {
    while (this.#phase === 'working') {
      try {
        await this.#readFromFloor();
      } catch (error) {
        this.options.onError(error);
        await this.#pause();
      }
    }
  }

  /** Returns when what was missed must be read again, or nothing more is wanted. */
  async #readFromFloor(): Promise<void> {
    const { partition, clean } = this.lease;
    const isFirst = this.#reading === 0;
    const reading = ++this.#reading;
    const name = filterConsumerName(partition);
    const { delivered } = await this.jsm.consumers.info(STREAM.eventsRaw, name);
    if (!this.#reads(reading)) return;
    this.#mayHaveBeenPutUpTo = Math.max(this.#mayHaveBeenPutUpTo, delivered.stream_seq);
    if (isFirst && !clean) this.#suspectUpTo = delivered.stream_seq;
    await this.jsm.consumers.reset(STREAM.eventsRaw, name);
    const consumer = await jetstream(this.nc).consumers.get(STREAM.eventsRaw, name);
    let deliveries = 0;
    while (await this.#room(reading)) {
      const messages = await this.#pull(consumer);
      this.#messages = messages;
      if (!this.#reads(reading)) messages.stop();
      try {
        for await (const message of messages) {
          // A gap: something went astray.
          if (message.info.deliverySequence !== ++deliveries) return;
          if (this.#reads(reading)) this.#receive(message, reading);
        }
      } catch (error) {
        // How the client tells that the server has served a pull, or that its bytes are used up.
        if ((error as { code?: unknown }).code !== 409) throw error;
      } finally {
        messages.stop();
      }
    }
  }

  #readNoMore(): void {
    this.#messages?.stop();
    this.#wake();
  }

  #reads(reading: number): boolean {
    return reading === this.#reading && this.#phase === 'working' && this.lease.isValid();
  }

  #pull(consumer: Consumer): Promise<ConsumerMessages> {
    // The client takes one limit; under this one it asks for a hundred messages at most.
    return consumer.fetch({
      max_bytes: Math.max(LEAST_PULL_BYTES, this.options.windowBytes - this.#bytes),
      expires: PULL_EXPIRES_MS,
    });
  }

  /** Waits until half of the window is free; `false` when nothing more is wanted. */
  async #room(reading: number): Promise<boolean> {
    while (this.#reads(reading) && (this.#slots.size > WINDOW_EVENTS / 2 || this.#bytes > this.options.windowBytes / 2))
      await this.#next();
    return this.#reads(reading);
  }

  #receive(message: JsMsg, reading: number): void {
    const sequence = message.seq;
    this.#forgetGone(sequence, reading);
    const known = this.#slots.get(sequence);
    if (known) {
      Object.assign(known, { message, reading });
      if (known.state === 'put') this.#end(sequence, known);
      return;
    }
    const slot: Slot = { message, reading, fate: undefined, state: 'waiting' };
    // Judged ahead, but for what must be judged alone, and whatever is behind that.
    if (!this.#suspects() && sequence > this.#suspectUpTo) this.#judge(sequence, slot);
    this.#slots.set(sequence, slot);
    this.#bytes += message.data.byteLength;
    this.#wake();
  }

  /** What is before the message and has not come again is in the stream no more: it was acked, erased, or is too old. */
  #forgetGone(before: number, reading: number): void {
    for (const [sequence, slot] of this.#slots) {
      if (sequence >= before || slot.reading === reading) return;
      if (slot.state !== 'being put') this.#forget(sequence, slot);
    }
  }

  #suspects(): boolean {
    const [first] = this.#slots.keys();
    return first !== undefined && first <= this.#suspectUpTo;
  }

  #judge(sequence: number, slot: Slot): Promise<Fate> {
    const fate = (slot.fate ??= this.filter.judge(slot.message, {
      mayBeHeld: sequence <= this.#mayHaveBeenPutUpTo,
    }));
    // Whoever waits for it hears of it.
    fate.catch(() => undefined);
    return fate;
  }

  async #putAll(): Promise<void> {
    while (!this.#isStopped()) {
      for (const [sequence, slot] of this.#slots) {
        if (slot.state !== 'waiting') continue;
        if (sequence <= this.#suspectUpTo) await this.#putSuspect(sequence, slot);
        else await this.#putInTurn(sequence, slot);
        if (this.#putFailed || !this.#mayPut()) break;
      }
      if (this.#putFailed) await this.#putAgain();
      else if (this.#phase === 'draining' && this.#isDone()) return;
      else if (!this.#mayPut()) return;
      else await this.#next();
    }
  }

  /** The puts of a partition are under way together, in one line; a hold waits for its own end, as all behind it do. */
  async #putInTurn(sequence: number, slot: Slot): Promise<void> {
    const fate = await this.#judge(sequence, slot).catch((error: unknown) => {
      slot.fate = undefined;
      this.#failed(error);
    });
    if (fate === undefined || !this.#mayPut()) return;
    slot.state = 'being put';
    const put = this.filter
      .put(fate, slot.message, `partition ${this.lease.partition}`)
      .then(() => {
        slot.state = 'put';
        if (slot.reading === this.#reading) this.#end(sequence, slot);
      })
      .catch((error: unknown) => this.#failed(error))
      .finally(() => {
        this.#puts.delete(put);
        this.#wake();
      });
    this.#puts.add(put);
    if (fate.kind === 'held') await put;
  }

  async #putSuspect(sequence: number, slot: Slot): Promise<void> {
    const end = await this.turns.begin();
    try {
      if (!this.#mayPut()) return;
      const crashes = await this.notes.begin(this.lease.partition, this.filter.nameOf(slot.message));
      if (crashes >= this.options.maxCrashes) slot.fate = Promise.resolve(this.filter.crashed(slot.message, crashes));
      await this.#putInTurn(sequence, slot);
      await Promise.all(this.#puts);
      if (!this.#suspects() && !this.#putFailed) await this.#clearSuspicion();
    } catch (error) {
      this.#failed(error);
    } finally {
      end();
    }
  }

  async #clearSuspicion(): Promise<void> {
    await this.notes.clear(this.lease.partition);
    for (const [sequence, slot] of this.#slots) this.#judge(sequence, slot);
  }

  #failed(error: unknown): void {
    this.#putFailed = true;
    this.options.onError(error);
  }

  #end(sequence: number, slot: Slot): void {
    // Of a partition that is somebody else's now, the next owner acks what it finds done.
    if (!this.#isStopped()) slot.message.ack();
    this.#forget(sequence, slot);
  }

  #forget(sequence: number, slot: Slot): void {
    this.#slots.delete(sequence);
    this.#bytes -= slot.message.data.byteLength;
  }

  #isStopped(): boolean {
    return this.#phase === 'stopped';
  }

  #mayPut(): boolean {
    return !this.#isStopped() && this.lease.isValid();
  }

  #isDone(): boolean {
    return [...this.#slots.values()].every(({ state }) => state === 'put');
  }

  /** All that is under way ends first, so that it can be told what was not put. */
  async #putAgain(): Promise<void> {
    await Promise.all(this.#puts);
    await this.#pause();
    for (const slot of this.#slots.values()) if (slot.state === 'being put') slot.state = 'waiting';
    this.#putFailed = false;
  }

  /** Resolves at the next change of what is in memory, or of what is wanted. */
  #next(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}
