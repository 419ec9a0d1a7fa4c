import { CallboardError } from '@callboard/envelope';

/** A number of things that may be there at once. What is refused says so, and when to try again. */
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

  /** Every `true` is owed one `release`. */
  tryTake(): boolean {
    if (this.#taken >= this.max) return false;
    this.#taken++;
    return true;
  }

  release(): void {
    this.#taken--;
  }

  refusal(): CallboardError {
    this.onRefusal?.();
    return new CallboardError('overloaded', `Too many ${this.name}; try again later`, {
      retryAfterMs: this.retryAfterMs,
    });
  }
}
