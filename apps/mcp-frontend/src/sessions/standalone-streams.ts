/**
 * The streams that clients open with GET to hear what belongs to no request: that a list or a resource changed.
 *
 * A session has one such stream at a time, wherever it is open; the session's record names the replica that holds it. A GET without
 * Last-Event-ID is refused (409) while a living replica holds one that is open. A GET with Last-Event-ID is the same client coming
 * back, so it takes the stream over, and the older connection is closed.
 *
 * The stream has no log of its own: it is the change log, seen from a position (see `change-log.ts`), so an idle session costs a
 * connection and nothing else. A client that comes back without saying where it was goes on where the record says that the stream
 * was closed.
 *
 * Resources of events are told from EVENTS itself: far too much happens there to store it again. The ids of the stream say how far that
 * was told. What is not known then is told once as updated: a client may be told too often, and never too little. So is every saga that a
 * session subscribed to, whenever its stream is opened.
 */
import type { ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { fingerprint } from '@callboard/envelope';
import { type Change, type ChangeLog, type ListKind } from './change-log.js';
import { isOurUri, type Listing } from '../listing.js';
import type { McpServer } from '../mcp-server.js';
import type { ServerParts } from '../server-factory.js';
import { ResourceWatches, type Reached } from '../resource-watches.js';
import { eventId, type StreamPosition } from './exchange.js';
import type { ReplicaId, Replicas } from './replicas.js';
import type { Session, SessionRecord, SessionRecords } from './session-records.js';
import type { SseStream, SseStreams } from './sse-stream.js';

/**
 * A client that is told of a new list asks for it at once, from any replica; this gives the others time to see the change too.
 * It also makes one notification of a burst.
 */
const SETTLE_MS = 100;
const ANNOUNCE_AGAIN_MS = 1_000;

export interface StandaloneParts {
  changes: ChangeLog;
  records: SessionRecords;
  replicas: Replicas;
  streams: SseStreams;
  servers: ReadonlyMap<string, ServerParts>;
  retryMs: number;
  onError: (error: unknown) => void;
}

export class StandaloneStreams {
  readonly #open = new Map<string, StandaloneStream>();
  readonly #stopListening: () => void;

  constructor(private readonly parts: StandaloneParts) {
    this.#stopListening = parts.changes.listen({
      changed: (change) => this.#open.forEach((stream) => stream.tell(change)),
      subscriptionsChanged: (session) => this.#open.get(session)?.refresh(),
    });
  }

  /** Is this session's stream open here? */
  holds(sessionId: string): boolean {
    return this.#open.has(sessionId);
  }

  /** Closes a session's stream here, if it is open. */
  end(sessionId: string): void {
    this.#open.get(sessionId)?.sse.end();
  }

  /**
   * Opens the stream of a session on a response.
   * @param position where the client says that it was
   * @returns false, with the response untouched, when the stream is open already
   */
  async open(session: Session, res: ServerResponse, position?: StreamPosition): Promise<boolean> {
    const { records, replicas, streams, changes } = this.parts;
    const { holder } = session.record.standalone;
    if (position === undefined && holder && (await this.#isOpenAt(session.id, holder))) return false;
    let overtaken = false;
    const take = (record: SessionRecord) => {
      const { holder: now } = record.standalone;
      overtaken = position === undefined && now !== undefined && now.incarnation !== holder?.incarnation;
      if (overtaken) return false;
      record.standalone = { ...record.standalone, holder: replicas.self };
      return true;
    };
    await records.change(session, take);
    // Two came at once: the other was first.
    if (overtaken || (position === undefined && this.holds(session.id))) return false;
    if (holder && !replicas.isSelf(holder)) {
      replicas.ask(holder, { about: 'standalone_end', session: session.id }).catch(this.parts.onError);
    }
    this.end(session.id);

    const sse = streams.open(res, session.id);
    const from = position?.sequence ?? session.record.standalone.position;
    const stream = new StandaloneStream(session, sse, from, position?.events, this.parts);
    this.#open.set(session.id, stream);
    sse.onClose = () => {
      stream.close();
      if (this.#open.get(session.id) === stream) this.#open.delete(session.id);
      void this.#release(session, stream).catch(this.parts.onError);
    };
    if (sse.closed) sse.onClose();
    else stream.start(changes);
    return true;
  }

  /** Closes all streams; resolves when the records say so. */
  async close(): Promise<void> {
    this.#stopListening();
    const open = [...this.#open.values()];
    for (const { sse } of open) sse.end();
    await Promise.all(open.map(({ released }) => released));
  }

  async #isOpenAt(sessionId: string, holder: ReplicaId): Promise<boolean> {
    const { replicas } = this.parts;
    if (replicas.isSelf(holder)) return this.holds(sessionId);
    if (!(await replicas.isAlive(holder))) return false;
    return (await replicas.ask(holder, { about: 'standalone_open', session: sessionId })) ?? false;
  }

  async #release(session: Session, stream: StandaloneStream): Promise<void> {
    const { records, replicas } = this.parts;
    stream.released = records
      .refresh(session)
      .then(() =>
        records.change(session, (record) => {
          const { holder } = record.standalone;
          if (!holder || !replicas.isSelf(holder) || this.holds(session.id)) return false;
          record.standalone = { stream: record.standalone.stream, position: stream.position };
          return true;
        }),
      )
      // The session was ended: there is nothing to release.
      .then(
        () => undefined,
        () => undefined,
      );
    await stream.released;
  }
}

class StandaloneStream implements Reached {
  released: Promise<void> = Promise.resolve();
  /** Changes that came while the record was being read, which says whether the session wants them. */
  #held: Change[] | undefined;
  #reading = 0;
  readonly #settling = new Map<ListKind, number>();
  #settled: NodeJS.Timeout | undefined;
  readonly #watches: ResourceWatches;
  readonly #server: McpServer;

  constructor(
    private readonly session: Session,
    readonly sse: SseStream,
    /** Everything up to here was told. */
    public position: number,
    /** And every event up to here, where that is known. */
    private events: number | undefined,
    private readonly parts: StandaloneParts,
  ) {
    const served = parts.servers.get(session.server)!;
    this.#server = served.server;
    this.#watches = new ResourceWatches(served.events, served.sagas, session.principal, this);
  }

  start(changes: ChangeLog): void {
    const { readsEmptyEvents, record } = this.session;
    if (readsEmptyEvents) this.sse.prime(this.#eventId(this.position), this.parts.retryMs);
    const others = record.subscriptions.filter((uri) => !isOurUri(uri));
    changes.missedSince(this.session.server, this.position, others).forEach((change) => this.tell(change));
    this.#followOurs();
    this.sse.onKeepAlive = () => void this.parts.records.touch(this.session).catch(() => this.sse.end());
  }

  tell(change: Change): void {
    if (this.#held) this.#held.push(change);
    else if (change.sequence <= this.position) return;
    else if (change.kind === 'list') {
      if (change.server !== this.session.server) return;
      this.#settling.set(change.list, change.sequence);
      this.#settled ??= setTimeout(() => this.#tellLists(), SETTLE_MS);
    } else if (this.session.record.subscriptions.includes(change.uri) && this.#server.tells(change.uri)) {
      // In the order of the log: what settles was before this.
      this.#tellLists();
      this.#send(change.sequence, 'resources/updated', { uri: change.uri });
    }
  }

  /** The session has subscribed to something or ended a subscription. */
  refresh(): void {
    this.#held ??= [];
    this.#reading += 1;
    const { session, parts } = this;
    parts.records
      .refresh(session)
      .catch(() => this.sse.end())
      .finally(() => {
        this.#reading -= 1;
        if (this.#reading > 0) return;
        const held = this.#held ?? [];
        this.#held = undefined;
        for (const change of held) this.tell(change);
        this.#followOurs();
      });
  }

  close(): void {
    this.#watches.close();
  }

  ready(): Promise<void> {
    return this.sse.read();
  }

  /** The id of the last one says that all are told. */
  updated(uris: string[], position: number): void {
    for (const [at, uri] of uris.entries()) {
      if (at === uris.length - 1) this.events = position;
      this.#send(this.position, 'resources/updated', { uri });
    }
  }

  #followOurs(): void {
    const { subscriptions, events_since: since = {} } = this.session.record;
    const told = this.events;
    this.#watches.follow(subscriptions, (uri) => Math.max(since[uri] ?? 0, told ?? 0));
  }

  #tellLists(): void {
    clearTimeout(this.#settled);
    this.#settled = undefined;
    const lists = [...this.#settling].sort(([, a], [, b]) => a - b);
    this.#settling.clear();
    for (const [list, sequence] of lists) this.#send(sequence, `${list}/list_changed`);
  }

  #send(sequence: number, what: string, params?: object): void {
    if (this.sse.closed) return;
    const notification = { jsonrpc: '2.0', method: `notifications/${what}`, ...(params && { params }) };
    this.sse.event(this.#eventId(sequence), Buffer.from(JSON.stringify(notification)));
    this.position = sequence;
  }

  #eventId(sequence: number): string {
    return eventId(sequence, this.session.record.standalone.stream, this.events);
  }
}

/** Tells the change log of every new version of a list of an MCP server, from the registry as this replica sees it. Returns a function that ends it. */
export function followLists(
  { server, access }: Pick<ServerParts, 'server' | 'access'>,
  changes: ChangeLog,
  onError: (error: unknown) => void,
): () => void {
  let announcing: Promise<void> = Promise.resolve();
  let latest: { listing: Listing; digest: string } | undefined;
  const announce = async (what: { listing: Listing; digest: string }) => {
    const { listing, digest } = what;
    const { tools, prompts, resources, resourceTemplates } = listing;
    // Until it is stored, or no longer true.
    while (latest === what) {
      try {
        await changes.announce(server.name, 'tools', fingerprint([tools, digest]));
        await changes.announce(server.name, 'prompts', fingerprint([prompts, digest]));
        await changes.announce(server.name, 'resources', fingerprint([resources, resourceTemplates, digest]));
        return;
      } catch (error) {
        onError(error);
        await delay(ANNOUNCE_AGAIN_MS);
      }
    }
  };
  const onChange = () => {
    // Who is shown what of it, policies say.
    const what = { listing: server.listing, digest: access.digest };
    latest = what;
    // One after the other: an older list must not overtake a newer one.
    announcing = announcing.then(() => announce(what));
  };
  onChange();
  const unfollow = [server.onChange(onChange), access.onChange(onChange)];
  return () => {
    latest = undefined;
    for (const end of unfollow) end();
  };
}
