/**
 * A software template of a Backstage, run as one command: its task is begun, followed until it ends, and cancelled with the command.
 * Backstage's own `execute-template` only begins one. Read `run` top to bottom.
 *
 * Which task it is, is noted before it is followed: a runner that dies, or a Backstage that is away, loses nothing, and whoever runs
 * the command next follows the same task. A runner that dies after Backstage has begun the task and before that is noted leaves the
 * command in doubt, because the scaffolder knows no key by which a task could be found.
 */
import {
  ActionError,
  defineAction,
  type ActionContext,
  type ActionDefinition,
  type ActionReturn,
  type Reconciled,
} from '@callboard/actions';
import type { JsonObject } from '@callboard/envelope';
import { guarded, notDone } from '../endings.js';
import type { Handovers } from '../remote/handovers.js';
import { PATIENT } from './backstage-action.js';
import type { BackstageClient } from './backstage-client.js';
import { bounded } from './refusal.js';
import type { BackstageSite } from './site.js';

/** As `include` and `exclude` name it. */
export const RUN_TEMPLATE = 'scaffolder:run-template';

const TASKS = '/api/scaffolder/v2/tasks';
const ATTRIBUTES = { read_only: false, destructive: true, idempotent: false, open_world: true };
const HARMLESS = { idempotent: true };
/** A command hands its template over once. */
const ROUND = 1;
const DEADLINE_MS = 3_600_000;
const CREATE_TIMEOUT_MS = 30_000;
const CANCEL_TIMEOUT_MS = 10_000;
/** The scaffolder answers after 30 s when nothing happens. */
const EVENTS_TIMEOUT_MS = 45_000;
/** Reasons for which the command is over; a runner that stops leaves the task to the next. */
const OVER = ['cancelled', 'deadline_exceeded'];

interface TaskEvent {
  id: number;
  type: string;
  body: { stepId?: string; status?: string; output?: JsonObject; error?: { message?: unknown } };
}

interface Task {
  status: string;
  spec: { steps: { id: string; name?: string }[] };
}

export function runTemplate(
  site: BackstageSite,
  client: BackstageClient,
  handovers: () => Handovers,
): ActionDefinition {
  const runs = new TemplateRuns(client, handovers);
  return defineAction({
    id: `${site.namespace}.scaffolder.run-template`,
    title: 'Run Template',
    description:
      `Runs a software template of ${client.who} with the values of its parameters, tells each step as progress, and ends when ` +
      'the task has ended: with its outputs, or with why a step has failed. Cancelling the call cancels the task.',
    input: {
      type: 'object',
      properties: {
        template_ref: {
          type: 'string',
          minLength: 1,
          description: 'Entity reference, as in template:default/new-service',
        },
        values: { type: 'object', description: 'Values of the parameters of the template; no secrets' },
      },
      required: ['template_ref'],
      additionalProperties: false,
    },
    output: {
      type: 'object',
      properties: { task_id: { type: 'string' }, status: { type: 'string' }, output: { type: 'object' } },
      required: ['task_id', 'status', 'output'],
    },
    attributes: ATTRIBUTES,
    origin: 'backstage',
    // One that takes an hour would hold up all else that its caller asks for.
    ordering: 'none',
    longRunning: true,
    deadlineMs: site.deadline_ms ?? DEADLINE_MS,
    retry: PATIENT,
    run: guarded(ATTRIBUTES, (args, context) => runs.run(args, context)),
    reconcile: async (_: JsonObject, context: ActionContext): Promise<Reconciled> =>
      // `run` looks before it acts, so it may run again whenever there is something to be found.
      (await runs.noted(context)) === undefined ? 'unknown' : 'not_done',
  });
}

class TemplateRuns {
  constructor(
    private readonly client: BackstageClient,
    private readonly handovers: () => Handovers,
  ) {}

  async run(args: JsonObject, context: ActionContext): Promise<ActionReturn> {
    const { signal } = context;
    const taskId = (context.attempt > 1 ? await this.noted(context) : undefined) ?? (await this.#begin(args, context));
    try {
      signal.throwIfAborted();
      return await this.#follow(taskId, context);
    } catch (error) {
      if (signal.aborted && OVER.includes((signal.reason as { code?: string }).code ?? '')) {
        await this.#cancel(taskId, context);
      }
      throw error;
    }
  }

  /** The task that this command has begun, as far as that is noted. */
  async noted({ command }: ActionContext): Promise<string | undefined> {
    try {
      return (await this.handovers().noted(command, ROUND))?.['task_id'] as string | undefined;
    } catch (error) {
      throw notDone('It cannot be told now whether the template runs already', error);
    }
  }

  /** Not cut short when the command is cancelled: what has begun must be known to be cancelled. */
  async #begin({ template_ref: templateRef, values = {} }: JsonObject, context: ActionContext): Promise<string> {
    context.signal.throwIfAborted();
    const body = { templateRef, values } as JsonObject;
    const within = AbortSignal.timeout(CREATE_TIMEOUT_MS);
    const { id } = (await this.client.post(TASKS, body, ATTRIBUTES, context, within)) as { id: string };
    // For the next owner only; this one knows.
    await this.handovers()
      .store(context.command, ROUND, undefined, { handed_at: new Date().toISOString(), task_id: id })
      .catch(() => undefined);
    return id;
  }

  async #follow(taskId: string, context: ActionContext): Promise<ActionReturn> {
    const path = `${TASKS}/${encodeURIComponent(taskId)}`;
    const read = async () => (await this.client.read(path, context)) as Task;
    const { steps } = (await read()).spec;
    const nameOf = (stepId: string) => steps.find(({ id }) => id === stepId)?.name ?? stepId;
    const done = new Set<string>();
    let failed: string | undefined;
    let after = 0;
    for (;;) {
      const query = `${path}/events?after=${after}`;
      const events = (await this.client.read(query, context, EVENTS_TIMEOUT_MS)) as TaskEvent[];
      for (const { id, type, body } of events) {
        after = Math.max(after, id);
        const { stepId, status } = body;
        if (type === 'completion') return conclude(taskId, (await read()).status, body, failed);
        if (stepId === undefined) continue;
        if (status === 'failed') failed = nameOf(stepId);
        if (status !== 'completed' && status !== 'skipped') continue;
        // A task that Backstage runs again from its beginning tells its first steps again.
        if (done.has(stepId)) continue;
        done.add(stepId);
        context.progress(done.size, steps.length, nameOf(stepId));
      }
    }
  }

  /** Never rejects: the command is over, whatever Backstage says. */
  async #cancel(taskId: string, context: ActionContext): Promise<void> {
    const path = `${TASKS}/${encodeURIComponent(taskId)}/cancel`;
    const within = AbortSignal.timeout(CANCEL_TIMEOUT_MS);
    await this.client.post(path, {}, HARMLESS, context, within).catch(() => undefined);
  }
}

/** @throws ActionError when the task has not completed */
function conclude(taskId: string, status: string, body: TaskEvent['body'], failed: string | undefined): ActionReturn {
  if (status === 'completed') {
    const ended = { task_id: taskId, status, output: body.output ?? {} };
    return { content: [{ type: 'text', text: JSON.stringify(ended) }], structuredContent: ended };
  }
  const { message } = body.error ?? {};
  const why = (typeof message === 'string' && bounded(message)) || `it is ${status}`;
  throw new ActionError(
    `The task ${taskId} has not completed: ${failed === undefined ? '' : `step ${failed}: `}${why}`,
  );
}
