/**
 * What changed, for the standalone streams of all sessions: lists of tools, prompts and resources of each MCP server, and single
 * resources.
 *
 * A change is stored once for all sessions, at `mcp.changed.<kind>` (that of a list of a named server at `mcp.changed.<kind>.<server>`), and merged into each session's stream by its sequence in
 * SESSIONS. So a client that comes back with the sequence it got last, to any replica, misses nothing (C1): it is told the latest
 * change of each kind after that. Changes of one kind are hints to look again, so only the latest is told.
 *
 * A change of a list is stored by whichever replica is first: each compares what it sees with the version stored last, which also
 * finds what changed while no replica was there. What the log no longer holds (an hour) is told as if it had changed.
 *
 * That a session has subscribed to a resource is told here too, so that the replica with its stream learns of it before any later
 * change.
 */
import { createHash } from 'node:crypto';
import { PublishRefused } from '@callboard/jetstream';
import { readJson, type EventLog, type Follower, type StoredEvent } from './event-log.js';

export const LIST_KINDS = ['tools', 'prompts', 'resources'] as const;
export type ListKind = (typeof LIST_KINDS)[number];

/** Something to look at again. */
export type Change =
  | { kind: 'list'; server: string; list: ListKind; sequence: number }
  | { kind: 'resource'; uri: string; sequence: number };

export interface ChangeListener {
  changed(change: Change): void;
  /** A session has subscribed to a resource, or ended that. */
  subscriptionsChanged(session: string): void;
}

/** Resources whose last change is remembered; older ones are told as changed to who missed that much. */
const MAX_RESOURCES = 10_000;
const STORE_TIMEOUT_MS = 10_000;

export class ChangeLog {
  /** By the subject of their changes. */
  readonly #lists = new Map<string, { version: string; sequence: number }>();
  readonly #resources = new Map<string, number>();
  /** Changes of resources before this are not known. */
  #resourcesKnownFrom: number;
  /** Everything up to here was heard of. */
  #position: number;
  #following: Follower | undefined;
  readonly #listeners = new Set<ChangeListener>();

  private constructor(
    private readonly log: EventLog,
    position: number,
  ) {
    this.#position = position;
    this.#resourcesKnownFrom = position;
  }

  /** @param servers the names of the MCP servers whose lists are followed */
  static async start(log: EventLog, servers: Iterable<string>): Promise<ChangeLog> {
    const changes = new ChangeLog(log, await log.position());
    for (const server of servers) {
      for (const list of LIST_KINDS) {
        const subject = listSubject(server, list);
        const last = await log.last(subject);
        if (last) changes.#lists.set(subject, { version: versionOf(last), sequence: last.sequence });
      }
    }
    changes.#following = log.follow('mcp.changed.>', changes.#position, (event) => changes.#hear(event));
    return changes;
  }

  stop(): void {
    this.#following?.stop();
  }

  get position(): number {
    return this.#position;
  }

  listen(listener: ChangeListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** What a stream of a server's session has missed that was told everything up to `position`, oldest first. */
  missedSince(server: string, position: number, subscriptions: Iterable<string>): Change[] {
    const missed: Change[] = [];
    for (const list of LIST_KINDS) {
      const sequence = this.#lists.get(listSubject(server, list))?.sequence ?? 0;
      if (sequence > position) missed.push({ kind: 'list', server, list, sequence });
    }
    for (const uri of subscriptions) {
      const sequence = this.#resources.get(uri) ?? (position < this.#resourcesKnownFrom ? this.#position : 0);
      if (sequence > position) missed.push({ kind: 'resource', uri, sequence });
    }
    return missed.sort((a, b) => a.sequence - b.sequence);
  }

  /** Stores that a list has this version now, unless that is what was stored last. */
  async announce(server: string, list: ListKind, version: string): Promise<void> {
    const subject = listSubject(server, list);
    for (;;) {
      const last = this.#lists.get(subject);
      if (last?.version === version) return;
      const data = Buffer.from(JSON.stringify({ version }));
      const stored = await this.#store(subject, data, last?.sequence ?? 0);
      this.#lists.set(subject, { version: versionOf(stored), sequence: stored.sequence });
      // Another replica was first: with the same version, usually.
      if (stored.ours) return;
    }
  }

  async resourceChanged(uri: string): Promise<void> {
    await this.#storeLatest(`mcp.changed.resource.${createHash('sha256').update(uri).digest('base64url')}`, { uri });
  }

  async subscriptionsChanged(session: string): Promise<void> {
    await this.#storeLatest(`mcp.changed.subscriptions.${session}`, { session });
  }

  #hear(event: StoredEvent): void {
    const { sequence, subject } = event;
    const [, , kind, name = ''] = subject.split('.');
    if (kind === 'resource') {
      const { uri } = readJson<{ uri: string }>(event);
      this.#remember(uri, sequence);
      this.#tell({ kind, uri, sequence });
    } else if (kind === 'subscriptions') {
      for (const listener of this.#listeners) listener.subscriptionsChanged(name);
    } else {
      if (sequence >= (this.#lists.get(subject)?.sequence ?? 0)) {
        this.#lists.set(subject, { version: versionOf(event), sequence });
      }
      this.#tell({ kind: 'list', server: name, list: kind as ListKind, sequence });
    }
    this.#position = sequence;
  }

  #remember(uri: string, sequence: number): void {
    this.#resources.delete(uri);
    this.#resources.set(uri, sequence);
    if (this.#resources.size <= MAX_RESOURCES) return;
    const [oldest, forgotten] = this.#resources.entries().next().value!;
    this.#resources.delete(oldest);
    this.#resourcesKnownFrom = Math.max(this.#resourcesKnownFrom, forgotten);
  }

  #tell(change: Change): void {
    for (const listener of this.#listeners) listener.changed(change);
  }

  async #storeLatest(subject: string, value: object): Promise<void> {
    const last = await this.log.last(subject);
    // Refused when another replica has stored the same since then, which says it as well.
    await this.#store(subject, Buffer.from(JSON.stringify(value)), last?.sequence ?? 0);
  }

  async #store(subject: string, data: Uint8Array, after: number): Promise<StoredEvent & { ours: boolean }> {
    for (;;) {
      try {
        return await this.log.store(subject, data, { after, timeoutMs: STORE_TIMEOUT_MS });
      } catch (error) {
        // The last message of the subject was dropped for its age: nothing is expected there now.
        if (!(error instanceof PublishRefused) || after === 0) throw error;
        after = 0;
      }
    }
  }
}

function listSubject(server: string, list: ListKind): string {
  return server === '' ? `mcp.changed.${list}` : `mcp.changed.${list}.${server}`;
}

function versionOf(event: StoredEvent): string {
  return readJson<{ version: string }>(event).version;
}
