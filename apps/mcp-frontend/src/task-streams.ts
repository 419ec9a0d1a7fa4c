/**
 * `subscriptions/listen` with task ids, which the SDK's own streams do not know: the acknowledgement with those ids that are the caller's,
 * then each of these tasks as it is, then again whenever it has changed, whichever process changed it. What else the same request
 * subscribes to is served here too, in the SDK's frames.
 *
 * A stream stays open until its client closes it, or this replica stops and says so.
 */
import type { ServerResponse } from 'node:http';
import type { JsonObject } from '@callboard/envelope';
import {
  SERVER_INFO_META_KEY,
  SUBSCRIPTION_ID_META_KEY,
  type ServerEvent,
  type ServerEventBus,
} from '@modelcontextprotocol/server';
import type { RequestId } from './answers.js';
import type { Principal } from './call.js';
import { KEEP_ALIVE_MS, SSE_HEADERS, frame } from './event-frames.js';
import type { FaultReporter } from './protocol-errors.js';
import { SERVER_INFO } from './server-factory.js';
import type { Tasks } from './tasks.js';

/** What a stream is asked to tell of. */
export interface TaskFilter {
  taskIds: string[];
  toolsListChanged?: true;
  promptsListChanged?: true;
  resourcesListChanged?: true;
  resourceSubscriptions?: string[];
}

const LISTS = [
  ['toolsListChanged', 'tools_list_changed', 'notifications/tools/list_changed'],
  ['promptsListChanged', 'prompts_list_changed', 'notifications/prompts/list_changed'],
  ['resourcesListChanged', 'resources_list_changed', 'notifications/resources/list_changed'],
] as const;

/** Bytes that may wait for a slow client. It is cut off beyond that, and finds every task as it is when it listens again. */
const MOST_UNSENT_BYTES = 4 * 1024 * 1024;
/** Tasks, and resources, that one stream may name. */
const MOST_NAMES = 64;

/** What a `notifications` parameter with task ids asks for; `undefined` when it is malformed. */
export function readTaskFilter(filter: JsonObject): TaskFilter | undefined {
  const { taskIds, resourceSubscriptions } = filter;
  if (!isNames(taskIds) || (resourceSubscriptions !== undefined && !isNames(resourceSubscriptions))) return undefined;
  const wanted: TaskFilter = { taskIds: [...new Set(taskIds)] };
  for (const [member] of LISTS) {
    if (filter[member] !== undefined && typeof filter[member] !== 'boolean') return undefined;
    if (filter[member] === true) wanted[member] = true;
  }
  if (resourceSubscriptions?.length) wanted.resourceSubscriptions = resourceSubscriptions;
  return wanted;
}

function isNames(value: unknown): value is string[] {
  return Array.isArray(value) && value.length <= MOST_NAMES && value.every((name) => typeof name === 'string');
}

export class TaskStreams {
  readonly #open = new Set<TaskStream>();

  constructor(
    private readonly tasks: Tasks,
    private readonly bus: ServerEventBus,
    private readonly report: FaultReporter,
  ) {}

  open(res: ServerResponse, id: RequestId, filter: TaskFilter, principal: Principal): void {
    const stream = new TaskStream(res, id);
    this.#open.add(stream);
    res.once('close', () => {
      stream.end();
      this.#open.delete(stream);
    });
    this.#serve(stream, filter, principal).catch((error: unknown) => {
      this.report({ errorId: String(id), error });
      res.destroy();
    });
  }

  /** Ends every stream in order. */
  close(): void {
    for (const stream of this.#open) stream.complete();
  }

  async #serve(stream: TaskStream, filter: TaskFilter, principal: Principal): Promise<void> {
    const known = await Promise.all(filter.taskIds.map((taskId) => this.tasks.isKnown(principal, taskId)));
    const taskIds = filter.taskIds.filter((_, at) => known[at]);
    stream.tell('notifications/subscriptions/acknowledged', { notifications: { ...filter, taskIds } });
    stream.onEnd(this.bus.subscribe((event) => tellChange(stream, filter, event)));
    for (const taskId of taskIds) {
      stream.onEnd(this.tasks.follow(principal, taskId, (task) => stream.tell('notifications/tasks', task)));
    }
  }
}

function tellChange(stream: TaskStream, filter: TaskFilter, event: ServerEvent): void {
  if (event.kind === 'resource_updated') {
    const { params, uri } = event;
    if (filter.resourceSubscriptions?.includes(uri)) stream.tell('notifications/resources/updated', { ...params, uri });
    return;
  }
  const list = LISTS.find(([member, kind]) => kind === event.kind && filter[member]);
  if (list) stream.tell(list[2], { ...event.params });
}

/** One open stream: its frames, and what is to be let go of when it ends. */
class TaskStream {
  #ended = false;
  readonly #cleanups: (() => void)[] = [];

  constructor(
    private readonly res: ServerResponse,
    private readonly id: RequestId,
  ) {
    const keepAlive = setInterval(() => this.#write(': keepalive\n\n'), KEEP_ALIVE_MS).unref();
    this.onEnd(() => clearInterval(keepAlive));
  }

  tell(method: string, params: JsonObject): void {
    const _meta = { ...(params._meta as JsonObject | undefined), [SUBSCRIPTION_ID_META_KEY]: this.id };
    this.#write(frame({ jsonrpc: '2.0', method, params: { ...params, _meta } }));
  }

  onEnd(cleanup: () => void): void {
    if (this.#ended) cleanup();
    else this.#cleanups.push(cleanup);
  }

  end(): void {
    this.#ended = true;
    for (const cleanup of this.#cleanups.splice(0)) cleanup();
  }

  complete(): void {
    const _meta = { [SUBSCRIPTION_ID_META_KEY]: this.id, [SERVER_INFO_META_KEY]: SERVER_INFO };
    this.#write(frame({ jsonrpc: '2.0', id: this.id, result: { resultType: 'complete', _meta } }));
    this.end();
    this.res.end();
  }

  #write(text: string): void {
    if (this.#ended || this.res.destroyed) return;
    if (!this.res.headersSent) this.res.writeHead(200, SSE_HEADERS);
    this.res.write(text);
    if (this.res.writableLength > MOST_UNSENT_BYTES) this.res.destroy();
  }
}
