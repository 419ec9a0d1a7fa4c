/**
 * Takes the events of one Backstage bus, for as long as this process is the one to do it.
 *
 * The bus forgets what it has handed out. So:
 *   B1  It is not asked for more before all that it gave is stored and on record, however long that takes.
 *   B2  Events are stored in the order in which the bus gave them, where they have the same key.
 *   B3  Before it is asked, the record says `reading`; after it has answered that there is nothing, `idle`. A process that ends in between has
 *       left the record behind, and the next one tells a gap. One that ends while it waits for events has lost none, and none is told.
 *   B4  A gap begins when the bus last had nothing more to give. A batch says nothing of how much waits behind it, and what waits is lost with
 *       the subscription.
 *   B5  What may be missing becomes one event of type `io.callboard.gap`, stored before the events that came after it.
 * Told too much is possible, too little is not: a process that ends between storing one batch and asking for the next leaves `reading` too.
 *
 * Not seen from here: what Backstage drops by itself. It discards what is published while nobody subscribes; kept in memory, its bus holds the
 * last thousand events; with PostgreSQL, an event whose transaction ends after that of a later one can be passed over.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { randomUUID } from 'node:crypto';
import { backstageEvent, gapEvent, type GapReason, type SourcedEvent } from '@callboard/events';
import type { Audit } from '@callboard/audit';
import { backOffMs, type RawEvents } from '@callboard/jetstream';
import { recordAll, takenFacts } from '../ingest.js';
import type { BackstageBusSource } from '../sources.js';
import { BATCH_MOST, type BusClient, type BusAnswer } from './bus-client.js';
import type { BusRecord, BusState, OpenGap } from './bus-record.js';

export interface BusReaderEvents {
  answered(kind: BusAnswer['kind']): void;
  /** The bus did not answer as it should; it is asked again. */
  troubled(why: string, retryInMs: number): void;
  stored(how: 'stored' | 'known'): void;
  /** NATS does not take what must be kept; it is tried again. */
  notStored(error: unknown, retryInMs: number): void;
  gap(reason: GapReason): void;
  /** Another process has taken over and told a gap; these events, taken before and not stored, are in it. */
  givenUp(events: number): void;
}

export interface BusReaderLimits {
  /** Can this process still be sure to be the only one? */
  isSure(): boolean;
  /** Why nothing is to be taken in now, while that is so. */
  refusing(): string | undefined;
}

const ATTEMPT_MS = 10_000;
const STORE_RETRY = { firstMs: 100, mostMs: 5_000 };
const ASK_AGAIN = { firstMs: 500, mostMs: 30_000 };

class TakenOver extends Error {
  override readonly name = 'TakenOver';
}

export class BusReader {
  readonly #stopped = new AbortController();
  #state!: BusState;
  #failures = 0;

  constructor(
    private readonly source: BackstageBusSource,
    private readonly client: Pick<BusClient, 'read' | 'subscribe'>,
    private readonly record: BusRecord,
    private readonly raw: Pick<RawEvents, 'publish'>,
    private readonly audit: Pick<Audit, 'record'>,
    private readonly may: BusReaderLimits,
    private readonly events: BusReaderEvents,
  ) {}

  /** Ends with what is under way stored, and the record `idle`. */
  stop(): void {
    this.#stopped.abort();
  }

  /** Resolves when it has been stopped, or when another process has taken over. */
  async run(): Promise<'stopped' | 'taken'> {
    try {
      if (!(await this.#begin())) return 'stopped';
      while (this.#goesOn()) {
        const refusing = this.may.refusing();
        if (refusing !== undefined) {
          await this.#mark('idle');
          await this.#pause(refusing);
          continue;
        }
        await this.#mark('reading');
        const askedAt = new Date();
        const answer = await this.client.read();
        this.events.answered(answer.kind);
        await this.#take(answer, askedAt);
      }
      await this.#mark('idle');
      return 'stopped';
    } catch (error) {
      if (error instanceof TakenOver) return 'taken';
      throw error;
    }
  }

  #goesOn(): boolean {
    return !this.#stopped.signal.aborted && this.may.isSure();
  }

  /** Takes up where the process before left off. */
  async #begin(): Promise<boolean> {
    const before = await this.#persist(() => this.record.read());
    if (before) {
      this.#state = before;
      if (before.state === 'reading') this.#open('interrupted', BATCH_MOST);
    } else if (!(await this.#subscribe())) return false;
    this.#state = { ...this.#state, state: 'idle' };
    await this.#write();
    return true;
  }

  async #take(answer: BusAnswer, askedAt: Date): Promise<void> {
    switch (answer.kind) {
      case 'events':
        this.#failures = 0;
        await this.#closeGap();
        await this.#store(answer.events.map(({ topic, payload }) => this.#toEvent(topic, payload)));
        await this.#changeTopics();
        return;
      case 'empty':
        this.#failures = 0;
        this.#state = { ...this.#state, at: askedAt.toISOString() };
        await this.#mark('idle');
        await this.#closeGap();
        // The bus holds this answer for the topics of before.
        if (await this.#changeTopics()) return answer.hangUp();
        return this.#waitForEvents(answer);
      case 'gone':
        this.#open('subscription_lost');
        await this.#mark('idle');
        if (await this.#subscribe()) await this.#closeGap();
        return;
      case 'lost':
        this.#open('answer_lost', BATCH_MOST);
        await this.#mark('idle');
        return this.#pause(answer.why);
      case 'refused':
        await this.#mark('idle');
        return this.#pause(answer.why);
    }
  }

  async #waitForEvents({ ended, hangUp }: Extract<BusAnswer, { kind: 'empty' }>): Promise<void> {
    const { signal } = this.#stopped;
    if (signal.aborted) hangUp();
    signal.addEventListener('abort', hangUp, { once: true });
    await ended;
    signal.removeEventListener('abort', hangUp);
  }

  #toEvent(topic: string, eventPayload: unknown): SourcedEvent {
    const { name: sourceName, tenantId, baseUrl: eventsUrl } = this.source;
    return backstageEvent({ tenantId, sourceName, eventsUrl }, { topic, eventPayload });
  }

  /** Makes the subscription with today's topics. False when it was stopped before it could. */
  async #subscribe(): Promise<boolean> {
    while (this.#goesOn()) {
      const at = new Date().toISOString();
      const done = await this.client.subscribe(this.source.topics);
      if (done === 'done') {
        const gap = this.#state?.gap;
        this.#state = { state: 'idle', at, topics: this.source.topics, ...(gap && { gap }) };
        return true;
      }
      await this.#pause(done.why);
    }
    return false;
  }

  /** Only for a subscription that is there: one made anew would hide that it was gone. */
  async #changeTopics(): Promise<boolean> {
    const [now, before] = [this.source.topics, this.#state.topics].map((topics) => [...topics].sort().join());
    if (now === before) return false;
    const done = await this.client.subscribe(this.source.topics);
    if (done === 'done') this.#state = { ...this.#state, topics: this.source.topics };
    else await this.#pause(done.why);
    return true;
  }

  /** What is open already becomes wider; a subscription that was forgotten says more than an answer that was lost. */
  #open(reason: GapReason, atMost?: number): void {
    const open: OpenGap = this.#state.gap ?? { id: randomUUID(), reason, since: this.#state.at, atMost: 0 };
    const { atMost: before, ...rest } = open;
    const sum = before !== undefined && atMost !== undefined ? before + atMost : undefined;
    const worse = reason === 'subscription_lost' ? reason : rest.reason;
    this.#state = { ...this.#state, gap: { ...rest, reason: worse, ...(sum !== undefined && { atMost: sum }) } };
  }

  /** Tells the gap that is open, now that it has an end. */
  async #closeGap(): Promise<void> {
    const { gap, ...closed } = this.#state;
    if (!gap) return;
    const { name, tenantId, topics } = this.source;
    await this.#store([gapEvent(tenantId, name, { ...gap, until: new Date().toISOString(), topics })]);
    this.events.gap(gap.reason);
    this.#state = closed;
    await this.#write();
  }

  async #mark(state: BusState['state']): Promise<void> {
    if (state === this.#state.state) return;
    this.#state = { ...this.#state, state };
    await this.#write();
  }

  async #write(): Promise<void> {
    if ((await this.#persist(() => this.record.write(this.#state))) === 'taken') throw new TakenOver();
  }

  /** Returns when all are durable and on record; those of a key in this order. */
  async #store(events: readonly SourcedEvent[]): Promise<void> {
    const facts = takenFacts(events);
    await this.#persist(() => recordAll(this.audit, facts));
    for (let left = events, attempt = 1; left.length > 0; attempt++) {
      if (!this.may.isSure() && !(await this.#persist(() => this.record.isOurs()))) {
        this.events.givenUp(left.length);
        throw new TakenOver();
      }
      const fates = await Promise.allSettled(left.map((event) => this.raw.publish(event, ATTEMPT_MS)));
      for (const fate of fates) if (fate.status === 'fulfilled') this.events.stored(fate.value);
      left = left.filter((_, i) => fates[i]!.status === 'rejected');
      const failed = fates.find((fate) => fate.status === 'rejected');
      if (failed) await this.#waitForNats(failed.reason, attempt);
    }
  }

  /** NATS may be away for long; what must be kept is tried until it is. */
  async #persist<T>(work: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await work();
      } catch (error) {
        await this.#waitForNats(error, attempt);
      }
    }
  }

  async #waitForNats(error: unknown, attempt: number): Promise<void> {
    const pauseMs = backOffMs(attempt, STORE_RETRY.firstMs, STORE_RETRY.mostMs);
    this.events.notStored(error, pauseMs);
    await delay(pauseMs);
  }

  async #pause(why: string): Promise<void> {
    const pauseMs = backOffMs(++this.#failures, ASK_AGAIN.firstMs, ASK_AGAIN.mostMs);
    this.events.troubled(why, pauseMs);
    await delay(pauseMs, undefined, { signal: this.#stopped.signal }).catch(() => undefined);
  }
}
