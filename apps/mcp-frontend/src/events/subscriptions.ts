/**
 * Named subscriptions of clients to events, in the key-value bucket SUBSCRIPTIONS: what each wants to see, and how far its client has
 * confirmed. No process holds anything of them, so any replica answers any poll.
 *
 * A subscription belongs to one principal; for every other it does not exist (N1). Its position only moves forward, by compare-and-set, so
 * two replicas that are told of different polls at once keep the later position (N2). It is gone when nobody has polled it for `ttlMs` (N3).
 */
import type { Principal, Quotas } from '@callboard/access';
import { CallboardError, encodeToken } from '@callboard/envelope';
import { BUCKET, KeyValueStore, type EventPosition } from '@callboard/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { insist } from '../insist.js';
import { selectionOf, type SelectionArguments } from './selection.js';

export interface SubscriptionLimits {
  quotas: Quotas;
  ttlMs: number;
}

export interface SubscriptionRecord extends SelectionArguments {
  name: string;
  /** Everything up to here the client has confirmed. */
  position: EventPosition;
  /** ISO 8601. */
  created_at: string;
  used_at: string;
}

export class Subscription {
  constructor(
    readonly key: string,
    public record: SubscriptionRecord,
    public revision: number,
  ) {}
}

/** What became of a wish to subscribe. */
export type Subscribed = 'created' | 'unchanged' | 'changed';

/** A use is noted so often at least, however long it lives. */
const NOTE_USE_MS = 24 * 3_600_000;
const CHANGE_ATTEMPTS = 20;
const RETRY_MS = 60_000;

export class Subscriptions {
  private constructor(
    private readonly store: KeyValueStore,
    private readonly limits: SubscriptionLimits,
  ) {}

  static async open(nc: NatsConnection, limits: SubscriptionLimits): Promise<Subscriptions> {
    return new Subscriptions(await KeyValueStore.open(nc, BUCKET.subscriptions), limits);
  }

  /**
   * Creates a subscription; one of that name that exists keeps its position, and gets the new selection.
   * @param start asked only for one that is created
   * @throws CallboardError `overloaded` when there are too many
   */
  async put(
    principal: Principal,
    name: string,
    wanted: SelectionArguments,
    start: () => Promise<EventPosition>,
  ): Promise<{ subscription: Subscription; subscribed: Subscribed }> {
    const selection = selectionOf(wanted);
    for (;;) {
      const existing = await this.find(principal, name);
      if (existing) {
        const asks = JSON.stringify(selection);
        let subscribed: Subscribed = 'unchanged';
        await this.#change(existing, (record) => {
          if (JSON.stringify(selectionOf(record)) === asks) return this.#touch(record);
          subscribed = 'changed';
          const { sources: _, topics: __, filters: ___, ...rest } = record;
          return { ...rest, ...selection };
        });
        return { subscription: existing, subscribed };
      }
      await this.#checkRoom(principal);
      const now = new Date().toISOString();
      const record = { name, ...selection, position: await start(), created_at: now, used_at: now };
      const key = keyOf(principal, name);
      const revision = await insist(() => this.store.create(key, encode(record), this.#options));
      if (revision !== undefined) {
        return { subscription: new Subscription(key, record, revision), subscribed: 'created' };
      }
    }
  }

  async find(principal: Principal, name: string): Promise<Subscription | undefined> {
    const key = keyOf(principal, name);
    const entry = await insist(() => this.store.entry(key));
    return entry && new Subscription(key, decode(entry.value), entry.revision);
  }

  async list(principal: Principal): Promise<SubscriptionRecord[]> {
    const entries = await insist(() => this.store.entries(`${keysOf(principal)}.*`));
    return [...entries.values()].map(({ value }) => decode(value)).sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /**
   * The client polls, and has everything up to a position of the stream that is there now, if it says so.
   * @param passed up to here there is nothing for it: noted now and then, so that retention does not overtake who has nothing to confirm
   * @throws CallboardError `not_found` when the subscription was ended meanwhile
   */
  async confirm(
    subscription: Subscription,
    confirmed: EventPosition | undefined,
    passed: EventPosition | undefined,
  ): Promise<void> {
    await this.#change(subscription, (record) => {
      if (isAhead(confirmed, record)) return { ...record, position: confirmed };
      const touched = this.#touch(record);
      return touched && isAhead(passed, record) ? { ...touched, position: passed } : touched;
    });
  }

  /** Returns false when there was no such subscription. */
  async remove(principal: Principal, name: string): Promise<boolean> {
    const subscription = await this.find(principal, name);
    if (subscription) await insist(() => this.store.delete(subscription.key));
    return subscription !== undefined;
  }

  /** How many there are of all principals. */
  count(): Promise<number> {
    return this.store.count('*.*.*');
  }

  get #options() {
    return { ttlMs: this.limits.ttlMs };
  }

  /** The record with its use noted; `undefined` when it was noted lately. */
  #touch(record: SubscriptionRecord): SubscriptionRecord | undefined {
    const due = Date.now() - Date.parse(record.used_at) > Math.min(NOTE_USE_MS, this.limits.ttlMs / 4);
    return due ? { ...record } : undefined;
  }

  /** Changes the record; `change` may be asked again on a newer one, and returns nothing when there is nothing to change. */
  async #change(
    subscription: Subscription,
    change: (record: SubscriptionRecord) => SubscriptionRecord | undefined,
  ): Promise<boolean> {
    const { key } = subscription;
    for (let attempt = 0; attempt < CHANGE_ATTEMPTS; attempt++) {
      const changed = change(subscription.record);
      if (!changed) return false;
      const record = { ...changed, used_at: new Date().toISOString() };
      const { revision } = subscription;
      const stored = await insist(() => this.store.update(key, encode(record), revision, this.#options));
      if (stored !== undefined) {
        subscription.record = record;
        subscription.revision = stored;
        return true;
      }
      const latest = await insist(() => this.store.entry(key));
      if (!latest) throw noSubscription();
      subscription.record = decode(latest.value);
      subscription.revision = latest.revision;
    }
    throw new CallboardError('unavailable', 'The subscription changes too fast', { retryAfterMs: 1_000 });
  }

  /** Others may subscribe at the same time, and ended ones count for a minute: the limits are not sharp. */
  async #checkRoom(principal: Principal): Promise<void> {
    const [ofPrincipal, ofTenant] = await insist(() =>
      Promise.all([
        this.store.count(`${keysOf(principal)}.*`),
        this.store.count(`${encodeToken(principal.tenantId)}.*.*`),
      ]),
    );
    const quota = this.limits.quotas.of(principal.tenantId);
    const whose =
      ofPrincipal >= quota.eventSubscriptionsPerPrincipal
        ? 'this principal'
        : ofTenant >= quota.eventSubscriptions && 'this tenant';
    if (whose) {
      const message = `Too many subscriptions of ${whose}; end one with events.unsubscribe`;
      throw new CallboardError('overloaded', message, { retryAfterMs: RETRY_MS });
    }
  }
}

export function noSubscription(): CallboardError {
  return new CallboardError('not_found', 'You have no subscription of that name; events.subscribe makes one');
}

function isAhead(position: EventPosition | undefined, record: SubscriptionRecord): position is EventPosition {
  const { stream, sequence } = record.position;
  return position !== undefined && (position.stream !== stream || position.sequence > sequence);
}

function keysOf({ tenantId, userId }: Principal): string {
  return `${encodeToken(tenantId)}.${encodeToken(userId)}`;
}

function keyOf(principal: Principal, name: string): string {
  return `${keysOf(principal)}.${encodeToken(name)}`;
}

function encode(record: SubscriptionRecord): Uint8Array {
  return Buffer.from(JSON.stringify(record));
}

function decode(value: Uint8Array): SubscriptionRecord {
  return JSON.parse(Buffer.from(value).toString('utf8')) as SubscriptionRecord;
}
