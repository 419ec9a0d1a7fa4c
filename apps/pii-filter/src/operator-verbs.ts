/**
 * What an operator may ask, at `ctl.pii-filter.<verb>`; whichever filter is free answers, because all that is needed is in the streams.
 *
 * Each verb deletes last what names the event, so that one which was cut short can be asked again: the letter after the body, and the body
 * after the event is in EVENTS. What is deleted is overwritten on the disk.
 */
import {
  LIMITS,
  storedEventSubjects,
  storedHeldEventSubjects,
  storedHeldLetterSubjects,
  storedRawEventSubjects,
  encodeToken,
  parseRawEventSubject,
} from '@callboard/envelope';
import { percentDecode } from '@callboard/events';
import {
  RequestAnswers,
  FILTER_QUEUE,
  FILTER_VERBS,
  STREAM,
  countSubject,
  filterConsumerName,
  filterVerbOf,
  readSubject,
  type Erased,
  type ErasedEvents,
  type FilterAnswer,
  type FilterVerb,
  type FilterVerbs,
  type TenantRest,
} from '@callboard/jetstream';
import { JetStreamApiError, type JetStreamManager, type StoredMsg } from '@nats-io/jetstream';
import type { Msg, NatsConnection } from '@nats-io/transport-node';
import type { EventStores } from './event-stores.js';
import type { EventFilter } from './filter-event.js';
import { readRawEvent } from './raw-event.js';
import type { TenantKeys } from './tenant-keys.js';

type Answers = { [V in FilterVerb]: (asked: FilterVerbs[V]['asked']) => Promise<FilterAnswer<V>> };

/** How long the filter that has an event in hand may take, before it is said that it has. */
const IN_HAND_MS = 20_000;
const POLL_MS = 50;
/** "no message found" and "message not found" of a delete: somebody else was first. */
const GONE = new Set([10037, 10057]);
/** Of one answer to a request that is asked again when there is more. */
const EMPTY_MS = 20_000;
const ABOUT_A_TENANT = new Set(['forget', 'count', 'empty']);
const EVENT_NAME = /^e_[\w-]{43}$/;

export class OperatorVerbs {
  readonly #answers: Answers = {
    release: ({ event }) => this.#release(event),
    discard: ({ event }) => this.#discard(event),
    erase: (asked) => this.#erase(asked),
    count: async ({ tenant }) => ({ ok: true, answer: await this.#count(tenant) }),
    empty: ({ tenant }) => this.#empty(tenant),
    forget: async ({ tenant }) => ({ ok: true, answer: { destroyed: await this.keys.destroy(tenant) } }),
  };
  readonly #requests: RequestAnswers;

  constructor(
    nc: NatsConnection,
    private readonly jsm: JetStreamManager,
    private readonly filter: EventFilter,
    private readonly stores: EventStores,
    private readonly keys: Pick<TenantKeys, 'destroy'>,
    private readonly onError: (error: unknown) => void,
  ) {
    this.#requests = new RequestAnswers(nc, FILTER_VERBS, FILTER_QUEUE, (message) => this.#answer(message));
  }

  /** Takes no more requests; resolves when those of before are answered. */
  stop(): Promise<void> {
    return this.#requests.stop();
  }

  async #answer(message: Msg): Promise<void> {
    try {
      message.respond(JSON.stringify(await this.#do(filterVerbOf(message.subject), message)));
    } catch (error) {
      this.onError(error);
      const answer = { ok: false, code: 'unavailable', message: 'The filter could not do it now: see its log' };
      message.respond(JSON.stringify(answer));
    }
  }

  async #do(verb: string, message: Msg): Promise<FilterAnswer<FilterVerb>> {
    if (!Object.hasOwn(this.#answers, verb)) return refused('There is no such verb');
    let asked: Record<string, unknown>;
    try {
      asked = message.json();
    } catch {
      return refused('The request is no JSON');
    }
    const names = Object.keys(asked ?? {});
    const isAboutOne = names.length === 1 && EVENT_NAME.test(String(asked['event']));
    const isSearch = verb === 'erase' && ['tenant', 'source', 'id'].every((name) => typeof asked[name] === 'string');
    if (ABOUT_A_TENANT.has(verb)) {
      const tenant = names.length === 1 ? asked['tenant'] : undefined;
      if (typeof tenant !== 'string' || tenant === '' || tenant.length > LIMITS.nameChars) {
        return refused('The request names no tenant');
      }
    } else if (!isAboutOne && !isSearch) return refused('The request names no event');
    return this.#answers[verb as FilterVerb](asked as never);
  }

  async #release(event: string): Promise<FilterAnswer<'release'>> {
    const held = await this.#first(STREAM.eventsHeld, storedHeldEventSubjects(event));
    if (!held) return missing('No held event has this name: it was released or discarded, or is too old');
    const reading = readRawEvent({ subject: held.subject, headers: held.header, data: held.data });
    const fate = reading.ok ? await this.filter.fateOf(reading.event) : undefined;
    if (fate?.kind === 'passed') {
      await this.filter.recordRelease(fate);
      await this.stores.passLate(fate.event);
      await this.#delete(STREAM.eventsHeld, storedHeldEventSubjects(event));
      await this.#delete(STREAM.deadLetters, storedHeldLetterSubjects(event));
      this.filter.countPassed(fate);
      return { ok: true, answer: { released: true } };
    }
    const hold = fate?.hold ?? { reason: reading.ok ? 'internal' : reading.reason, attempts: 1 };
    await this.#delete(STREAM.deadLetters, storedHeldLetterSubjects(event));
    await this.stores.tell(reading.ok ? reading.event.address : reading.address, held, hold);
    return { ok: true, answer: { released: false, reason: hold.reason } };
  }

  async #discard(event: string): Promise<FilterAnswer<'discard'>> {
    const held = await this.#delete(STREAM.eventsHeld, storedHeldEventSubjects(event));
    const letters = await this.#delete(STREAM.deadLetters, storedHeldLetterSubjects(event));
    if (held + letters === 0)
      return missing('No held event has this name: it was released or discarded, or is too old');
    return { ok: true, answer: { raw: 0, held, events: 0, letters } };
  }

  async #erase(asked: FilterVerbs['erase']['asked']): Promise<FilterAnswer<'erase'>> {
    const names = 'event' in asked ? [asked.event] : await this.#namesOf(asked);
    const sum: ErasedEvents = { names: [], raw: 0, held: 0, events: 0, letters: 0 };
    for (const name of names) {
      const erased = await this.#eraseOne(name);
      if (!erased) return { ok: false, code: 'unavailable', message: 'A filter has the event in hand: ask again' };
      const found = erased.raw + erased.held + erased.events + erased.letters;
      if (found > 0) sum.names.push(name);
      for (const part of ['raw', 'held', 'events', 'letters'] as const) sum[part] += erased[part];
    }
    return { ok: true, answer: sum };
  }

  async #count(tenant: string): Promise<TenantRest> {
    const [raw, held] = await Promise.all([
      countSubject(this.jsm, STREAM.eventsRaw, rawOf(tenant), 0),
      countSubject(this.jsm, STREAM.eventsHeld, heldOf(tenant), 0),
    ]);
    return { raw, held };
  }

  async #empty(tenant: string): Promise<FilterAnswer<'empty'>> {
    const until = Date.now() + EMPTY_MS;
    while (Date.now() < until && (await this.#first(STREAM.eventsRaw, rawOf(tenant)))) await pause();
    const erased = await this.#delete(STREAM.eventsHeld, heldOf(tenant), until);
    return { ok: true, answer: { erased, left: await this.#count(tenant) } };
  }

  /** From its source on, so that what is gone does not come again from before; `undefined` while a filter has it in hand. */
  async #eraseOne(event: string): Promise<Erased | undefined> {
    const raw = await this.#eraseRaw(event);
    if (raw === undefined) return undefined;
    const events = await this.#delete(STREAM.events, storedEventSubjects(event));
    const held = await this.#delete(STREAM.eventsHeld, storedHeldEventSubjects(event));
    const letters = await this.#delete(STREAM.deadLetters, storedHeldLetterSubjects(event));
    return { raw, held, events, letters };
  }

  /**
   * A raw event that was handed out is in the memory of a filter, and only when that has acked it is it known where it went. (Deleting it
   * meanwhile would look like an ack.) One that was not handed out cannot be any more once it is deleted.
   */
  async #eraseRaw(event: string): Promise<number | undefined> {
    const subjects = storedRawEventSubjects(event);
    for (const until = Date.now() + IN_HAND_MS; Date.now() < until; await pause()) {
      const found = await this.#first(STREAM.eventsRaw, subjects);
      if (!found) return 0;
      if (await this.#isHandedOut(found)) continue;
      const deleted = await this.#delete(STREAM.eventsRaw, subjects);
      return (await this.#isHandedOut(found)) ? undefined : deleted;
    }
    return undefined;
  }

  async #isHandedOut({ subject, seq }: StoredMsg): Promise<boolean> {
    const consumer = filterConsumerName(parseRawEventSubject(subject).partition);
    const { delivered } = await this.jsm.consumers.info(STREAM.eventsRaw, consumer);
    return delivered.stream_seq >= seq;
  }

  /** Names of the events that a source knows by an id, wherever they are now. */
  async #namesOf({ tenant, source, id }: { tenant: string; source: string; id: string }): Promise<Set<string>> {
    const names = new Set<string>();
    const of = `${encodeToken(tenant)}.${encodeToken(source)}.*.*.*`;
    const places = [
      [STREAM.eventsRaw, `raw.*.${of}`],
      [STREAM.eventsHeld, `held.${of}`],
      [STREAM.events, `evt.${of}`],
    ] as const;
    for (const [stream, subjects] of places) {
      for (let after = 0; ;) {
        const messages = await readSubject(this.jsm, stream, subjects, after);
        if (messages.length === 0) break;
        for (const { subject, header } of messages) {
          if (percentDecode(header.get('ce-id')) === id) names.add(subject.slice(subject.lastIndexOf('.') + 1));
        }
        after = messages.at(-1)!.seq;
      }
    }
    return names;
  }

  async #first(stream: string, subjects: string): Promise<StoredMsg | undefined> {
    return (await this.jsm.direct.getMessage(stream, { seq: 1, next_by_subj: subjects })) ?? undefined;
  }

  /** Deletes all that match, and overwrites them, as many as there is time for; returns how many there were. */
  async #delete(stream: string, subjects: string, until = Infinity): Promise<number> {
    let deleted = 0;
    for (;;) {
      const message = Date.now() < until ? await this.#first(stream, subjects) : undefined;
      if (!message) return deleted;
      try {
        if (await this.jsm.streams.deleteMessage(stream, message.seq, true)) deleted += 1;
      } catch (error) {
        if (!(error instanceof JetStreamApiError && GONE.has(error.code))) throw error;
      }
    }
  }
}

function rawOf(tenant: string): string {
  return `raw.*.${encodeToken(tenant)}.*.*.*.*`;
}

function heldOf(tenant: string): string {
  return `held.${encodeToken(tenant)}.*.*.*.*`;
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, POLL_MS));
}

function refused(message: string): FilterAnswer<FilterVerb> {
  return { ok: false, code: 'invalid_request', message };
}

function missing(message: string): { ok: false; code: 'not_found'; message: string } {
  return { ok: false, code: 'not_found', message };
}
