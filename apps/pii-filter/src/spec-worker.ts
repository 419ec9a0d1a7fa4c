/** A thread that does what the event's id says, in place of redacting it. */
import type { Verdict } from './judge-event.js';
import type { RedactionTask } from './redaction-worker.js';

export default function misbehave({ event, begun }: RedactionTask): Verdict | Promise<Verdict> {
  Atomics.store(begun, 0, 1);
  switch (event.attributes.id) {
    case 'loops':
      for (;;);
    case 'eats':
      for (const eaten: number[][] = []; ;) eaten.push(new Array<number>(10_000).fill(Math.random()));
    case 'exits':
      process.exit(3);
    // falls through
    case 'throws':
      throw new Error(`an error that quotes ${Buffer.from(event.data).toString()}`);
    case 'throws later':
      setImmediate(() => {
        throw new Error(`an error that quotes ${Buffer.from(event.data).toString()}`);
      });
      return new Promise<never>(() => undefined);
    default:
      return { ok: true, event, found: {} };
  }
}
