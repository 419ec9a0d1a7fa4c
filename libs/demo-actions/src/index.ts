/**
 * Six small actions that every embedded stack serves: examples of how an action is written, and what tests and demos call.
 * Each shows one thing: a plain answer, waiting that can be interrupted, a side effect that shows every duplicate and every
 * reordering, a question half-way, failure and retry, and progress.
 */
import { mkdirSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ActionError, ActionSet, defineAction, type ActionContext } from '@callboard/actions';
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

/** A side effect: one JSON line for each time that it happened. */
class AppendLog {
  static readonly input = z.object({
    key: z.string().min(1).max(200),
    value: z.union([z.string().max(10_000), z.number()]),
  });
  readonly #file: string;

  constructor(directory: string) {
    mkdirSync(directory, { recursive: true });
    this.#file = join(directory, 'append.log');
  }

  async append({ key, value }: Line, { correlationId, attempt }: ActionContext): Promise<string> {
    const line = { key, value, correlation_id: correlationId, attempt, at: new Date().toISOString() };
    const log = await open(this.#file, 'a');
    try {
      // One write of one line: lines of processes that append at the same time do not mix.
      await log.write(`${JSON.stringify(line)}\n`);
      await log.datasync();
    } finally {
      await log.close();
    }
    return appended({ key, value });
  }

  /** A line cannot be taken back, so it must not be written twice: after a crash the log itself says whether it is there. */
  async reconcile(args: Line, { correlationId }: ActionContext): Promise<'not_done' | { result: string }> {
    const log = await open(this.#file, 'r').catch(() => undefined);
    if (!log) return 'not_done';
    for await (const line of log.readLines()) {
      if (line.includes(correlationId)) return { result: appended(args) };
    }
    return 'not_done';
  }
}

type Line = z.infer<typeof AppendLog.input>;

const appended = ({ key, value }: Line) => `appended ${JSON.stringify(value)} to ${key}`;

function append(log: AppendLog) {
  return defineAction({
    id: 'demo.append',
    title: 'Append',
    description:
      'Appends one line to a log file and syncs it to disk: a side effect that shows every duplicate and every reordering.',
    input: AppendLog.input,
    attributes: { destructive: false, open_world: false },
    ordering: { argument: 'key' },
    reconcile: (args, context) => log.reconcile(args, context),
    run: (args, context) => log.append(args, context),
  });
}

function approve(log: AppendLog) {
  return defineAction({
    id: 'demo.approve',
    title: 'Approve',
    description: 'Asks half-way for approval, and appends one line to the log of demo.append when it is given.',
    input: AppendLog.input,
    attributes: { destructive: false, open_world: false },
    ordering: { argument: 'key' },
    requiresInput: ['elicitation'],
    deadlineMs: 600_000,
    // Until the line is there nothing has happened: an attempt that begins again finds the question asked, and perhaps answered.
    reconcile: (args, context) => log.reconcile(args, context),
    run: async (args, context) => {
      context.progress(1, 2, 'waiting for approval');
      const { approval } = await context.ask({
        approval: {
          method: 'elicitation/create',
          params: {
            message: `Append ${JSON.stringify(args.value)} to ${args.key}?`,
            requestedSchema: {
              type: 'object',
              properties: { approve: { type: 'boolean', title: 'Approve' } },
              required: ['approve'],
            },
          },
        },
      });
      const { action, content } = approval as { action: string; content?: { approve?: boolean } };
      if (action !== 'accept' || content?.approve !== true) return `not approved: nothing is appended to ${args.key}`;
      return log.append(args, context);
    },
  });
}

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

/** `CALLBOARD_DEMO_DIR` says where `demo.append` and `demo.approve` write; without it, a folder `demo` below the current one. */
export function actions(env: NodeJS.ProcessEnv): ActionSet {
  const log = new AppendLog(env['CALLBOARD_DEMO_DIR'] ?? 'demo');
  return new ActionSet([echo, sleepFor, append(log), approve(log), fail(), progress]);
}
