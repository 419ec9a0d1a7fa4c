/**
 * Whether another command may be accepted now. Two things can stand in its way, and each refuses it as `overloaded`, saying when to
 * try again: its tenant or its principal has too many commands that have not ended, or the streams have no room.
 *
 * A command is counted from before it is published until it has ended, whether anybody waits for it or not: tasks and commands that were
 * accepted for later are counted like any other. Each front end counts those that it had accepted itself; one that starts anew begins
 * at none. What a command takes is one count, whatever its size.
 */
import { CallboardError } from '@callboard/envelope';
import type { Principal } from './call.js';

export interface AdmissionLimits {
  maxPerTenant: number;
  maxPerPrincipal: number;
}

/** The names under which the metrics show what was refused. */
export const ADMISSION_LIMITS = ['commands of a tenant', 'commands of a principal', 'stream bytes'] as const;
export type AdmissionLimit = (typeof ADMISSION_LIMITS)[number];

interface TenantCount {
  open: number;
  readonly byUser: Map<string, number>;
}

const RETRY_MS = 1_000;
const STREAM_RETRY_MS = 5_000;

export class Admission {
  onRefusal: ((limit: AdmissionLimit) => void) | undefined;
  #open = 0;
  readonly #tenants = new Map<string, TenantCount>();

  constructor(
    private readonly limits: AdmissionLimits,
    /** The stream that has no room for more commands, if one has not. */
    private readonly fullStream: () => string | undefined,
  ) {}

  /** Commands that have not ended. */
  get open(): number {
    return this.#open;
  }

  /**
   * Counts a command in; it is owed a `leave`.
   * @param accepted it was accepted before, elsewhere: it is counted, and never refused
   * @throws CallboardError `overloaded`: nothing was counted
   */
  enter({ tenantId, userId }: Principal, accepted = false): void {
    let tenant = this.#tenants.get(tenantId);
    const ofUser = tenant?.byUser.get(userId) ?? 0;
    if (!accepted) {
      const stream = this.fullStream();
      if (stream !== undefined) {
        throw this.#refusal('stream bytes', `The stream ${stream} has no room for more commands`, STREAM_RETRY_MS);
      }
      if (tenant && tenant.open >= this.limits.maxPerTenant) {
        throw this.#refusal('commands of a tenant', 'Too many commands of this tenant have not ended', RETRY_MS);
      }
      if (ofUser >= this.limits.maxPerPrincipal) {
        throw this.#refusal('commands of a principal', 'Too many commands of this principal have not ended', RETRY_MS);
      }
    }
    if (!tenant) this.#tenants.set(tenantId, (tenant = { open: 0, byUser: new Map() }));
    this.#open += 1;
    tenant.open += 1;
    tenant.byUser.set(userId, ofUser + 1);
  }

  leave({ tenantId, userId }: Principal): void {
    const tenant = this.#tenants.get(tenantId);
    const ofUser = tenant?.byUser.get(userId);
    if (!tenant || !ofUser) throw new Error('a command left that had not entered');
    this.#open -= 1;
    tenant.open -= 1;
    if (tenant.open === 0) this.#tenants.delete(tenantId);
    else if (ofUser === 1) tenant.byUser.delete(userId);
    else tenant.byUser.set(userId, ofUser - 1);
  }

  #refusal(limit: AdmissionLimit, message: string, retryAfterMs: number): CallboardError {
    this.onRefusal?.(limit);
    return new CallboardError('overloaded', message, { retryAfterMs });
  }
}
