/**
 * The tasks extension of the 2026 revision, `io.modelcontextprotocol/tasks`. A task is a command that its caller holds by its correlation
 * id: nothing is stored for it but what is stored for the command, so every replica serves it, and it belongs to the principal that made
 * the command. For anybody else it is as unknown as one that never was.
 *
 * What a call would have returned is a completed task, a tool's failure too; what it would have been refused with as a JSON-RPC error is
 * a failed one.
 */
import type { Principal } from '@callboard/access';
import type { JsonObject } from '@callboard/envelope';
import type { CommandClient, Ended, Submission } from '@callboard/jetstream';
import { CLIENT_CAPABILITIES_META_KEY, ProtocolError } from '@modelcontextprotocol/server';
import { toolOf, type Handles, type Held } from './handles.js';
import { RPC } from './protocol-errors.js';
import type { ServerAccess } from './server-access.js';
import { asToolResult, resultMeta, toResult } from './results.js';

export const TASKS_EXTENSION = 'io.modelcontextprotocol/tasks';

/** What a client must declare to be served tasks, in the words of the refusal. */
export const REQUIRES_TASKS = { extensions: { [TASKS_EXTENSION]: {} } };

/** Outcomes are kept for a day at least, and no task is forgotten before its outcome is. */
const TTL_MS = 24 * 3_600_000;
const POLL_INTERVAL_MS = 500;

/** Has the client declared the extension, in this request? */
export function declaresTasks(meta: JsonObject | undefined): boolean {
  const capabilities = meta?.[CLIENT_CAPABILITIES_META_KEY] as { extensions?: JsonObject } | undefined;
  return capabilities?.extensions?.[TASKS_EXTENSION] !== undefined;
}

/** What a call is answered with that has become a task. */
export function createdTask({ correlation_id: taskId, issued_at: createdAt }: Ended, replayed: boolean): JsonObject {
  return { resultType: 'task', ...task(taskId, 'working', createdAt, createdAt), _meta: resultMeta(taskId, replayed) };
}

export type TaskStatus = 'working' | 'input_required' | 'completed' | 'failed' | 'cancelled';

/** A task as `tasks/get` and `notifications/tasks` show it. */
export function detailedTask(taskId: string, held: Held): JsonObject & { status: TaskStatus } {
  if (held.kind === 'open') {
    const { createdAt, accepted, inputs } = held;
    if (Object.keys(inputs).length === 0) return task(taskId, 'working', createdAt, accepted.issued_at);
    return { ...task(taskId, 'input_required', createdAt, accepted.issued_at), inputRequests: inputs };
  }
  const { createdAt, outcome } = held;
  const ended = (status: TaskStatus) => task(taskId, status, createdAt, outcome.ended_at);
  if (outcome.status === 'cancelled') return ended('cancelled');
  try {
    return { ...ended('completed'), result: { ...asToolResult(toResult('tool', outcome)), resultType: 'complete' } };
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    const { code, message, data } = error;
    return { ...ended('failed'), error: { code, message, data } };
  }
}

function task<Status extends TaskStatus>(taskId: string, status: Status, createdAt: string, lastUpdatedAt: string) {
  return { taskId, status, createdAt, lastUpdatedAt, ttlMs: TTL_MS, pollIntervalMs: POLL_INTERVAL_MS };
}

/** What tells of a change can be missed, and nothing tells of an answer: how often it is looked. */
const LOOK_MS = 5_000;
const LOOK_FOR_ANSWERS_MS = 1_000;

export class Tasks {
  constructor(
    private readonly handles: Handles,
    private readonly commands: Pick<CommandClient, 'watch'>,
    private readonly access: Pick<ServerAccess, 'checkHandle' | 'readsResult'>,
  ) {}

  /**
   * @throws ProtocolError for a task that there is not, or that belongs to somebody else
   * @throws CallboardError `forbidden`
   */
  async get(principal: Principal, taskId: string): Promise<JsonObject> {
    const held = await this.handles.find(principal, taskId);
    if (!held) throw unknownTask();
    this.access.checkHandle(principal, 'read_result', toolOf(held), taskId);
    return detailedTask(taskId, held);
  }

  /** Answers questions of the task; what it did not ask, or has had answered, is ignored. */
  async update(principal: Principal, taskId: string, responses: JsonObject): Promise<void> {
    await this.get(principal, taskId);
    if (!(await this.handles.answer(principal, taskId, responses))) throw unknownTask();
  }

  /** Resolves when the task has ended, or its runner was told to stop. */
  async cancel(principal: Principal, taskId: string): Promise<void> {
    const check = (tool: string) => this.access.checkHandle(principal, 'cancel', tool, taskId);
    if (!(await this.handles.cancel(principal, taskId, check))) throw unknownTask();
  }

  async isKnown(principal: Principal, taskId: string): Promise<boolean> {
    const held = await this.handles.find(principal, taskId);
    return held !== undefined && this.access.readsResult(principal, toolOf(held));
  }

  /**
   * Tells of a task as it is, and again whenever it has changed, until it has ended. What has not changed is not told twice.
   * @returns what ends it
   */
  follow(principal: Principal, taskId: string, onChange: (task: JsonObject) => void): () => void {
    let told = '';
    let looking = false;
    let again = false;
    let stopped = false;
    let timer: NodeJS.Timeout | undefined;
    let watched: Submission | undefined;
    const stop = () => {
      stopped = true;
      clearTimeout(timer);
      watched?.release();
    };
    const look = async () => {
      const held = await this.handles.find(principal, taskId).catch(() => 'away' as const);
      if (stopped) return;
      if (held === 'away') return void (timer = setTimeout(bell, LOOK_FOR_ANSWERS_MS));
      if (!held || !this.access.readsResult(principal, toolOf(held))) return stop();
      const task = detailedTask(taskId, held);
      const text = JSON.stringify(task);
      if (text !== told) onChange(task);
      told = text;
      if (held.kind === 'ended') return stop();
      timer = setTimeout(bell, task.status === 'input_required' ? LOOK_FOR_ANSWERS_MS : LOOK_MS);
      if (watched?.correlationId === held.accepted.correlation_id) return;
      watched?.release();
      watched = this.commands.watch(held.accepted, { onInput: bell });
      watched.outcome.then(bell, () => undefined);
    };
    const bell = () => {
      if (stopped) return;
      again = looking;
      if (looking) return;
      looking = true;
      clearTimeout(timer);
      void look().finally(() => {
        looking = false;
        if (again) bell();
      });
    };
    bell();
    return stop;
  }
}

function unknownTask(): ProtocolError {
  return new ProtocolError(RPC.invalidParams, 'Unknown task');
}
