/**
 * A key whose commands are read from the stream by its own subject, instead of as they come by in the partition. It is so for two
 * reasons: the key has more commands than are kept in memory (a halted or slow key must not fill the partition's window), or
 * an urgent command waits deep in the backlog and the key was pulled forward.
 *
 * Invariant: every command of the key below `next` was put into its line, in order, and none at or above it (B1). What comes by in the
 * partition meanwhile is only noted.
 */
export class KeyBacklog {
  /** Commands of the key from here on are not in its line. */
  next: number;
  /** The last command of the key that is known to be stored. */
  upTo: number;
  /** Read up to here even when the line is long. */
  urgentUpTo = 0;
  reading = false;
  /** Sequences that were put into the line and have not ended, in order. */
  readonly unfinished: number[] = [];

  /** `subjects` matches the stored commands of the key. */
  constructor(
    readonly key: string,
    readonly subjects: string,
    next: number,
  ) {
    this.next = next;
    this.upTo = next - 1;
  }

  /** The lowest sequence of the key that has not ended; `undefined` when all that is known has. */
  get lowest(): number | undefined {
    return this.unfinished[0] ?? (this.upTo >= this.next ? this.next : undefined);
  }

  /** Notes a command of the key that came by. Returns whether it is in the line already. */
  note(sequence: number): boolean {
    if (sequence < this.next) return true;
    this.upTo = Math.max(this.upTo, sequence);
    return false;
  }

  done(sequence: number): void {
    const at = this.unfinished.indexOf(sequence);
    if (at >= 0) this.unfinished.splice(at, 1);
  }
}
