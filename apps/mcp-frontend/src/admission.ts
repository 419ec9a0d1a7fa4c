/**
 * Whether another call may be served, and another command accepted, now. Each refusal says when to try again. A call is `rate_limited` when its
 * tenant calls more often than its quota says. A command is `overloaded` when its tenant or its principal has too many commands that have
 * not ended, or the streams have no room.
 *
 * A command is counted from before it is published until it has ended, whether anybody waits for it or not: tasks and commands that were
 * accepted for later are counted like any other. Each front end counts those that it had accepted itself; one that starts anew begins
 * at none. What a command takes is one count, whatever its size. A quota that becomes smaller refuses what comes, and ends nothing.
 */
import type { Identity, Quotas } from '@callboard/access';
import { CallboardError } from '@callboard/envelope';
import { CallRates } from './call-rates.js';

/** The names under which the metrics show what was refused. */
export const ADMISSION_LIMITS = [
  'commands of a tenant',
  'commands of a principal',
  'calls of a tenant',
  'line of a tenant',
  'stream bytes',
] as const;
export type AdmissionLimit = (typeof ADMISSION_LIMITS)[number];

interface TenantCount {
  open: number;
  readonly byUser: Map<string, number>;
}

const RETRY_MS = 1_000;
const STREAM_RETRY_MS = 5_000;

export class Admission {
  onRefusal: ((limit: AdmissionLimit, tenantId: string) => void) | undefined;
  #open = 0;
  readonly #tenants = new Map<string, TenantCount>();
  readonly #rates: CallRates;

  constructor(
    private readonly quotas: Quotas,
    /** The stream that has no room for more commands, if one has not. */
    private readonly fullStream: () => string | undefined,
    /** Milliseconds of a clock that only goes forward. */
    now?: () => number,
  ) {
    this.#rates = new CallRates(now);
  }

  /** Commands that have not ended. */
  get open(): number {
    return this.#open;
  }

  /** Of each tenant that has any. */
  *openByTenant(): Iterable<[tenantId: string, open: number]> {
    for (const [tenantId, { open }] of this.#tenants) yield [tenantId, open];
  }

  /** @throws CallboardError `rate_limited` when the tenant has called too often lately */
  call({ tenantId }: Identity): void {
    const waitMs = this.#rates.take(tenantId, this.quotas.of(tenantId).calls);
    if (waitMs === 0) return;
    this.onRefusal?.('calls of a tenant', tenantId);
    throw new CallboardError('rate_limited', 'This tenant calls more often than its quota allows', {
      retryAfterMs: waitMs,
    });
  }

  /**
   * Counts a command in; it is owed a `leave`.
   * @param accepted it was accepted before, elsewhere: it is counted, and never refused
   * @throws CallboardError `overloaded`: nothing was counted
   */
  enter({ tenantId, userId }: Identity, accepted = false): void {
    let tenant = this.#tenants.get(tenantId);
    const ofUser = tenant?.byUser.get(userId) ?? 0;
    if (!accepted) {
      const refuse = (limit: AdmissionLimit, message: string, retryAfterMs = RETRY_MS) => {
        this.onRefusal?.(limit, tenantId);
        return new CallboardError('overloaded', message, { retryAfterMs });
      };
      const stream = this.fullStream();
      if (stream !== undefined) {
        throw refuse('stream bytes', `The stream ${stream} has no room for more commands`, STREAM_RETRY_MS);
      }
      const quota = this.quotas.of(tenantId);
      if (tenant && tenant.open >= quota.commands) {
        throw refuse('commands of a tenant', 'Too many commands of this tenant have not ended');
      }
      if (ofUser >= quota.commandsPerPrincipal) {
        throw refuse('commands of a principal', 'Too many commands of this principal have not ended');
      }
    }
    if (!tenant) this.#tenants.set(tenantId, (tenant = { open: 0, byUser: new Map() }));
    this.#open += 1;
    tenant.open += 1;
    tenant.byUser.set(userId, ofUser + 1);
  }

  leave({ tenantId, userId }: Identity): void {
    const tenant = this.#tenants.get(tenantId);
    const ofUser = tenant?.byUser.get(userId);
    if (!tenant || !ofUser) throw new Error('a command left that had not entered');
    this.#open -= 1;
    tenant.open -= 1;
    if (tenant.open === 0) this.#tenants.delete(tenantId);
    else if (ofUser === 1) tenant.byUser.delete(userId);
    else tenant.byUser.set(userId, ofUser - 1);
  }
}
