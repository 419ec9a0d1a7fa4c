/**
 * `subscriptions/listen` with what the SDK's own streams do not know, because it is the caller's alone: tasks, and events as resources. First
 * the acknowledgement with those that there are, then each of the tasks as it is, then again whenever it has changed, whichever process
 * changed it; and every resource of events that something came for. What else the same request subscribes to is served here too, in the
 * SDK's frames.
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
import { isEventUri, parseEventUri } from './events/event-uri.js';
import { EventWatches, type Reached } from './events/event-watches.js';
import type { FaultReporter } from './protocol-errors.js';
import { SERVER_INFO, type ServerParts } from './server-factory.js';
import type { Tasks } from './tasks.js';
import { untilRead } from './until-read.js';

/** What a stream is asked to tell of. */
export interface ListenFilter {
  taskIds?: string[];
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

/** Does a `notifications` parameter ask for something that the SDK would leave out, or tell to the wrong tenant? */
export function needsOwnStream({ taskIds, resourceSubscriptions }: JsonObject): boolean {
  const hasEvents = Array.isArray(resourceSubscriptions) && resourceSubscriptions.some(isTextOfEvent);
  return taskIds !== undefined || hasEvents;
}

/** What a `notifications` parameter asks for; `undefined` when it is malformed. */
export function readListenFilter(filter: JsonObject): ListenFilter | undefined {
  const { taskIds, resourceSubscriptions } = filter;
  if (taskIds !== undefined && !isNames(taskIds)) return undefined;
  if (resourceSubscriptions !== undefined && !isNames(resourceSubscriptions)) return undefined;
  const wanted: ListenFilter = taskIds ? { taskIds: [...new Set(taskIds)] } : {};
  for (const [member] of LISTS) {
    if (filter[member] !== undefined && typeof filter[member] !== 'boolean') return undefined;
    if (filter[member] === true) wanted[member] = true;
  }
  const uris = resourceSubscriptions?.filter((uri) => !isEventUri(uri) || parseEventUri(uri));
  if (uris?.length) wanted.resourceSubscriptions = [...new Set(uris)];
  return wanted;
}

/** What a stream takes of the limit: each task and each resource of events costs what a stream does. */
export function costOf({ taskIds = [], resourceSubscriptions = [] }: ListenFilter): number {
  return 1 + taskIds.length + resourceSubscriptions.filter(isEventUri).length;
}

function isTextOfEvent(uri: unknown): boolean {
  return typeof uri === 'string' && isEventUri(uri);
}

function isNames(value: unknown): value is string[] {
  return Array.isArray(value) && value.length <= MOST_NAMES && value.every((name) => typeof name === 'string');
}

export class ListenStreams {
  readonly #open = new Set<ListenStream>();

  constructor(
    private readonly tasks: Tasks,
    private readonly events: ServerParts['events'],
    private readonly bus: ServerEventBus,
    private readonly report: FaultReporter,
  ) {}

  open(res: ServerResponse, id: RequestId, filter: ListenFilter, principal: Principal): void {
    const stream = new ListenStream(res, id);
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

  async #serve(stream: ListenStream, filter: ListenFilter, principal: Principal): Promise<void> {
    const { taskIds: asked = [], resourceSubscriptions = [] } = filter;
    const known = await Promise.all(asked.map((taskId) => this.tasks.isKnown(principal, taskId)));
    const taskIds = asked.filter((_, at) => known[at]);
    const acknowledged = { ...filter, ...(filter.taskIds && { taskIds }) };
    stream.tell('notifications/subscriptions/acknowledged', { notifications: acknowledged });
    stream.onEnd(this.bus.subscribe((event) => tellChange(stream, filter, event)));
    const watches = new EventWatches(this.events, principal, stream);
    stream.onEnd(() => watches.close());
    watches.follow(resourceSubscriptions, () => undefined);
    for (const taskId of taskIds) {
      stream.onEnd(this.tasks.follow(principal, taskId, (task) => stream.tell('notifications/tasks', task)));
    }
  }
}

function tellChange(stream: ListenStream, filter: ListenFilter, event: ServerEvent): void {
  if (event.kind === 'resource_updated') {
    const { params, uri } = event;
    if (!isEventUri(uri) && filter.resourceSubscriptions?.includes(uri))
      stream.tell('notifications/resources/updated', { ...params, uri });
    return;
  }
  const list = LISTS.find(([member, kind]) => kind === event.kind && filter[member]);
  if (list) stream.tell(list[2], { ...event.params });
}

/** One open stream: its frames, and what is to be let go of when it ends. */
class ListenStream implements Reached {
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

  updated(uris: string[]): void {
    for (const uri of uris) this.tell('notifications/resources/updated', { uri });
  }

  ready(): Promise<void> {
    return untilRead(this.res);
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
