/**
 * Publishing with an acknowledgement, made for many publishes at once.
 *
 * One subscription takes all acks of this publisher; a pending publish is an entry in a map, not a timer and a header object of its
 * own (`js.publish` costs about three times as much at 32 callers). What has no ack yet is kept and sent again after a reconnect,
 * after a "no responders" (the server is up, its stream not yet) and when an ack is overdue.
 *
 * So every publish may arrive twice. That is only safe because every caller sets an expectation that makes the second one fail
 * (`Nats-Expected-Last-Subject-Sequence`) or a message id that makes it a duplicate; this class is for such publishes and no others.
 *
 * Group commit. With `sync_interval: always` each message costs the stream one sync of the disk (measured 0.24 ms), an atomic batch
 * a few syncs whatever its size (2.4 ms and 15 us a message). So each stream has a lane with one store operation under way; what
 * comes meanwhile waits and goes together as the next batch. Every message still is a message of its own, with its subject and
 * its sequence. Where syncs are cheap (a relaxed `sync_interval`) batches only cost, and the lane sends everything at once; which
 * of the two it is, is measured from the acks and not configured.
 *   Rejected by measurement: two batches under way (10 % more, twice the latency); fast-ingest batches (one sync a message).
 * A batch is refused as a whole when one of its messages is, without saying which; its messages are then sent one by one.
 *
 * Lines. Two publishes under way at once can be stored in either order when one of them has to be sent again. Those of one line cannot: one
 * of them is under way alone, or several in one batch, which is stored whole or not at all. Where one fails, those behind it in its
 * line fail with it; having been stored before is no failure.
 */
import { randomBytes } from 'node:crypto';
import { HEADER } from '@callboard/envelope';
import type { TraceContext } from '@callboard/tracing';
import type { Msg, MsgHdrs, NatsConnection, Subscription } from '@nats-io/transport-node';
import { newInbox, onConnectionChange, onDenied } from './connect.js';
import { ENOUGH_GAPS, StoreCosts } from './store-costs.js';

export interface PublishAck {
  stream: string;
  /** Sequence of the stored message: of ours, or of the earlier one when `duplicate`. */
  seq: number;
  duplicate?: boolean;
}

/** The server looked at the message and refused it. */
export class PublishRefused extends Error {
  override readonly name = 'PublishRefused';
  constructor(
    readonly code: number,
    description: string,
  ) {
    super(description);
  }

  /** Something is stored at this subject already. */
  get isWrongLastSequence(): boolean {
    return this.code === 10071 || this.code === 10164;
  }

  /** Our NATS user may not publish there. */
  get isDenied(): boolean {
    return this.code === DENIED;
  }

  /** The stream, the account or the server has reached a limit. */
  get isFull(): boolean {
    return LIMIT_CODES.has(this.code);
  }
}

/** No ack came in time. The message may have been stored or not. */
export class PublishTimeout extends Error {
  override readonly name = 'PublishTimeout';
}

const DENIED = 403;

/** Stream, account or server limits: message count, bytes, memory, storage. */
const LIMIT_CODES = new Set([10077, 10047, 10023, 10028, 10002]);

/** A cluster has the same message id under way and does not know yet what becomes of it: neither stored nor refused. */
const ID_IN_PROCESS = 10158;

interface Pending {
  readonly id: number;
  readonly lane: Lane;
  readonly subject: string;
  readonly data: Uint8Array;
  readonly headers: string;
  readonly giveUpAt: number;
  readonly line: string | undefined;
  readonly resolve: (ack: PublishAck) => void;
  readonly reject: (error: Error) => void;
  /** 0: to be sent as soon as possible. */
  sentAt: number;
  /** Was refused in a batch, it or one that went with it: not to be sent in a batch again. */
  alone: boolean;
}

/** The publishes to one stream, in order. */
interface Lane {
  queue: Pending[];
  flushing: boolean;
  /** Messages sent one by one whose ack is awaited. */
  singles: number;
  batch: { id: number; entries: Pending[]; sentAt: number } | undefined;
  /** Lines of which one is under way alone. */
  readonly busyLines: Set<string>;
  readonly costs: StoreCosts;
  lastAckAt: number;
}

const SWEEP_MS = 100;
/** An ack that takes longer than this was lost, or the server is in trouble; asking again is harmless. */
const OVERDUE_MS = 3_000;
/** Fewer than this are quicker one by one. */
const BATCH_FROM = 4;
/** The server's own limit is 1,000. */
const BATCH_MOST = 500;
const BATCH_BYTES = 4 * 1024 * 1024;
/** Gaps between acks count from this many under way: with fewer they say how long one takes, not how many the stream can take. */
const GAPS_FROM = 4;
/** Waiting publishes; more are refused at once. */
const QUEUE_MOST = 65_536;

export class AckedPublisher {
  readonly #inbox: string;
  readonly #pending = new Map<number, Pending>();
  readonly #batches = new Map<number, Lane>();
  readonly #lanes = new Map<string, Lane>();
  readonly #sweep: NodeJS.Timeout;
  readonly #unsubscribe: (() => void)[];
  readonly #batchPrefix = randomBytes(9).toString('base64url');
  readonly #subscription: Subscription;
  #lastId = 0;
  /** While the server is away nothing is sent: the client would let it overtake what is sent again. */
  #connected = true;
  #closed = false;

  /** `newCosts` decides for each lane between single messages and batches. */
  constructor(
    private readonly nc: NatsConnection,
    private readonly newCosts: () => StoreCosts = () => new StoreCosts(),
  ) {
    this.#inbox = newInbox(nc);
    this.#subscription = nc.subscribe(`${this.#inbox}.*`, {
      callback: (error, msg) => void (error ?? this.#settle(msg)),
    });
    this.#sweep = setInterval(() => this.#sendOverdueAgain(Date.now()), SWEEP_MS).unref();
    this.#unsubscribe = [
      onConnectionChange(nc, (change) => {
        this.#connected = change === 'connected';
        if (this.#connected) this.#sendAllAgain();
      }),
      onDenied(nc, ({ operation, subject }) => {
        if (operation === 'publish') this.#failDenied(subject);
      }),
    ];
  }

  /** Publishes that have no ack yet. */
  get pending(): number {
    return this.#pending.size;
  }

  /**
   * Resolves when the message is stored. `headers` are lines of `headerLine`, one after the other. Messages of one `line` are stored in the
   * order of these calls.
   * @throws PublishRefused when the server refuses it, PublishTimeout after `timeoutMs` without an answer.
   */
  publish(subject: string, data: Uint8Array, headers: string, timeoutMs: number, line?: string): Promise<PublishAck> {
    const lane = this.#lane(subject);
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(new PublishTimeout('the publisher was closed'));
      if (this.#pending.size >= QUEUE_MOST) return reject(new PublishRefused(10077, 'too many publishes are waiting'));
      const giveUpAt = Date.now() + timeoutMs;
      const message = { subject, data, headers, line };
      const entry: Pending = {
        id: ++this.#lastId,
        lane,
        ...message,
        giveUpAt,
        resolve,
        reject,
        sentAt: 0,
        alone: false,
      };
      this.#pending.set(entry.id, entry);
      lane.queue.push(entry);
      if (lane.flushing) return;
      lane.flushing = true;
      atEndOfTurn(() => {
        lane.flushing = false;
        this.#flush(lane);
      });
    });
  }

  /**
   * The same for a message that expects to be the first of its subject. Resolves with whether it is: `false` when something is stored there
   * already, by us or by somebody else.
   */
  async publishOnce(
    subject: string,
    data: Uint8Array,
    headers: string,
    timeoutMs: number,
    line?: string,
  ): Promise<boolean> {
    try {
      return !(await this.publish(subject, data, headers, timeoutMs, line)).duplicate;
    } catch (error) {
      if (error instanceof PublishRefused && error.isWrongLastSequence) return false;
      throw error;
    }
  }

  /** Rejects what is pending, and whatever comes after. */
  close(): void {
    this.#closed = true;
    clearInterval(this.#sweep);
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    this.#subscription.unsubscribe();
    for (const lane of this.#lanes.values()) lane.queue = [];
    for (const entry of this.#pending.values()) entry.reject(new PublishTimeout('the publisher was closed'));
    this.#pending.clear();
  }

  #lane(subject: string): Lane {
    const prefix = subject.slice(0, subject.indexOf('.'));
    const name = IN_OUTCOMES.has(prefix) ? 'out' : prefix;
    let lane = this.#lanes.get(name);
    if (!lane) {
      lane = {
        queue: [],
        flushing: false,
        singles: 0,
        batch: undefined,
        busyLines: new Set(),
        costs: this.newCosts(),
        lastAckAt: 0,
      };
      this.#lanes.set(name, lane);
    }
    return lane;
  }

  #flush(lane: Lane): void {
    if (lane.batch || lane.queue.length === 0 || !this.#connected) return;
    // What must go alone is in front.
    if (!lane.queue[0]!.alone && (lane.costs.preferBatch(lane.queue.length + lane.singles) || linesWait(lane))) {
      // What is under way one by one goes first; the batch grows meanwhile.
      if (lane.singles > 0) return;
      if (lane.queue.length >= BATCH_FROM) return this.#sendBatch(lane, takeBatch(lane.queue));
    }
    // Until it is known what one costs, enough to measure: a backlog sent one by one is what batches are there to avoid.
    const most = lane.costs.known ? lane.queue.length : Math.max(0, 2 * ENOUGH_GAPS - lane.singles);
    const waiting: Pending[] = [];
    for (const entry of lane.queue.splice(0, most)) {
      if (entry.line !== undefined && lane.busyLines.has(entry.line)) waiting.push(entry);
      else this.#sendSingle(entry);
    }
    lane.queue.unshift(...waiting);
  }

  #sendSingle(entry: Pending): void {
    if (entry.sentAt === 0) {
      // The first of a burst starts the clock: what it takes is part of what the burst takes.
      if (entry.lane.singles === 0) entry.lane.lastAckAt = performance.now();
      entry.lane.singles += 1;
      if (entry.line !== undefined) entry.lane.busyLines.add(entry.line);
    }
    entry.sentAt = Date.now();
    this.#send(entry, `${this.#inbox}.${entry.id}`, entry.headers);
  }

  #sendBatch(lane: Lane, entries: Pending[]): void {
    const id = ++this.#lastId;
    const batchId = `${this.#batchPrefix}${id}`;
    lane.batch = { id, entries, sentAt: performance.now() };
    this.#batches.set(id, lane);
    entries.forEach((entry, index) => {
      const last = index === entries.length - 1;
      const headers = `${entry.headers}Nats-Batch-Id: ${batchId}\r\nNats-Batch-Sequence: ${index + 1}\r\n${last ? 'Nats-Batch-Commit: 1\r\n' : ''}`;
      this.#send(entry, last ? `${this.#inbox}.${id}` : undefined, headers);
    });
  }

  #send(entry: Pending, reply: string | undefined, lines: string): void {
    try {
      this.nc.publish(entry.subject, entry.data, { headers: wire(lines), ...(reply && { reply }) });
    } catch (error) {
      // Payload over the server's limit, or the connection was closed for good: sending again cannot help.
      this.#fail(entry, error as Error);
    }
  }

  #settle(msg: Msg): void {
    const id = Number(msg.subject.slice(this.#inbox.length + 1));
    const answer = msg.data.length === 0 ? undefined : msg.json<Answer>();
    const batchLane = this.#batches.get(id);
    if (batchLane) return this.#settleBatch(batchLane, answer);
    const entry = this.#pending.get(id);
    if (!entry) return;
    // No responders, or the server is not ready: the sweep sends again.
    if (!answer || (answer.error && isForNow(answer.error))) {
      entry.sentAt = RESEND;
      return;
    }
    const { lane } = entry;
    this.#measure(lane);
    if (answer.error) this.#fail(entry, refusal(answer.error));
    else {
      this.#finish(entry);
      entry.resolve(answer);
    }
    this.#flush(lane);
  }

  #settleBatch(lane: Lane, answer: Answer | undefined): void {
    const { id, entries, sentAt } = lane.batch!;
    this.#batches.delete(id);
    lane.batch = undefined;
    lane.costs.batchTook(performance.now() - sentAt, entries.length);
    if (answer && !answer.error) {
      const first = answer.seq - entries.length + 1;
      entries.forEach((entry, index) => {
        this.#pending.delete(entry.id);
        entry.resolve({ stream: answer.stream, seq: first + index });
      });
    } else {
      // One of them was refused (or the server was not ready): one by one each gets its own answer.
      const left = entries.filter(({ id }) => this.#pending.has(id));
      for (const entry of left) entry.alone = true;
      lane.queue.unshift(...left.filter(({ line }) => line !== undefined));
      for (const entry of left) if (entry.line === undefined) this.#sendSingle(entry);
    }
    this.#flush(lane);
  }

  #finish(entry: Pending): void {
    this.#pending.delete(entry.id);
    if (entry.sentAt === 0) return;
    entry.lane.singles -= 1;
    if (entry.line !== undefined) entry.lane.busyLines.delete(entry.line);
  }

  #fail(entry: Pending, error: Error): void {
    this.#finish(entry);
    entry.reject(error);
    const { lane, line } = entry;
    if (line === undefined || (error instanceof PublishRefused && error.isWrongLastSequence)) return;
    const inLine = (other: Pending) => other.line === line;
    for (const behind of [...lane.queue, ...(lane.batch?.entries ?? [])].filter(inLine)) {
      this.#finish(behind);
      behind.reject(error);
    }
    lane.queue = lane.queue.filter((other) => !inLine(other));
  }

  /** A denied message has no ack. Nor has the batch that it was part of, if it was the last: what went with it is sent one by one. */
  #failDenied(subject: string): void {
    const denied = [...this.#pending.values()].filter((entry) => entry.subject === subject);
    for (const entry of denied) {
      const { lane } = entry;
      remove(lane.queue, entry);
      this.#fail(entry, new PublishRefused(DENIED, `the NATS user of this process may not publish to ${subject}`));
      if (lane.batch?.entries.includes(entry)) this.#settleBatch(lane, undefined);
      else this.#flush(lane);
    }
  }

  #measure(lane: Lane): void {
    const now = performance.now();
    const busy = lane.singles >= GAPS_FROM;
    if (busy && lane.lastAckAt > 0) lane.costs.ackGap(now - lane.lastAckAt);
    lane.lastAckAt = now;
  }

  /** In the order in which they were published, as if none had been sent. */
  #sendAllAgain(): void {
    for (const lane of this.#lanes.values()) {
      if (lane.batch) this.#batches.delete(lane.batch.id);
      Object.assign(lane, { batch: undefined, queue: [], singles: 0, lastAckAt: 0 });
      lane.busyLines.clear();
    }
    for (const entry of this.#pending.values()) {
      Object.assign(entry, { sentAt: 0, alone: false });
      entry.lane.queue.push(entry);
    }
    for (const lane of this.#lanes.values()) this.#flush(lane);
  }

  #sendOverdueAgain(now: number): void {
    const overdueFrom = performance.now() - OVERDUE_MS;
    for (const lane of this.#lanes.values()) {
      if (lane.batch && lane.batch.sentAt < overdueFrom && this.#connected) this.#settleBatch(lane, undefined);
    }
    for (const entry of this.#pending.values()) {
      if (now >= entry.giveUpAt) {
        remove(entry.lane.queue, entry);
        this.#fail(entry, new PublishTimeout('no acknowledgement within the time given'));
        this.#flush(entry.lane);
      } else if (entry.sentAt !== 0 && now - entry.sentAt > OVERDUE_MS && this.#connected) {
        this.#sendSingle(entry);
      }
    }
  }
}

/** Of every publisher of this process. */
let flushes: (() => void)[] = [];

/**
 * What one turn of the event loop brings goes together: of one lane, and what all lanes send, so that a connection writes once for all of
 * it. A write is the dearest part of a publish: a quarter of the CPU of a busy process, and the server reads as often as it is written to.
 */
function atEndOfTurn(flush: () => void): void {
  if (flushes.push(flush) > 1) return;
  setImmediate(() => {
    const all = flushes;
    flushes = [];
    for (const each of all) each();
  });
}

type Answer = PublishAck & { error?: { code: number; err_code?: number; description?: string } };

/** What is stored in one stream shares its lane. */
const IN_OUTCOMES = new Set(['deadline', 'attempt', 'input', 'answer']);

/** Long ago, but not never: sent, and due again. */
const RESEND = 1;

/** One header, ready for the wire. A value must not hold line breaks; ours are ids, numbers and hashes. */
export function headerLine(name: string, value: string): string {
  return `${name}: ${value.replace(/[\r\n]/g, ' ')}\r\n`;
}

/** Header lines of the trace that a message is part of. */
export function traceLines({ traceparent, tracestate }: TraceContext): string {
  const lines = traceparent ? headerLine(HEADER.traceparent, traceparent) : '';
  return tracestate ? lines + headerLine(HEADER.tracestate, tracestate) : lines;
}

/** The client only ever asks headers for their encoding; building a header object from lines costs more than the publish. */
function wire(lines: string): MsgHdrs {
  return { encode: () => Buffer.from(`NATS/1.0\r\n${lines}\r\n`) } as unknown as MsgHdrs;
}

/** Does enough wait for others of its line that a batch is the quicker way, whatever one message costs? */
function linesWait({ queue, busyLines }: Lane): boolean {
  if (queue.length < BATCH_FROM) return false;
  const seen = new Set(busyLines);
  let waiting = 0;
  for (const { line } of queue) {
    if (line === undefined) continue;
    if (seen.has(line) && ++waiting >= BATCH_FROM) return true;
    seen.add(line);
  }
  return false;
}

function takeBatch(queue: Pending[]): Pending[] {
  let bytes = 0;
  let count = 0;
  while (count < queue.length && count < BATCH_MOST && bytes < BATCH_BYTES) bytes += queue[count++]!.data.length;
  return queue.splice(0, count);
}

function remove<T>(list: T[], item: T): void {
  const index = list.indexOf(item);
  if (index >= 0) list.splice(index, 1);
}

function isForNow({ code, err_code: number = 0 }: NonNullable<Answer['error']>): boolean {
  return number === ID_IN_PROCESS || (code === 503 && !LIMIT_CODES.has(number));
}

function refusal(error: NonNullable<Answer['error']>): PublishRefused {
  return new PublishRefused(error.err_code ?? error.code, error.description ?? 'refused');
}
