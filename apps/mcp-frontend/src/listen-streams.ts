/**
 * `subscriptions/listen` with what the SDK's own streams do not know, because it is the caller's alone: tasks, and events and sagas as resources. First
 * the acknowledgement with those that there are, then each of the tasks as it is, then again whenever it has changed, whichever process
 * changed it; and every resource of events that something came for, and every saga as it is and whenever it has changed. What else the same request subscribes to is served here too, in the
 * SDK's frames.
 *
 * A stream stays open until its client closes it, or this replica stops and says so.
 */
import type { ServerResponse } from 'node:http';
import type { Principal } from '@callboard/access';
import type { JsonObject } from '@callboard/envelope';
import {
  SERVER_INFO_META_KEY,
  SUBSCRIPTION_ID_META_KEY,
  type Implementation,
  type ServerEvent,
  type ServerEventBus,
} from '@modelcontextprotocol/server';
import type { RequestId } from './answers.js';
import { KEEP_ALIVE_MS, SSE_HEADERS, frame } from './event-frames.js';
import { isEventUri, parseEventUri } from './events/event-uri.js';
import { isOurUri } from './listing.js';
import { ResourceWatches, type Reached } from './resource-watches.js';
import { isSagaUri, sagaIdOf } from './sagas/saga-tools.js';
import type { ServerParts } from './server-factory.js';
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

/** Does a `notifications` parameter ask for something that the SDK would leave out, or tell to whom it is not for? */
export function needsOwnStream({ taskIds, resourceSubscriptions }: JsonObject): boolean {
  const hasResources = Array.isArray(resourceSubscriptions) && resourceSubscriptions.length > 0;
  return taskIds !== undefined || hasResources;
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
  const uris = resourceSubscriptions?.filter(isWellFormed);
  if (uris?.length) wanted.resourceSubscriptions = [...new Set(uris)];
  return wanted;
}

/** What a stream takes of the limit: each task and each resource of events or sagas costs what a stream does. */
export function costOf({ taskIds = [], resourceSubscriptions = [] }: ListenFilter): number {
  return 1 + taskIds.length + resourceSubscriptions.filter(isOurUri).length;
}

/** Of those that the front end serves itself; what an action serves, it knows. */
function isWellFormed(uri: string): boolean {
  if (isEventUri(uri)) return parseEventUri(uri) !== undefined;
  return !isSagaUri(uri) || sagaIdOf(uri) !== undefined;
}

function isNames(value: unknown): value is string[] {
  return Array.isArray(value) && value.length <= MOST_NAMES && value.every((name) => typeof name === 'string');
}

export class ListenStreams {
  readonly #open = new Set<ListenStream>();

  constructor(
    private readonly parts: ServerParts,
    private readonly bus: ServerEventBus,
  ) {}

  open(res: ServerResponse, id: RequestId, filter: ListenFilter, principal: Principal): void {
    const stream = new ListenStream(res, id, this.parts.server.info);
    this.#open.add(stream);
    res.once('close', () => {
      stream.end();
      this.#open.delete(stream);
    });
    this.#serve(stream, filter, principal).catch((error: unknown) => {
      this.parts.report({ errorId: String(id), error });
      res.destroy();
    });
  }

  /** Ends every stream in order. */
  close(): void {
    for (const stream of this.#open) stream.complete();
  }

  /** What a caller may not see is left out of what is acknowledged. */
  #maySubscribe(principal: Principal, uri: string): boolean {
    const { access, events, server } = this.parts;
    if (isEventUri(uri)) return events.maySubscribe(principal, uri);
    const found = server.listing.resource(uri);
    return !found || access.mayRun(principal, found.action);
  }

  async #serve(stream: ListenStream, filter: ListenFilter, principal: Principal): Promise<void> {
    const { tasks, events, sagas, server } = this.parts;
    const { taskIds: asked = [] } = filter;
    const resourceSubscriptions = filter.resourceSubscriptions?.filter(
      (uri) => server.tells(uri) && this.#maySubscribe(principal, uri),
    );
    const known = await Promise.all(asked.map((taskId) => tasks.isKnown(principal, taskId)));
    const taskIds = asked.filter((_, at) => known[at]);
    const acknowledged = {
      ...filter,
      ...(filter.taskIds && { taskIds }),
      ...(resourceSubscriptions && { resourceSubscriptions }),
    };
    stream.tell('notifications/subscriptions/acknowledged', { notifications: acknowledged });
    stream.onEnd(this.bus.subscribe((event) => tellChange(stream, acknowledged, event)));
    const watches = new ResourceWatches(events, sagas, principal, stream);
    stream.onEnd(() => watches.close());
    watches.follow(resourceSubscriptions ?? [], () => undefined);
    for (const taskId of taskIds) {
      stream.onEnd(tasks.follow(principal, taskId, (task) => stream.tell('notifications/tasks', task)));
    }
  }
}

function tellChange(stream: ListenStream, filter: ListenFilter, event: ServerEvent): void {
  if (event.kind === 'resource_updated') {
    const { params, uri } = event;
    if (!isOurUri(uri) && filter.resourceSubscriptions?.includes(uri))
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
    private readonly info: Implementation,
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
    const _meta = { [SUBSCRIPTION_ID_META_KEY]: this.id, [SERVER_INFO_META_KEY]: this.info };
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
