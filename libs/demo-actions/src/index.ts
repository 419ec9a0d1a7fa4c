/**
 * Five small actions that every embedded stack serves: examples of how an action is written, and what tests and demos call.
 * Each shows one thing: a plain answer, waiting that can be interrupted, a side effect that shows every duplicate and every
 * reordering, failure and retry, and progress.
 */
import { mkdirSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ActionError, ActionSet, defineAction } from '@callboard/actions';
import { z } from 'zod';

const echo = defineAction({
  id: 'demo.echo',
  title: 'Echo',
  description: 'Returns the text.',
  input: z.object({ text: z.string().max(100_000) }),
  attributes: { read_only: true, open_world: false },
  run: ({ text }) => text,
});

const sleepFor = defineAction({
  id: 'demo.sleep',
  title: 'Sleep',
  description: 'Waits for the given time, unless the command is cancelled or its deadline passes.',
  input: z.object({ ms: z.number().int().min(0).max(3_600_000) }),
  attributes: { read_only: true, open_world: false },
  deadlineMs: 300_000,
  run: async ({ ms }, { signal }) => {
    const from = Date.now();
    await sleep(ms, undefined, { signal });
    return `slept ${Date.now() - from} ms`;
  },
});

function append(directory: string) {
  mkdirSync(directory, { recursive: true });
  const file = join(directory, 'append.log');
  return defineAction({
    id: 'demo.append',
    title: 'Append',
    description:
      'Appends one line to a log file and syncs it to disk: a side effect that shows every duplicate and every reordering.',
    input: z.object({ key: z.string().min(1).max(200), value: z.union([z.string().max(10_000), z.number()]) }),
    attributes: { destructive: false, open_world: false },
    ordering: { argument: 'key' },
    // A line cannot be taken back, so it must not be written twice: after a crash the log itself says whether it is there.
    reconcile: async ({ key, value }, { correlationId }) => {
      const log = await open(file, 'r').catch(() => undefined);
      if (!log) return 'not_done';
      for await (const line of log.readLines()) {
        if (line.includes(correlationId)) return { result: appended(key, value) };
      }
      return 'not_done';
    },
    run: async ({ key, value }, { correlationId, attempt }) => {
      const line = { key, value, correlation_id: correlationId, attempt, at: new Date().toISOString() };
      const log = await open(file, 'a');
      try {
        // One write of one line: lines of processes that append at the same time do not mix.
        await log.write(`${JSON.stringify(line)}\n`);
        await log.datasync();
      } finally {
        await log.close();
      }
      return appended(key, value);
    },
  });
}

const appended = (key: string, value: string | number) => `appended ${JSON.stringify(value)} to ${key}`;

const MAX_REMEMBERED = 10_000;

function fail() {
  // How often each id has failed. The oldest is forgotten first: a demo must not fill the memory.
  const failed = new Map<string, number>();
  return defineAction({
    id: 'demo.fail',
    title: 'Fail',
    description: 'Fails the first attempts for an id, then succeeds.',
    input: z.object({
      id: z.string().min(1).max(200),
      times: z.number().int().min(0).max(100),
      retryable: z.boolean(),
    }),
    attributes: { destructive: false, idempotent: true, open_world: false },
    run: ({ id, times, retryable }, { attempt }) => {
      const before = failed.get(id) ?? 0;
      if (before >= times) return `succeeded at attempt ${attempt}`;
      failed.delete(id);
      failed.set(id, before + 1);
      if (failed.size > MAX_REMEMBERED) failed.delete(failed.keys().next().value!);
      throw new ActionError(`failure ${before + 1} of ${times}`, { retryable });
    },
  });
}

const progress = defineAction({
  id: 'demo.progress',
  title: 'Progress',
  description: 'Reports progress at every step, then returns.',
  input: z.object({ steps: z.number().int().min(1).max(1_000), interval_ms: z.number().int().min(0).max(60_000) }),
  attributes: { read_only: true, open_world: false },
  deadlineMs: 300_000,
  run: async ({ steps, interval_ms }, context) => {
    for (let step = 1; step <= steps; step++) {
      await sleep(interval_ms, undefined, { signal: context.signal });
      context.progress(step, steps, `step ${step} of ${steps}`);
    }
    return `${steps} steps done`;
  },
});

/** `CALLBOARD_DEMO_DIR` says where `demo.append` writes; without it, a folder `demo` below the current one. */
export function actions(env: NodeJS.ProcessEnv): ActionSet {
  return new ActionSet([echo, sleepFor, append(env['CALLBOARD_DEMO_DIR'] ?? 'demo'), fail(), progress]);
}
