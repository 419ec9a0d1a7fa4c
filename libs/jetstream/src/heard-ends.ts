/**
 * Commands of which a runner has heard that somebody ended them, and which it was never given. The word of an end may overtake its command: in
 * a cluster by all the time that a new leader takes. One that is given after all is looked up in OUTCOMES before it begins.
 *
 * Bounded: when too many were heard of, everything that comes is looked up for a while, which costs time and lets nothing begin.
 */
export class HeardEnds {
  /** Until when each is remembered, the oldest first. */
  readonly #until = new Map<string, number>();
  #everythingUntil = 0;

  constructor(private readonly limits: { most: number; keptMs: number } = { most: 10_000, keptMs: 600_000 }) {}

  note(command: string, now = Date.now()): void {
    this.#until.delete(command);
    this.#until.set(command, now + this.limits.keptMs);
    for (const [oldest, until] of this.#until) {
      const isDue = until > now;
      if (isDue && this.#until.size <= this.limits.most) break;
      this.#until.delete(oldest);
      if (isDue) this.#everythingUntil = until;
    }
  }

  mayHaveEnded(command: string, now = Date.now()): boolean {
    return now < this.#everythingUntil || (this.#until.get(command) ?? 0) > now;
  }
}
