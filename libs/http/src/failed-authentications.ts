/**
 * How often requests of one client address had credentials that were not good. Beyond so many in a minute an address is refused before anything is
 * verified, so that nobody can try credentials one after the other, or keep a server busy with verifying. Credentials that were good here before are
 * still looked at: who has them is not locked out by somebody who shares the address.
 *
 * An address has room for as many failures as are allowed in a minute, and gets it back evenly. Memory is bounded: of addresses, and of credentials
 * that were good (their digests), those are forgotten that were seen longest ago. Failures that are being verified at once all count, afterwards.
 */
import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { isIP, isIPv6 } from 'node:net';
import { CallboardError } from '@callboard/envelope';
import { refusals } from './watch-limit.js';

export interface FailedAuthenticationsOptions {
  /** Of one address in a minute; 0 for no limit. */
  maxFailedAuthentications: number;
  /** Proxies in front, each of which puts the address that it sees at the end of X-Forwarded-For; 0: the header is not believed. */
  trustedHops: number;
}

const MINUTE_MS = 60_000;
const MOST_ADDRESSES = 10_000;
const MOST_GOOD = 10_000;
const LIMIT = 'failed authentications';

interface Failures {
  /** How many of the last ones are not made up for yet, as of `at`. */
  count: number;
  at: number;
}

export class FailedAuthentications {
  readonly #failures = new Map<string, Failures>();
  readonly #good = new Map<string, true>();

  constructor(
    private readonly options: FailedAuthenticationsOptions,
    private readonly now: () => number = () => performance.now(),
  ) {
    refusals.inc({ limit: LIMIT }, 0);
  }

  /**
   * Asked before the credentials of a request are looked at.
   * @returns `rate_limited` when the address has no failure left, and the request has no Authorization that was good before
   */
  refusal(req: IncomingMessage): CallboardError | undefined {
    const { maxFailedAuthentications: most } = this.options;
    const key = this.#keyOf(req);
    const count = this.#countNow(key);
    if (most === 0 || count <= most - 1) return undefined;
    const { authorization } = req.headers;
    if (authorization !== undefined && this.#good.has(digest(authorization))) return undefined;
    refusals.inc({ limit: LIMIT });
    return new CallboardError('rate_limited', 'Too many requests of this address had credentials that are not good', {
      retryAfterMs: Math.ceil(((count - (most - 1)) * MINUTE_MS) / most),
    });
  }

  /** The credentials of the request were not good. */
  failed(req: IncomingMessage): void {
    const { authorization } = req.headers;
    if (authorization !== undefined) this.#good.delete(digest(authorization));
    const key = this.#keyOf(req);
    const count = this.#countNow(key) + 1;
    this.#failures.delete(key);
    this.#failures.set(key, { count: Math.min(count, this.options.maxFailedAuthentications), at: this.now() });
    if (this.#failures.size > MOST_ADDRESSES) this.#failures.delete(this.#failures.keys().next().value!);
  }

  /** Its Authorization was good. */
  succeeded({ headers: { authorization } }: IncomingMessage): void {
    if (authorization === undefined || this.options.maxFailedAuthentications === 0) return;
    const key = digest(authorization);
    this.#good.delete(key);
    this.#good.set(key, true);
    if (this.#good.size > MOST_GOOD) this.#good.delete(this.#good.keys().next().value!);
  }

  /** Addresses of which something is remembered. */
  get addresses(): number {
    return this.#failures.size;
  }

  #countNow(key: string): number {
    const known = this.#failures.get(key);
    if (!known) return 0;
    const madeUp = ((this.now() - known.at) * this.options.maxFailedAuthentications) / MINUTE_MS;
    return Math.max(0, known.count - madeUp);
  }

  #keyOf(req: IncomingMessage): string {
    return networkOf(clientAddress(req, this.options.trustedHops));
  }
}

/** The address that the outermost of so many proxies saw; that of the connection where the header does not say. */
export function clientAddress({ headers, socket }: IncomingMessage, trustedHops: number): string {
  const peer = socket.remoteAddress ?? '';
  if (trustedHops === 0) return peer;
  const forwarded = [headers['x-forwarded-for'] ?? []].flat().join(',').split(',');
  const address = forwarded.at(-trustedHops)?.trim() ?? '';
  return isIP(address) === 0 ? peer : address;
}

/** An IPv4 address itself, and of an IPv6 address its /64: whoever has one has all of those. */
export function networkOf(address: string): string {
  const [bare = ''] = address.split('%', 1);
  const v4 = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(bare)?.[1];
  if (v4 !== undefined || !isIPv6(bare)) return v4 ?? bare;
  const [before = '', after] = bare.split('::');
  const groups = before === '' ? [] : before.split(':');
  if (after !== undefined) {
    // One with an IPv4 address at its end has it in the last two of its groups.
    const last = after === '' ? [] : after.split(':');
    const missing = 8 - groups.length - last.length - (after.includes('.') ? 1 : 0);
    groups.push(...Array<string>(missing).fill('0'), ...last);
  }
  const network = groups.slice(0, 4).map((group) => Number.parseInt(group, 16).toString(16));
  return `${network.join(':')}::/64`;
}

function digest(authorization: string): string {
  return createHash('sha256').update(authorization).digest('base64url');
}
