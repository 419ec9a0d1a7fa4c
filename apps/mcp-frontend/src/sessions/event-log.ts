/**
 * What was sent on the streams of 2025-era sessions, kept in the stream SESSIONS so that any replica can send it again.
 *
 * A stream's log is a set of facts, each at a subject of its own: `mcp.session.<session>.<stream>.<fact>`. A fact is published
 * with expected-last-subject-sequence 0, so it is stored once whoever publishes it, and however often: two replicas that both
 * carry a request on cannot double an event (L1). Facts of one stream are stored one after the other by whoever serves it, so the
 * order of the log is the order of the conversation (L2). What a client is sent is what is stored, under the stored sequence (L3).
 *
 * Following a log: stored messages are republished, and the republished message is only a bell. What is delivered is then read from
 * the stream itself, after the last sequence delivered, so a bell that was missed (a reconnect, a slow consumer) delays and never
 * loses. All followers are also rung at every reconnect and every few seconds.
 */
import {
  AckedPublisher,
  PublishRefused,
  STREAM,
  headerLine,
  onConnectionChange,
  readSubject,
} from '@callboard/jetstream';
import { HEADER, JSON_CONTENT_TYPE, LIVE_PREFIX, encodeToken } from '@callboard/envelope';
import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import { errors, type NatsConnection, type Subscription } from '@nats-io/transport-node';
import { setTimeout as delay } from 'node:timers/promises';

export interface StoredEvent {
  subject: string;
  sequence: number;
  data: Uint8Array;
}

export interface Follower {
  stop(): void;
}

/** Facts that every stream may have; the others are named by what they tell. */
export const FACT = {
  /** First of all: the request, and who serves it. */
  open: 'open',
  /** Another replica took the request over; the last claim counts. */
  claim: 'claim',
  /** Last of all: the response, or nothing when the client cancelled. */
  response: 'response',
} as const;

export interface StreamAddress {
  session: string;
  stream: string;
}

export function factSubject({ session, stream }: StreamAddress, fact: string): string {
  return `mcp.session.${session}.${stream}.${fact}`;
}

export function readJson<Value>(event: StoredEvent): Value {
  return JSON.parse(Buffer.from(event.data).toString('utf8')) as Value;
}

/** How long reading goes on trying while nats-server is away. */
const READ_PATIENCE_MS = 10_000;
const RING_ALL_MS = 5_000;
/** What was heard of and cannot be read for so long was dropped by the stream. */
const MISSING_MS = 2_000;

export class EventLog {
  readonly #publisher: AckedPublisher;
  readonly #followers = new Set<LogFollower>();
  readonly #ringAll: NodeJS.Timeout;
  readonly #unsubscribe: () => void;

  private constructor(
    private readonly nc: NatsConnection,
    private readonly jsm: JetStreamManager,
  ) {
    this.#publisher = new AckedPublisher(nc);
    const ringAll = () => this.#followers.forEach((follower) => follower.ring());
    this.#ringAll = setInterval(ringAll, RING_ALL_MS).unref();
    this.#unsubscribe = onConnectionChange(nc, (change) => void (change === 'connected' && ringAll()));
  }

  static async open(nc: NatsConnection): Promise<EventLog> {
    return new EventLog(nc, await jetstreamManager(nc, { checkAPI: false }));
  }

  close(): void {
    clearInterval(this.#ringAll);
    this.#unsubscribe();
    for (const follower of this.#followers) follower.stop();
    this.#publisher.close();
  }

  /**
   * Stores a message when `after` is the last sequence of its subject (0: nothing is there yet). Returns what is stored at the
   * subject now: ours, or what was there first. What is of a tenant says so, to be found when the tenant is erased.
   * @throws PublishRefused, PublishTimeout
   */
  async store(
    subject: string,
    data: Uint8Array,
    options: { after?: number; timeoutMs: number; tenantId?: string },
  ): Promise<StoredEvent & { ours: boolean }> {
    const after = options.after ?? 0;
    const header =
      headerLine(HEADER.contentType, JSON_CONTENT_TYPE) +
      headerLine(HEADER.msgId, `${subject}:${after}`) +
      (options.tenantId === undefined ? '' : headerLine(HEADER.tenant, encodeToken(options.tenantId))) +
      headerLine(HEADER.expectedLastSubjectSequence, String(after));
    try {
      const ack = await this.#publisher.publish(subject, data, header, options.timeoutMs);
      if (!ack.duplicate) return { subject, sequence: ack.seq, data, ours: true };
    } catch (error) {
      if (!(error instanceof PublishRefused && error.isWrongLastSequence)) throw error;
    }
    const first = await this.last(subject);
    if (!first) throw new PublishRefused(404, 'the message that was stored first is gone');
    return { ...first, ours: Buffer.compare(first.data, data) === 0 };
  }

  /** The last message of a subject. */
  last(subject: string): Promise<StoredEvent | undefined> {
    return this.#get({ last_by_subj: subject });
  }

  at(sequence: number): Promise<StoredEvent | undefined> {
    return this.#get({ seq: sequence });
  }

  /** Sequence of the last message of all, which need not be there any more. */
  async position(): Promise<number> {
    return patiently(async () => (await this.jsm.streams.info(STREAM.sessions)).state.last_seq);
  }

  /** Delivers every message that the filter matches after a sequence, in order, each once, until it is stopped. */
  follow(filter: string, after: number, deliver: (event: StoredEvent) => void | Promise<void>): Follower {
    const follower = new LogFollower(
      (sequence) => this.#after(filter, sequence),
      after,
      deliver,
      (bell) =>
        this.nc.subscribe(`${LIVE_PREFIX}.${filter}`, {
          callback: (error, message) => void (error ?? bell(Number(message.headers?.get('Nats-Sequence')))),
        }),
      () => this.#followers.delete(follower),
    );
    this.#followers.add(follower);
    follower.ring();
    return follower;
  }

  #get(query: { seq: number } | { last_by_subj: string }): Promise<StoredEvent | undefined> {
    return patiently(async () => {
      const message =
        (await this.jsm.direct.getMessage(STREAM.sessions, query)) ??
        // Where the stream has replicas, one that is behind may have answered; the leader never is.
        (await this.jsm.streams.getMessage(STREAM.sessions, query));
      return message ? { subject: message.subject, sequence: message.seq, data: message.data } : undefined;
    });
  }

  async #after(filter: string, sequence: number): Promise<StoredEvent[]> {
    const messages = await readSubject(this.jsm, STREAM.sessions, filter, sequence);
    return messages.map(({ subject, seq, data }) => ({ subject, sequence: seq, data }));
  }
}

class LogFollower implements Follower {
  #heard = 0;
  #rung = false;
  #reading = false;
  #stopped = false;
  readonly #bell: Subscription;

  constructor(
    private readonly read: (after: number) => Promise<StoredEvent[]>,
    private after: number,
    private readonly deliver: (event: StoredEvent) => void | Promise<void>,
    subscribe: (bell: (sequence: number) => void) => Subscription,
    private readonly onStop: () => void,
  ) {
    this.#bell = subscribe((sequence) => {
      this.#heard = Math.max(this.#heard, sequence);
      this.ring();
    });
  }

  ring(): void {
    this.#rung = true;
    if (!this.#reading) void this.#readAll();
  }

  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#bell.unsubscribe();
    this.onStop();
  }

  async #readAll(): Promise<void> {
    this.#reading = true;
    let missingSince: number | undefined;
    try {
      while (this.#rung && !this.#stopped) {
        this.#rung = false;
        const events = await this.read(this.after);
        for (const event of events) {
          if (this.#stopped) return;
          await this.deliver(event);
          this.after = event.sequence;
        }
        if (events.length > 0) {
          this.#rung = true;
          missingSince = undefined;
        } else if (this.after < this.#heard) {
          // A replica of the stream may answer that has not stored yet what another has republished.
          missingSince ??= Date.now();
          if (Date.now() - missingSince > MISSING_MS) this.#heard = this.after;
          await delay(20);
          this.#rung = true;
        }
      }
    } catch {
      // nats-server is away: every follower is rung when it is back, and every few seconds.
    } finally {
      this.#reading = false;
    }
  }
}

/** Reads again for a while when nats-server does not answer: it may be restarting. */
export async function patiently<Value>(read: () => Promise<Value>): Promise<Value> {
  const until = Date.now() + READ_PATIENCE_MS;
  for (;;) {
    try {
      return await read();
    } catch (error) {
      if (Date.now() >= until || error instanceof errors.ClosedConnectionError) throw error;
      await delay(100);
    }
  }
}
