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
  /** Acks, and the time they took, lately: older ones count less by their age. */
  #acks = 0;
  #ackMs = 0;
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
    // A stall of the machine is capped.
    const gap = Math.min(ms, 50);
    // Acks come in bursts, hundreds in one turn: it is their mean over time that counts, not the last of them.
    const keep = Math.exp(-gap / REMEMBER_MS);
    this.#acks = this.#acks * keep + 1;
    this.#ackMs = this.#ackMs * keep + gap;
    this.#gaps += 1;
    if (this.#gaps < ENOUGH_GAPS) return;
    this.#singleMs = this.#ackMs / this.#acks;
    this.#slowness += (1 - this.#slowness) * (gap / FORGET_MS);
  }

  batchTook(ms: number, count: number): void {
    // A stall says little of batches: one must not send a busy lane back to one sync a message.
    this.#slowness += (Math.min(ms / batchMs(count), SLOWEST) - this.#slowness) * 0.1;
    this.#singleMs *= Math.exp(-ms / FORGET_MS);
    this.#gaps = 0;
    this.#acks = 0;
    this.#ackMs = 0;
  }
}

const SLOWEST = 3;
/** How far back acks count. */
const REMEMBER_MS = 250;
/** How fast the figure of the way that is not taken drifts back. */
const FORGET_MS = 2_000;

/** As measured once, alone on the disk of the machine in docs/performance.md. */
function batchMs(count: number): number {
  return 2.4 + 0.015 * count;
}
