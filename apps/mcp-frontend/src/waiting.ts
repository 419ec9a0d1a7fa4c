import type { Outcome, Progress } from '@callboard/envelope';
import type { OpenInputs, Submission, SubmitOptions } from '@callboard/jetstream';

/** How a caller goes: it no longer wants the result, or it is only cut off from this replica. */
export type Departure = 'cancelled' | 'cut_off';

/** Who waits: hears of progress, and may go away. */
export interface Waiter {
  onProgress?(fact: Progress, sequence: number): void;
  /** Is given what to call, at once or later, when nobody is there any more. */
  onGone?(leave: (how: Departure) => void): void;
}

/** What ends a wait: the end of the command, questions of it, the end of the waiter's patience, or the waiter. */
export type Turn = Outcome | { inputs: OpenInputs } | 'late' | Departure;

/** One wait for a command: `turn` is whatever comes first. Nearly every call is one, so it is one object and one promise. */
export class Waiting implements SubmitOptions {
  readonly onProgress?: (fact: Progress, sequence: number) => void;
  readonly turn: Promise<Turn>;
  /** The command will be let go of: it is accepted as one that outlives its caller. */
  keep = false;
  /** The command begins a saga. */
  saga = false;
  /** Sequence of the last progress that was told. */
  heard: number;
  #settle!: (turn: Turn) => void;
  #fail!: (error: unknown) => void;

  /** @param heard progress up to here was told before: it is not told again */
  constructor(
    private readonly waiter: Waiter,
    heard = 0,
  ) {
    this.heard = heard;
    if (waiter.onProgress) this.onProgress = (fact, sequence) => this.#tell(fact, sequence);
    this.turn = new Promise((resolve, reject) => {
      this.#settle = resolve;
      this.#fail = reject;
    });
  }

  #tell(fact: Progress, sequence: number): void {
    if (sequence <= this.heard) return;
    this.heard = sequence;
    this.waiter.onProgress!(fact, sequence);
  }

  readonly onInput = (inputs: OpenInputs): void => this.#settle({ inputs });

  /** @param patienceMs how long it is worth waiting; 0: not even for what is there already; absent: until something else comes */
  for(submission: Submission, patienceMs?: number): Promise<Turn> {
    this.waiter.onGone?.(this.#settle);
    if (patienceMs === 0) this.#settle('late');
    submission.outcome.then(this.#settle, this.#fail);
    if (patienceMs) {
      const enough = setTimeout(this.#settle, patienceMs, 'late');
      void this.turn.then(
        () => clearTimeout(enough),
        () => clearTimeout(enough),
      );
    }
    return this.turn;
  }
}

export function isOutcome(turn: Turn): turn is Outcome {
  return typeof turn === 'object' && 'status' in turn;
}
