/**
 * What a partition's owner was given and has not yet acknowledged, in stream order.
 *
 * The watermark is the highest sequence up to which everything is done; acknowledging it says so for all of them at once. After a
 * consumer reset the server delivers everything above its ack floor again, under new ack subjects; what is still in the window is
 * then known, and only takes over the new message.
 *
 * Invariant: an acknowledgement is only ever made with a message of the present epoch (W1), because the server would misread one
 * from before the reset.
 */
export class SequenceWindow<M> {
  readonly #entries = new Map<number, { message: M; epoch: number; done: boolean; bytes: number }>();
  #epoch = 0;
  #bytes = 0;

  get size(): number {
    return this.#entries.size;
  }

  /** Bytes of the messages in the window. */
  get bytes(): number {
    return this.#bytes;
  }

  /** After this, messages of before are not good for acknowledging. */
  beginEpoch(): void {
    this.#epoch += 1;
  }

  /** Returns false when the sequence is known already. Sequences must come in rising order, but for those already known. */
  open(sequence: number, message: M, bytes: number): boolean {
    const known = this.#entries.get(sequence);
    if (known) {
      known.message = message;
      known.epoch = this.#epoch;
      return false;
    }
    this.#entries.set(sequence, { message, epoch: this.#epoch, done: false, bytes });
    this.#bytes += bytes;
    return true;
  }

  done(sequence: number): void {
    const entry = this.#entries.get(sequence);
    if (entry) entry.done = true;
  }

  /** Takes the finished front out of the window; returns the last message of it that can be acknowledged. */
  advance(): M | undefined {
    let last: M | undefined;
    for (const [sequence, entry] of this.#entries) {
      if (!entry.done || entry.epoch !== this.#epoch) break;
      last = entry.message;
      this.#bytes -= entry.bytes;
      this.#entries.delete(sequence);
    }
    return last;
  }
}
