/**
 * Keeps what exceeded a budget, and delivers it as one notification when the budget has room again, whichever notifier lives then.
 *
 * Every notifier watches the bucket DIGESTS and waits for what is due; who claims a digest first, by compare-and-set, delivers it, and the others
 * leave it alone until the claim is over. The digest takes from the budgets as any notification, and has a scope of its own, so that one
 * which is delivered again after a crash updates itself.
 *
 * Not guaranteed: a command that died between being kept and its outcome may be counted twice among those left out of a full digest.
 */
import { withTimeout } from '@callboard/http';
import { KeyValueStore } from '@callboard/jetstream';
import type { BudgetLedger } from '../budgets/budget-ledger.js';
import { budgetsFor, type BudgetRule, type Spending } from '../budgets/budget-rules.js';
import { NotDelivered, type Delivery } from '../delivery.js';
import type { NotificationSettings } from '../notifications-file.js';
import { digestId, itemOf, keyOf, summaryOf, withItem, without, type Digest } from './digest.js';

export interface DigestEvents {
  delivered(): void;
  /** It is gone: Backstage did not want it, or is not there. */
  refused(reason: string): void;
  failed(error: unknown): void;
}

const CLAIM_MS = 90_000;
/** Within the claim. */
const DELIVER_MS = 60_000;
const AGAIN_MS = 5_000;
/** Longer timers fire at once in Node. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export class DigestKeeper {
  readonly #timers = new Map<string, NodeJS.Timeout>();
  readonly #delivering = new Set<Promise<void>>();
  readonly #stop = new AbortController();
  #watch: { stop(): void } | undefined;

  private constructor(
    private readonly store: KeyValueStore,
    private readonly instance: string,
    private readonly settings: NotificationSettings,
    private readonly ledger: BudgetLedger,
    private readonly delivery: Delivery,
    private readonly events: DigestEvents,
  ) {}

  static async start(
    store: KeyValueStore,
    instance: string,
    settings: NotificationSettings,
    ledger: BudgetLedger,
    delivery: Delivery,
    events: DigestEvents,
  ): Promise<DigestKeeper> {
    const keeper = new DigestKeeper(store, instance, settings, ledger, delivery, events);
    keeper.#watch = await store.watch('>', (key, value) => keeper.#note(key, value));
    return keeper;
  }

  async stop(): Promise<void> {
    this.#watch?.stop();
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#stop.abort(new Error('the notifier stops'));
    await Promise.all(this.#delivering);
  }

  /** When it is due, where an attempt before has kept it. */
  async kept(rule: BudgetRule, spending: Spending, correlationId: string): Promise<Date | undefined> {
    const entry = await this.store.entry(keyOf(rule, spending));
    const digest = entry && read(entry.value);
    const isKept = digest?.items.some((item) => item.correlation_id === correlationId);
    return isKept ? new Date(digest!.due_at) : undefined;
  }

  /** Resolves when it is stored, with when it is due. @throws when it could not be */
  async keep(rule: BudgetRule, spending: Spending, correlationId: string, retryAfterMs: number): Promise<Date> {
    const key = keyOf(rule, spending);
    const item = itemOf(correlationId, spending.notification.payload);
    for (;;) {
      const entry = await this.store.entry(key);
      const before = entry && read(entry.value);
      if (before?.items.some((kept) => kept.correlation_id === correlationId)) return new Date(before.due_at);
      const digest = withItem(before, item, rule, spending, Date.now() + retryAfterMs);
      if ((await this.#write(key, digest, entry?.revision)) !== undefined) return new Date(digest.due_at);
    }
  }

  #note(key: string, value: Uint8Array | undefined): void {
    clearTimeout(this.#timers.get(key));
    this.#timers.delete(key);
    if (value === undefined || this.#stop.signal.aborted) return;
    const { items, due_at: dueAt, claim } = read(value);
    if (items.length === 0) return;
    const wait = Math.max(dueAt, claim?.until ?? 0) - Date.now();
    this.#wait(key, Math.max(0, wait));
  }

  #wait(key: string, ms: number): void {
    const fire = () => {
      const work = this.#deliver(key).catch((error: unknown) => {
        this.events.failed(error);
        if (!this.#stop.signal.aborted) this.#wait(key, AGAIN_MS);
      });
      this.#delivering.add(work);
      void work.then(() => this.#delivering.delete(work));
    };
    this.#timers.set(key, setTimeout(fire, Math.min(ms, MAX_TIMER_MS)));
  }

  async #deliver(key: string): Promise<void> {
    const claimed = await this.#claim(key);
    if (!claimed) return;
    const { tenant_id: tenantId, user_id: userId } = claimed;
    const notification = summaryOf(claimed);
    const command = { tenantId, correlationId: digestId(claimed) };
    const target = this.settings.backstageOf(tenantId);
    const signal = withTimeout(this.#stop.signal, DELIVER_MS);
    if (!target) {
      this.events.refused('its tenant has no Backstage any more');
      return this.#settle(key, (now) => without(now, claimed));
    }
    const budgets = budgetsFor(this.settings.budgets, { tenantId, userId, notification });
    const taken = await this.ledger.take(command, budgets, signal);
    if (taken.kind === 'exceeded') return this.#settle(key, (now) => dueIn(now, taken.retryAfterMs));
    try {
      const sent = await this.delivery.deliver(target, notification, signal);
      if (sent.kind === 'sent') this.events.delivered();
      else {
        await this.ledger.giveBack(command);
        this.events.refused(sent.reason);
      }
      await this.#settle(key, (now) => without(now, claimed));
    } catch (error) {
      if (!(error instanceof NotDelivered)) throw error;
      // What was taken stays on record under the digest's name, and is not taken again.
      await this.#settle(key, (now) => dueIn(now, AGAIN_MS));
    }
  }

  /** Of those who try at once, one gets it. */
  async #claim(key: string): Promise<Digest | undefined> {
    const entry = await this.store.entry(key);
    if (!entry) return undefined;
    const digest = read(entry.value);
    const now = Date.now();
    if (digest.items.length === 0 || digest.due_at > now || (digest.claim?.until ?? 0) > now) return undefined;
    const claimed = { ...digest, claim: { by: this.instance, until: now + CLAIM_MS } };
    return (await this.#write(key, claimed, entry.revision)) === undefined ? undefined : claimed;
  }

  /** What came meanwhile stays. */
  async #settle(key: string, change: (now: Digest) => Digest): Promise<void> {
    for (;;) {
      const entry = await this.store.entry(key);
      if (!entry) return;
      const digest = change(read(entry.value));
      const revision = await this.#write(key, digest, entry.revision);
      if (revision === undefined) continue;
      if (digest.items.length === 0) await this.store.delete(key, revision);
      return;
    }
  }

  /** Undefined when somebody was faster. */
  #write(key: string, digest: Digest, revision: number | undefined): Promise<number | undefined> {
    const data = Buffer.from(JSON.stringify(digest));
    return revision === undefined ? this.store.create(key, data) : this.store.update(key, data, revision);
  }
}

function read(value: Uint8Array): Digest {
  return JSON.parse(Buffer.from(value).toString()) as Digest;
}

function dueIn(digest: Digest, ms: number): Digest {
  const { claim: _, ...rest } = digest;
  return { ...rest, due_at: Date.now() + ms };
}
