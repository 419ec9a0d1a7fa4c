/**
 * What is called in a run, and what each call is meant to meet: priorities, cancels, short deadlines, failures that pass, that do not
 * and that last until somebody mends their cause. All of it follows from the seed, so that a run can be looked at again.
 */
import type { Priority } from '@callboard/envelope';
import type { Random } from './random.js';

/** The actions of `actions.ts`, and what their definitions say. */
export const POLICY = {
  /** May be repeated. */
  step: { maxAttempts: 3, careful: false, halts: false },
  /** As `step`, and holds its key back after a dead letter. */
  gate: { maxAttempts: 2, careful: false, halts: true },
  /** Must not be repeated, and nobody can tell what became of it. */
  once: { maxAttempts: 1, careful: true, halts: false },
  /** Must not be repeated, and can tell what became of it. */
  told: { maxAttempts: 1, careful: true, halts: false },
} as const;
export type ActionName = keyof typeof POLICY;

/** What a handler does with one command. */
export interface Work {
  /** How long it takes before it acts. */
  ms: number;
  /** Attempts that fail and may be repeated. */
  fail: number;
  /** Fails for good. */
  fatal: boolean;
  /** Fails until its cause is mended, which the operator does before redriving it. */
  broken: boolean;
  /** Does not listen when it is told to stop, and acts late. */
  deaf: boolean;
}

export interface Plan {
  action: ActionName;
  work: Work;
  priority: Priority;
  deadlineMs: number;
  /** How long after it was sent it is cancelled. */
  cancelAfterMs?: number;
}

/** Longer than any repair takes. */
const NO_DEADLINE_MS = 600_000;
const NOTHING_WRONG = { fail: 0, fatal: false, broken: false, deaf: false };

/** The calls of one key, in groups: those of a group are sent at once, the next group when all of it has been answered. */
export function planKey(random: Random, values: number): Plan[][] {
  const groups: Plan[][] = [];
  for (let planned = 0; planned < values;) {
    const size = Math.min(values - planned, random.pick([1, 1, 1, 2, 3]));
    groups.push(Array.from({ length: size }, () => planCall(random)));
    planned += size;
  }
  return groups;
}

function planCall(random: Random): Plan {
  const priority = random.pick<Priority>(['high', 'high', 'normal', 'normal', 'normal', 'low', 'low']);
  return { priority, deadlineMs: NO_DEADLINE_MS, ...planFate(random) };
}

function planFate(random: Random): Pick<Plan, 'action' | 'work'> & Partial<Plan> {
  const soon = () => Math.round(random.between(0, 15));
  /** Long enough to be met half-way by a kill. */
  const whole = () => Math.round(random.between(50, 300));
  const careful = () => random.pick<ActionName>(['once', 'told']);
  const any = () => random.pick<ActionName>(['step', 'once', 'told']);
  const kinds: [share: number, fate: () => Pick<Plan, 'action' | 'work'> & Partial<Plan>][] = [
    [36, () => ({ action: 'step', work: { ...NOTHING_WRONG, ms: soon() } })],
    [18, () => ({ action: careful(), work: { ...NOTHING_WRONG, ms: whole() } })],
    [12, () => ({ action: 'step', work: { ...NOTHING_WRONG, ms: soon(), fail: random.pick([1, 2]) } })],
    [6, () => ({ action: any(), work: { ...NOTHING_WRONG, ms: soon(), fatal: true } })],
    [5, () => ({ action: 'step', work: { ...NOTHING_WRONG, ms: soon(), broken: true } })],
    [5, () => ({ action: 'gate', work: { ...NOTHING_WRONG, ms: soon() } })],
    [3, () => ({ action: 'gate', work: { ...NOTHING_WRONG, ms: soon(), broken: true } })],
    [
      8,
      () => ({
        action: any(),
        work: { ...NOTHING_WRONG, ...random.pick([{ ms: 0 }, { ms: 150 }, { ms: 3_000 }, { ms: 700, deaf: true }]) },
        deadlineMs: Math.round(random.between(100, 500)),
      }),
    ],
    [
      7,
      () => ({
        action: any(),
        work: { ...NOTHING_WRONG, ms: Math.round(random.between(100, 500)), deaf: random.pick([true, false]) },
        cancelAfterMs: Math.round(random.between(0, 400)),
      }),
    ],
  ];
  let drawn = random.between(
    0,
    kinds.reduce((sum, [share]) => sum + share, 0),
  );
  for (const [share, fate] of kinds) {
    drawn -= share;
    if (drawn < 0) return fate();
  }
  return kinds[0]![1]();
}
