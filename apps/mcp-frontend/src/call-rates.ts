/**
 * How often tenants call: a bucket of tokens each, which a call takes one of and time fills again, up to its burst. There are no more buckets than
 * tenants that the access file names, and none for a tenant without a rate. Each front end has its own.
 */
import { performance } from 'node:perf_hooks';
import type { Quota } from '@callboard/access';

interface Bucket {
  tokens: number;
  at: number;
}

export class CallRates {
  readonly #buckets = new Map<string, Bucket>();

  constructor(private readonly now: () => number = () => performance.now()) {}

  /** Takes a call. Returns 0, or after how many milliseconds there is room for one, which was not taken now. */
  take(tenantId: string, rate: Quota['calls']): number {
    if (!rate) {
      this.#buckets.delete(tenantId);
      return 0;
    }
    const now = this.now();
    let bucket = this.#buckets.get(tenantId);
    if (!bucket) this.#buckets.set(tenantId, (bucket = { tokens: rate.burst, at: now }));
    const filled = bucket.tokens + ((now - bucket.at) / 1_000) * rate.perSecond;
    bucket.tokens = Math.min(rate.burst, filled);
    bucket.at = now;
    if (bucket.tokens < 1) return Math.ceil(((1 - bucket.tokens) / rate.perSecond) * 1_000);
    bucket.tokens -= 1;
    return 0;
  }
}
