/**
 * Serves the tools of events. A poll, read top to bottom in `#poll`, gives what comes after the cursor that its client brings, or else after
 * what the client has confirmed.
 *
 * Guaranteed: an event is given again until a cursor after it was brought, whatever is lost on the way, so nothing is missed (P1). A client
 * that passes on the cursors it gets sees no event twice (P2). Both hold on any replica, because what they rest on is in EVENTS, in the
 * cursor and in the subscription's record.
 *
 * Not guaranteed: that two who poll one subscription share its events; each that passes on its own cursors sees all of them.
 */
import { person, type Principal } from '@callboard/access';
import { checkArguments } from '@callboard/actions';
import type { Audit, AuditFact } from '@callboard/audit';
import { CallboardError, type JsonObject } from '@callboard/envelope';
import type { Limit } from '@callboard/http';
import { linkActive } from '@callboard/tracing';
import { Bell, encodeCursor, type EventPage, type EventPosition, type EventSelection } from '@callboard/jetstream';
import type { Invocation } from '../call.js';
import { deliveredEvents } from '../recorded.js';
import type { ServerAccess } from '../server-access.js';
import type { EventFeed } from './event-feed.js';
import { toAnswer, type EventsAnswer } from './event-json.js';
import type { EventMetrics } from './event-metrics.js';
import { isWorthGiving, type EventSearch } from './event-search.js';
import { EVENT_TOOLS, POLL_LIMITS } from './event-tools.js';
import { eventUri } from './event-uri.js';
import { toPosition, toSelection, type SelectionArguments } from './selection.js';
import { noSubscription, type SubscriptionRecord, type Subscriptions } from './subscriptions.js';

interface ReadArguments extends SelectionArguments {
  cursor?: string;
  max?: number;
}

interface SubscribeArguments extends SelectionArguments {
  name: string;
  from?: string;
}

interface PollArguments {
  name: string;
  cursor?: string;
  max?: number;
  wait_ms?: number;
}

/** What a subscription needs whenever it is polled. */
const POLLED = ['read_events', 'subscribe'] as const;
/** Topics that one answer lists. */
const MAX_LISTED = 500;

export class EventCalls {
  /** Rung when this replica stops. */
  #stopping = false;
  readonly #waiting = new Set<Bell>();

  constructor(
    private readonly search: EventSearch,
    private readonly feed: EventFeed,
    private readonly subscriptions: Subscriptions,
    private readonly waits: Limit,
    private readonly metrics: EventMetrics,
    private readonly audit: Audit,
    private readonly access: ServerAccess,
  ) {}

  /** Answers all who wait with what there is. */
  close(): void {
    this.#stopping = true;
    for (const bell of this.#waiting) bell.ring();
  }

  /** @throws CallboardError */
  async serve(call: Invocation): Promise<JsonObject> {
    checkArguments(call.action, call.args);
    if (call.action !== EVENT_TOOLS.poll && call.action !== EVENT_TOOLS.read) await this.audit.record(toolFact(call));
    const structuredContent = await this.#answer(call);
    return { content: [{ type: 'text', text: JSON.stringify(structuredContent) }], structuredContent };
  }

  #answer(call: Invocation): Promise<JsonObject> {
    const { principal, args } = call;
    switch (call.action) {
      case EVENT_TOOLS.list:
        return this.#list(principal);
      case EVENT_TOOLS.read:
        return this.read(principal, args as ReadArguments);
      case EVENT_TOOLS.subscribe:
        return this.#subscribe(principal, args as unknown as SubscribeArguments);
      case EVENT_TOOLS.poll:
        return this.#poll(call, args as unknown as PollArguments);
      case EVENT_TOOLS.unsubscribe:
        return this.#unsubscribe(principal, args['name'] as string);
      default:
        throw new CallboardError('unknown_action');
    }
  }

  async #list(principal: Principal): Promise<JsonObject> {
    const subscriptions = await this.subscriptions.list(principal);
    const sees = this.access.sees(principal, 'read_events');
    const all = this.feed.topics.of(principal.tenantId, this.feed.oldest);
    const seen = all.filter(({ source, topic }) => sees(source, topic));
    const sources = new Map<string, JsonObject[]>();
    for (const { source, topic, at } of seen.slice(0, MAX_LISTED)) {
      const topics = sources.get(source) ?? [];
      sources.set(source, topics);
      topics.push({ topic, last_event_at: at.toISOString(), uri: eventUri(source, topic) });
    }
    return {
      sources: [...sources].map(([source, topics]) => ({ source, topics })),
      more_topics: seen.length > MAX_LISTED,
      subscriptions: subscriptions.map(shown),
    };
  }

  /** History: the latest events, or those after a cursor. */
  async read(
    principal: Principal,
    { cursor, max = POLL_LIMITS.usualEvents, ...asked }: ReadArguments,
  ): Promise<EventsAnswer> {
    this.access.checkTopics(principal, ['read_events'], asked);
    const { tenantId } = principal;
    const selection = { ...toSelection(asked), sees: this.access.sees(principal, 'read_events') };
    const page =
      cursor === undefined
        ? await this.search.latest(tenantId, selection, max)
        : await this.search.next(tenantId, selection, startOf(cursor), max);
    this.metrics.read();
    return this.#give(principal, 'read', page);
  }

  async #subscribe(principal: Principal, { name, from, ...asked }: SubscribeArguments): Promise<JsonObject> {
    toSelection(asked);
    this.access.checkTopics(principal, ['subscribe'], asked);
    const start = from === undefined || from === 'latest' ? 'latest' : startOf(from);
    const { subscription, subscribed } = await this.subscriptions.put(principal, name, asked, async () =>
      typeof start === 'string' ? (await this.search.range())[start] : start,
    );
    return { subscribed, ...shown(subscription.record) };
  }

  async #poll(call: Invocation, { name, cursor, max = POLL_LIMITS.usualEvents, wait_ms = 0 }: PollArguments) {
    const { principal } = call;
    const brought = cursor === undefined ? undefined : toPosition(cursor);
    const subscription = await this.subscriptions.find(principal, name);
    if (!subscription) throw noSubscription();
    this.access.checkTopics(principal, POLLED, subscription.record);
    const selection = { ...toSelection(subscription.record), sees: this.access.sees(principal, ...POLLED) };
    const after = brought ?? subscription.record.position;
    // Listens before it reads: what comes in between rings.
    const bell = new Bell();
    const unwatch = this.feed.watch(principal.tenantId, selection, () => bell.ring());
    try {
      const first = await this.search.next(principal.tenantId, selection, after, max);
      const passed = isWorthGiving(first) || first.restarted ? undefined : first.next;
      await this.subscriptions.confirm(subscription, first.restarted ? undefined : brought, passed);
      const page = await this.#wait(call, selection, first, max, wait_ms, bell);
      this.metrics.poll();
      return { name, ...(await this.#give(principal, 'poll', page)) };
    } finally {
      unwatch();
    }
  }

  /** Waits for an event, if there is none yet. */
  async #wait(
    call: Invocation,
    selection: EventSelection,
    first: EventPage,
    max: number,
    waitMs: number,
    bell: Bell,
  ): Promise<EventPage> {
    let page = first;
    const until = Date.now() + waitMs;
    if (isWorthGiving(page) || waitMs === 0) return page;
    if (!this.waits.tryTake()) throw this.waits.refusal();
    this.#waiting.add(bell);
    let gone = false;
    call.onGone?.(() => {
      gone = true;
      bell.ring();
    });
    try {
      while (!isWorthGiving(page) && Date.now() < until && !this.#stopping) {
        if (!page.hasMore && !(await bell.heard(until - Date.now()))) break;
        if (gone) throw new CallboardError('cancelled', 'The caller went away');
        page = await this.search.next(call.principal.tenantId, selection, page.next, max, until);
      }
      return page;
    } finally {
      this.#waiting.delete(bell);
      this.waits.release();
    }
  }

  async #unsubscribe(principal: Principal, name: string): Promise<JsonObject> {
    return { name, removed: await this.subscriptions.remove(principal, name) };
  }

  /** Which events a client is given is on record before it is given them. */
  async #give(principal: Principal, how: string, page: EventPage): Promise<EventsAnswer> {
    const { answer } = toAnswer(page);
    const names = page.events.map(({ address }) => address.event);
    if (names.length > 0) await this.audit.record(deliveredEvents(principal, how, names));
    linkActive(page.events.map(({ trace }) => trace));
    this.metrics.gave(answer.events.length, page.truncated);
    return answer;
  }
}

function toolFact({ principal, action, args }: Invocation): AuditFact {
  const { tenantId } = principal;
  const kind = action === EVENT_TOOLS.list ? 'list' : 'subscription';
  return { kind, what: action.id, tenantId, who: person(principal), action: action.id, args };
}

/** @throws CallboardError `invalid_cursor` */
function startOf(cursor: string): EventPosition | 'earliest' {
  return cursor === 'earliest' ? cursor : toPosition(cursor);
}

function shown({ position, ...record }: SubscriptionRecord): JsonObject {
  return { ...record, cursor: encodeCursor(position) };
}
