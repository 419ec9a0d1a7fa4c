/**
 * What an operator asks of the privacy filter, which alone can read what it holds back: let a held event go, let go of it, forget an event.
 * Any filter answers. What is asked and answered names events; it never holds anything of them.
 */
import { CallboardError } from '@callboard/envelope';
import { errors, type NatsConnection } from '@nats-io/transport-node';
import { FILTER_VERBS } from './topology.js';

/** Of the messages about an event, how many were found, and are gone now. */
export interface Erased {
  /** In EVENTS_RAW. */
  raw: number;
  /** In EVENTS_HELD. */
  held: number;
  /** In EVENTS. */
  events: number;
  /** In DEAD_LETTERS. */
  letters: number;
}

export interface FilterVerbs {
  /** Filters a held event again, under the policies of now. It is delivered if it passes now, out of its order; else it stays held. */
  release: { asked: { event: string }; answered: { released: true } | { released: false; reason: string } };
  /** Erases a held event and its letter. */
  discard: { asked: { event: string }; answered: Erased };
  /** Destroys the key of a tenant's pseudonyms; the tenant's next event has a new one. */
  forget: { asked: { tenant: string }; answered: { destroyed: boolean } };
  /** How many messages of a tenant there are that only the filter may read. */
  count: { asked: { tenant: string }; answered: TenantRest };
  /**
   * Waits until no raw event of a tenant is left, for each goes on to where it is shown or held; then erases those that are held. Says what is
   * left when it has taken too long for one answer: ask again.
   */
  empty: { asked: { tenant: string }; answered: { erased: number; left: TenantRest } };
  /** Erases everything about an event, wherever it is. */
  erase: { asked: { event: string } | { tenant: string; source: string; id: string }; answered: ErasedEvents };
}
export type FilterVerb = keyof FilterVerbs;

/** Messages of a tenant: in EVENTS_RAW, and in EVENTS_HELD. */
export interface TenantRest {
  raw: number;
  held: number;
}

export interface ErasedEvents extends Erased {
  /** The names of the events that were found. */
  names: string[];
}

export type FilterAnswer<V extends FilterVerb> =
  | { ok: true; answer: FilterVerbs[V]['answered'] }
  | { ok: false; code: 'not_found' | 'invalid_request' | 'unavailable'; message: string };

const VERBS = FILTER_VERBS.replace('*', '');
/** All filters together: one of them answers. */
export const FILTER_QUEUE = 'pii-filter';
/** A search through a full stream takes long. */
const TIMEOUT_MS = 120_000;

export class FilterControl {
  constructor(private readonly nc: NatsConnection) {}

  /** @throws CallboardError when no filter runs, none answers, or it cannot be done. */
  async ask<V extends FilterVerb>(verb: V, asked: FilterVerbs[V]['asked']): Promise<FilterVerbs[V]['answered']> {
    const answer = await this.#request<V>(verb, asked);
    if (answer.ok) return answer.answer;
    throw new CallboardError(answer.code, answer.message);
  }

  async #request<V extends FilterVerb>(verb: V, asked: FilterVerbs[V]['asked']): Promise<FilterAnswer<V>> {
    try {
      const message = await this.nc.request(VERBS + verb, JSON.stringify(asked), { timeout: TIMEOUT_MS });
      return message.json<FilterAnswer<V>>();
    } catch (cause) {
      const message =
        cause instanceof errors.NoRespondersError || (cause instanceof errors.RequestError && cause.isNoResponders())
          ? 'No privacy filter runs: what it holds can be decided on when one does'
          : 'No privacy filter has answered';
      throw new CallboardError('unavailable', message, { cause });
    }
  }
}

/** The verb in the subject of a request. */
export function filterVerbOf(subject: string): string {
  return subject.slice(VERBS.length);
}
