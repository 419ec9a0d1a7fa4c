/** Tools that take long, fail late or ask half-way: what the suite asks of a server with the tasks extension. */
import { setTimeout as sleep } from 'node:timers/promises';
import {
  ActionError,
  defineAction,
  inputRequired,
  type ActionContext,
  type ActionDefinition,
} from '@callboard/actions';
import { z } from 'zod';
import { accepted, elicit } from './input-rounds.js';

/** Long enough that nobody waits for the result. */
const LATE_MS = 1_500;
const JSONRPC_INTERNAL_ERROR = -32603;

const pause = (context: ActionContext, ms: number) => sleep(ms, undefined, { signal: context.signal });
const string = { type: 'string' };
const boolean = { type: 'boolean' };

function job(id: string, description: string, run: (context: ActionContext) => Promise<string>): ActionDefinition {
  return defineAction({
    id,
    description,
    input: z.object({}),
    attributes: { read_only: true },
    task: 'required',
    run: (_, context) => run(context),
  });
}

export const tasks: ActionDefinition[] = [
  defineAction({
    id: 'greet',
    description: 'Greets at once',
    input: z.object({ name: z.string() }),
    attributes: { read_only: true },
    run: ({ name }) => `Hello, ${name}!`,
  }),

  defineAction({
    id: 'slow_compute',
    description: 'Takes as many seconds as it is told to',
    input: z.object({ seconds: z.number().min(0).max(600), label: z.string().optional() }),
    attributes: { read_only: true },
    deadlineMs: 900_000,
    longRunning: true,
    run: async ({ seconds, label }, context) => {
      await pause(context, seconds * 1_000);
      return `Computed ${label ?? 'it'} in ${seconds} s`;
    },
  }),

  job('failing_job', 'Fails as a tool', () => {
    throw new ActionError('The job failed');
  }),

  job('protocol_error_job', 'Fails as a request', () => {
    throw new ActionError('The job met an internal error', { rpcCode: JSONRPC_INTERNAL_ERROR });
  }),

  defineAction({
    id: 'confirm_delete',
    description: 'Deletes nothing, and asks first',
    input: z.object({ filename: z.string() }),
    task: 'required',
    run: async ({ filename }, context) => {
      const { confirm } = await context.ask({
        confirm: elicit(`Delete ${filename}?`, { confirm: boolean }, ['confirm']),
      });
      const content = confirm?.action === 'accept' ? (confirm.content as { confirm?: boolean } | undefined) : undefined;
      return content?.confirm ? `Deleted ${filename}` : `Kept ${filename}`;
    },
  }),

  job('multi_input', 'Asks two things at once', async (context) => {
    const answers = await context.ask({
      first_name: elicit('What is your first name?', { name: string }, ['name']),
      last_name: elicit('What is your last name?', { name: string }, ['name']),
    });
    const names = Object.values(answers).map(({ content }) => (content as { name?: string } | undefined)?.name ?? '?');
    return `Hello, ${names.join(' ')}!`;
  }),

  defineAction({
    id: 'test_tool_with_task',
    description: 'Asks for a name, then takes long',
    input: z.object({}),
    attributes: { read_only: true },
    run: async (_, context) => {
      const name = accepted(context, 'user_name')?.name;
      if (typeof name !== 'string') {
        return inputRequired({
          inputRequests: { user_name: elicit('What is your name?', { name: string }, ['name']) },
        });
      }
      await pause(context, LATE_MS);
      return `Hello, ${name}!`;
    },
  }),
];
