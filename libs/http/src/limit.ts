import { CallboardError } from '@callboard/envelope';

/** An amount of something that may be there at once. What is refused says so, and when to try again. */
export class Limit {
  onRefusal: (() => void) | undefined;
  #taken = 0;

  constructor(
    readonly name: string,
    readonly max: number,
    private readonly retryAfterMs: number,
  ) {}

  get taken(): number {
    return this.#taken;
  }

  /** What is taken is owed a `release`. */
  tryTake(amount = 1): boolean {
    if (this.#taken + amount > this.max) return false;
    this.#taken += amount;
    return true;
  }

  release(amount = 1): void {
    this.#taken -= amount;
  }

  refusal(): CallboardError {
    this.onRefusal?.();
    return new CallboardError('overloaded', `Too many ${this.name}; try again later`, {
      retryAfterMs: this.retryAfterMs,
    });
  }
}
