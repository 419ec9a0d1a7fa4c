/** How many ack gaps to see before it is known what one message costs. */
export const ENOUGH_GAPS = 16;

/**
 * What storing costs, learnt from acks, so that the quicker way is taken: one by one, or as a batch. Both figures rise together
 * when the machine is busy. The figure of the way that is not taken drifts back until that way is tried again, so that neither one
 * bad moment nor a changed disk decides for ever.
 */
export class StoreCosts {
  /** Milliseconds that one more message takes one by one; 0: not known yet. */
  #singleMs = 0;
  #gaps = 0;
  #sumOfGaps = 0;
  /** How batches here compare with the one whose cost is in `batchMs`. */
  #slowness = 1;

  /** Have enough single messages been seen since the last batch? */
  get known(): boolean {
    return this.#gaps >= ENOUGH_GAPS;
  }

  preferBatch(count: number): boolean {
    return count * this.#singleMs > this.#slowness * batchMs(count);
  }

  ackGap(ms: number): void {
    // Acks come in bursts, so it is their mean that counts. A stall of the machine is capped.
    const gap = Math.min(ms, 50);
    this.#gaps += 1;
    this.#sumOfGaps += gap;
    if (this.#gaps < ENOUGH_GAPS) return;
    if (this.#gaps > ENOUGH_GAPS) this.#singleMs += (gap - this.#singleMs) * 0.02;
    else if (this.#singleMs === 0) this.#singleMs = this.#sumOfGaps / ENOUGH_GAPS;
    else this.#singleMs = (this.#singleMs + this.#sumOfGaps / ENOUGH_GAPS) / 2;
    this.#slowness += (1 - this.#slowness) * (gap / FORGET_MS);
  }

  batchTook(ms: number, count: number): void {
    // A stall says little of batches: one must not send a busy lane back to one sync a message.
    this.#slowness += (Math.min(ms / batchMs(count), SLOWEST) - this.#slowness) * 0.1;
    this.#singleMs *= Math.exp(-ms / FORGET_MS);
    this.#gaps = 0;
    this.#sumOfGaps = 0;
  }
}

const SLOWEST = 3;
/** How fast the figure of the way that is not taken drifts back. */
const FORGET_MS = 2_000;

/** As measured once, alone on the disk of the machine in docs/performance.md. */
function batchMs(count: number): number {
  return 2.4 + 0.015 * count;
}
