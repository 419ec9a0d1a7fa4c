/**
 * What the runner serves in the benches: an action that takes its time and says when it ran, so that the order can be checked from
 * outside, one that takes none, and one that returns a text, to who waits for it or as a task.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { ActionError, ActionSet, defineAction } from '@callboard/actions';
import { z } from 'zod';

/** How long one command takes, here and in the baseline. */
export const WORK_MS = 5;

const REPLY = {
  description: 'Returns the text.',
  input: z.object({ text: z.string() }),
  attributes: { read_only: true, open_world: false },
  run: ({ text }: { text: string }) => text,
};

export const actions = new ActionSet([
  defineAction({
    id: 'bench.work',
    description: `Takes ${WORK_MS} ms and returns when it began and ended.`,
    input: z.object({ n: z.number().int() }),
    attributes: { destructive: false, open_world: false },
    run: async () => {
      const began = performance.now();
      await sleep(WORK_MS);
      return `${began} ${performance.now()}`;
    },
  }),
  defineAction({ id: 'bench.reply', ...REPLY }),
  defineAction({ id: 'bench.task', ...REPLY, task: 'required' }),
  defineAction({
    id: 'bench.noop',
    description: 'Returns its number.',
    input: z.object({ n: z.number().int() }),
    attributes: { destructive: false, open_world: false },
    run: ({ n }) => String(n),
  }),
  defineAction({
    id: 'bench.refuse',
    description: 'Fails, for good.',
    input: z.object({ n: z.number().int() }),
    attributes: { destructive: false, open_world: false },
    run: () => {
      throw new ActionError('refused');
    },
  }),
]);
