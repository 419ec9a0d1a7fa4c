/**
 * The runs of one step of a scaffolder task. A task is run again after Backstage has restarted (where its template asks for it), and when a
 * person retries it: with the same id, and what steps have noted in their checkpoints is kept.
 *
 * S1  Runs of a step share a key until one of them has reported a failure. Whoever retries then has seen that, and means another try.
 *
 * A checkpoint is written a moment after it is made: a Backstage that dies in that moment has forgotten it. Then a retry reports
 * the old failure once more.
 */
import { createHash } from 'node:crypto';
import type { ActionContext } from '@backstage/plugin-scaffolder-node';

const MAX_KEY_CHARS = 256;

/**
 * How often each step of a task has begun in one run of the task. A step with `each` begins for one thing after the other, in their
 * order, and is not told for which; what all of them share, and no other run has, is the signal.
 */
const begun = new WeakMap<AbortSignal, Map<string, number>>();

export class StepRuns {
  private constructor(
    private readonly context: ActionContext,
    /** Of the things that the step runs for; the first has none in its key. */
    private readonly turn: number,
    /** Begins with 1. */
    readonly round: number,
  ) {}

  /** To be asked once, at the beginning of a run. */
  static async of(context: ActionContext): Promise<StepRuns> {
    const turn = nextTurn(context);
    for (let round = 1; ; round++) {
      const runs = new StepRuns(context, turn, round);
      if (!(await runs.isNoted('failed'))) return runs;
    }
  }

  /** The same for every run of this round, and for nothing else in this Backstage. */
  get key(): string {
    const { task, step } = this.context;
    const key = ['scaffolder', task.id, step?.id ?? '', this.#suffix].join(':');
    return key.length <= MAX_KEY_CHARS ? key : `scaffolder:${createHash('sha256').update(key).digest('base64url')}`;
  }

  /** This round is over: it is about to be reported as failed. */
  failed(): Promise<void> {
    return this.note('failed');
  }

  /** Was this noted by an earlier run of this round? There is no other way to look than to try to note it, and to fail. */
  async isNoted(what: string): Promise<boolean> {
    try {
      return await this.once<boolean>(what, () => Promise.reject(new Error('not noted')));
    } catch {
      return false;
    }
  }

  async note(what: string): Promise<void> {
    await this.once(what, () => Promise.resolve(true));
  }

  /** What the work returned in an earlier run of this round; else it is done, and kept. */
  once<T>(what: string, work: () => Promise<T>): Promise<T> {
    return this.context.checkpoint({ key: `${what}-${this.#suffix}`, fn: work });
  }

  get #suffix(): string {
    return this.turn === 0 ? String(this.round) : `${this.turn}.${this.round}`;
  }
}

function nextTurn({ signal, step }: ActionContext): number {
  if (!signal) return 0;
  const turns = begun.get(signal) ?? new Map<string, number>();
  begun.set(signal, turns);
  const id = step?.id ?? '';
  const turn = turns.get(id) ?? 0;
  turns.set(id, turn + 1);
  return turn;
}
