/** How the demo speaks: it tells a step only when what it tells has held. */
import { setTimeout as delay } from 'node:timers/promises';
import { Failure } from '../failure.js';

export const STEP_LIMIT_MS = 20_000;
const POLL_MS = 20;
const LABEL_WIDTH = 12;

export function tell(text: string): void {
  console.log(`\n${text}`);
}

/** Something that was seen, under what is told of it. */
export function show(label: string, what: unknown): void {
  console.log(`    ${label.padEnd(LABEL_WIDTH)}${typeof what === 'string' ? what : JSON.stringify(what)}`);
}

/** @throws Failure when it does not hold */
export function expect(holds: boolean, what: string): void {
  if (!holds) throw new Failure(`the demo failed, for this did not hold: ${what}`);
}

/** @throws Failure when it does not come to hold in time */
export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const limit = Date.now() + STEP_LIMIT_MS;
  while (!(await holds())) {
    if (Date.now() > limit) throw new Failure(`the demo failed: not within ${STEP_LIMIT_MS / 1000} s: ${what}`);
    await delay(POLL_MS);
  }
}
