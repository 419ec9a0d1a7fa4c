/**
 * Whose command is accepted next, so that a tenant that calls as fast as it can leaves the calls of the others as quick as they were.
 *
 * While one tenant calls, everything starts as it comes: what goes together costs less. Once several have called within a minute, a front end has a
 * limited number of commands under way, because each waits for those that are ahead of it at every hop, and in this process. `UnderWayLimit` finds
 * how many. What comes beyond waits in the line of its tenant, and tenants take turns. A tenant that has less than its equal share under way never waits.
 *
 * A command is under way until it has ended, or until twice the time has passed again that its acceptance took: by then one that is quick has ended,
 * and one that takes its time is no burden. That leaves no figure to set for a slow machine, and slow actions do not hold up their tenant.
 *
 * Invariants: what one tenant brings starts in the order in which it came (F1); who is in line has at least its share under way, so that its turn
 * comes (F2). What is in line is not accepted: nothing is stored of it, and it can be refused.
 */
import { performance } from 'node:perf_hooks';
import { CallboardError } from '@callboard/envelope';
import type { UnderWayLimit } from './under-way-limit.js';

export interface FairShareLimits {
  /** Commands of all tenants together, once several call. */
  underWay: Pick<UnderWayLimit, 'value' | 'accepted'>;
  /** Commands of one tenant in line. */
  linePerTenant: number;
}

/** Who waits for a turn. */
export interface TurnWaiter {
  /** When its command's deadline is, in milliseconds since 1970. */
  deadlineAt: number;
  /** Is given, once, what takes it out of the line; to be called when nobody is there any more, or never. */
  onLine?(leave: () => void): void;
}

/** A command that was accepted. */
interface Started {
  /** Settles when it has ended. */
  readonly outcome: Promise<unknown>;
}

interface InLine {
  start(): void;
}

/** A tenant counts among those that call for so long after its last call. */
export const CALLS_MS = 60_000;
/** Longest wait in line: within the patience of callers, so that they hear of it. */
export const LONGEST_LINE_MS = 10_000;
const RETRY_MS = 1_000;
/** How much longer a command counts as under way than its acceptance took. */
const MORE = 2;
/** Tenants whose last call is remembered. */
const MOST_TENANTS = 10_000;

export class FairShare {
  /** Hears how many milliseconds a command was in line that then started. */
  onWaited: ((ms: number) => void) | undefined;
  /** Hears that a tenant's line is full, or has not moved. */
  onRefusal: ((tenantId: string) => void) | undefined;
  #underWay = 0;
  #inLine = 0;
  readonly #underWayOf = new Map<string, number>();
  /** In the order of their turns; each line in the order in which it came. */
  readonly #lines = new Map<string, Set<InLine>>();
  /** The last call of each tenant, the oldest first. */
  readonly #calledAt = new Map<string, number>();

  /** `now`: milliseconds of a clock that only goes forward */
  constructor(
    private readonly limits: FairShareLimits,
    private readonly now: () => number = () => performance.now(),
  ) {}

  get underWay(): number {
    return this.#underWay;
  }

  /** Commands that may be under way at once while several tenants call. */
  get most(): number {
    return this.limits.underWay.value;
  }

  get inLine(): number {
    return this.#inLine;
  }

  /** Of each tenant that has any. */
  *inLineByTenant(): Iterable<[tenantId: string, inLine: number]> {
    for (const [tenantId, line] of this.#lines) yield [tenantId, line.size];
  }

  /**
   * Calls `start` when it is the turn of this tenant: at once, before this returns, or later.
   * @throws CallboardError `overloaded` when the line is full or does not move, `deadline_exceeded`, `cancelled` when its caller left the line:
   *   `start` was not called then, and will not be; or what `start` throws
   */
  take<T extends Started>(tenantId: string, start: () => Promise<T>, waiter: TurnWaiter): Promise<T> {
    this.#noteCall(tenantId);
    if (!this.#lines.has(tenantId) && this.#hasRoom(tenantId)) return this.#start(tenantId, start);
    return this.#lineUp(tenantId, start, waiter);
  }

  /** The same for what is owed a start, because it was accepted before: it does not wait, and counts. */
  takeAtOnce<T extends Started>(tenantId: string, start: () => Promise<T>): Promise<T> {
    this.#noteCall(tenantId);
    return this.#start(tenantId, start);
  }

  #lineUp<T extends Started>(tenantId: string, start: () => Promise<T>, waiter: TurnWaiter): Promise<T> {
    const line = this.#lines.get(tenantId) ?? new Set();
    if (line.size >= this.limits.linePerTenant) {
      return Promise.reject(this.#refusal(tenantId, 'Too many commands of this tenant wait for their turn'));
    }
    this.#lines.set(tenantId, line);
    this.#inLine += 1;
    const since = this.now();
    return new Promise<T>((resolve, reject) => {
      const give = (error: () => CallboardError) => {
        if (!this.#leaveLine(tenantId, entry)) return;
        clearTimeout(late);
        reject(error());
      };
      const leftMs = waiter.deadlineAt - Date.now();
      const late = setTimeout(
        () =>
          give(() =>
            leftMs < LONGEST_LINE_MS
              ? new CallboardError('deadline_exceeded')
              : this.#refusal(tenantId, 'The commands of this tenant wait too long for their turn'),
          ),
        Math.min(leftMs, LONGEST_LINE_MS),
      );
      const entry: InLine = {
        start: () => {
          clearTimeout(late);
          this.onWaited?.(this.now() - since);
          this.#start(tenantId, start).then(resolve, reject);
        },
      };
      line.add(entry);
      waiter.onLine?.(() => give(() => new CallboardError('cancelled', 'The caller went away')));
    });
  }

  #start<T extends Started>(tenantId: string, start: () => Promise<T>): Promise<T> {
    const ahead = this.#underWay;
    this.#underWay += 1;
    this.#underWayOf.set(tenantId, this.#of(tenantId) + 1);
    const from = this.now();
    const started = start();
    started.then(
      ({ outcome }) => {
        const tookMs = this.now() - from;
        // What one tenant alone has accepted together says nothing.
        if (this.#tenantsThatCall() > 1) this.limits.underWay.accepted(tookMs, ahead, this.#inLine > 0);
        const release = () => {
          if (timer === undefined) return;
          clearTimeout(timer);
          timer = undefined;
          this.#release(tenantId);
        };
        let timer: NodeJS.Timeout | undefined = setTimeout(release, MORE * tookMs);
        outcome.then(release, release);
      },
      () => this.#release(tenantId),
    );
    return started;
  }

  #release(tenantId: string): void {
    this.#underWay -= 1;
    const rest = this.#of(tenantId) - 1;
    if (rest > 0) this.#underWayOf.set(tenantId, rest);
    else this.#underWayOf.delete(tenantId);
    while (this.#lines.size > 0) {
      const [first] = this.#lines.keys();
      if (this.#isRoomForAll()) this.#startFirst(first!);
      else if (this.#lines.has(tenantId) && this.#hasRoom(tenantId)) this.#startFirst(tenantId);
      else return;
    }
  }

  /** Its tenant's next turn comes after those of all others. */
  #startFirst(tenantId: string): void {
    const line = this.#lines.get(tenantId)!;
    const [entry] = line;
    this.#leaveLine(tenantId, entry!);
    if (line.size > 0) {
      this.#lines.delete(tenantId);
      this.#lines.set(tenantId, line);
    }
    entry!.start();
  }

  #leaveLine(tenantId: string, entry: InLine): boolean {
    const line = this.#lines.get(tenantId);
    if (!line?.delete(entry)) return false;
    this.#inLine -= 1;
    if (line.size === 0) this.#lines.delete(tenantId);
    return true;
  }

  #isRoomForAll(): boolean {
    return this.#tenantsThatCall() <= 1 || this.#underWay < this.limits.underWay.value;
  }

  #hasRoom(tenantId: string): boolean {
    return this.#isRoomForAll() || this.#of(tenantId) < this.#share();
  }

  #share(): number {
    return Math.max(1, Math.floor(this.limits.underWay.value / this.#calledAt.size));
  }

  #of(tenantId: string): number {
    return this.#underWayOf.get(tenantId) ?? 0;
  }

  #noteCall(tenantId: string): void {
    this.#calledAt.delete(tenantId);
    this.#calledAt.set(tenantId, this.now());
  }

  #tenantsThatCall(): number {
    const from = this.now() - CALLS_MS;
    for (const [tenantId, at] of this.#calledAt) {
      if (at >= from && this.#calledAt.size <= MOST_TENANTS) break;
      this.#calledAt.delete(tenantId);
    }
    return this.#calledAt.size;
  }

  #refusal(tenantId: string, message: string): CallboardError {
    this.onRefusal?.(tenantId);
    return new CallboardError('overloaded', message, { retryAfterMs: RETRY_MS });
  }
}
