/**
 * The records of 2025-era sessions, in the key-value bucket MCP_SESSIONS: what any replica must know to serve a session.
 *
 * The record decides, not a process: a session exists exactly while its record does (S1), so a DELETE anywhere ends it everywhere.
 * It belongs to one principal and one MCP server; for every other it does not exist (S2). It lives for `ttlMs` after its last use (S3). Every change is
 * compare-and-set, so a change cannot undo another, and none can bring back a session that was ended.
 */
import { randomBytes } from 'node:crypto';
import type { Identity, Principal } from '@callboard/access';
import { CallboardError, type LogLevel } from '@callboard/envelope';
import { BUCKET, KeyValueStore } from '@callboard/jetstream';
import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { patiently } from './event-log.js';
import type { ReplicaId } from './replicas.js';

export interface SessionRecord {
  principal: Identity;
  /** The MCP server that it is of; absent for the one at `/mcp`. */
  server?: string;
  /** The request that began the session, which every server that serves it is given first. */
  initialize: { jsonrpc: '2.0'; id: string | number; method: string; params?: Record<string, unknown> };
  protocol_version: string;
  created_at: string;
  /** Time of the last use that was noted, in milliseconds. */
  used_at: number;
  log_level?: LogLevel;
  subscriptions: string[];
  /** Of each subscribed resource of events: what came up to this sequence came before the subscription. */
  events_since?: Record<string, number>;
  /** The stream that a GET without Last-Event-ID opens: at most one at a time. */
  standalone: {
    stream: string;
    /** Everything up to this sequence of SESSIONS was delivered, or is older than the session. */
    position: number;
    /** Where it is open. */
    holder?: ReplicaId;
  };
}

export interface SessionLimits {
  ttlMs: number;
  /** Sessions of all replicas together. */
  maxSessions: number;
}

/** Our session ids; anything else never reaches a subject name. */
const SESSION_ID = /^s_[A-Za-z0-9_-]{32}$/;
const COUNT_FRESH_MS = 1_000;
/** A change that others always overtake is given up: something is wrong then. */
const CHANGE_ATTEMPTS = 20;

export class Session {
  constructor(
    readonly id: string,
    public record: SessionRecord,
    public revision: number,
    /** Whoever makes the request that is served: what a credential allows may change during a session, whose it is may not. */
    readonly principal: Principal,
  ) {}

  /** The name of the MCP server that it is of. */
  get server(): string {
    return this.record.server ?? '';
  }

  /** Can this client read an event without data? It came with 2025-11-25; older clients take it for a broken message. */
  get readsEmptyEvents(): boolean {
    return this.record.protocol_version >= '2025-11-25';
  }
}

export class SessionRecords {
  #counted = { sessions: 0, at: 0 };

  private constructor(
    private readonly store: KeyValueStore,
    private readonly jsm: JetStreamManager,
    private readonly limits: SessionLimits,
  ) {}

  static async open(nc: NatsConnection, limits: SessionLimits): Promise<SessionRecords> {
    const jsm = await jetstreamManager(nc, { checkAPI: false });
    return new SessionRecords(await KeyValueStore.open(nc, BUCKET.sessions), jsm, limits);
  }

  /** @throws CallboardError `overloaded` when there are too many */
  async create(id: string, record: SessionRecord, principal: Principal): Promise<Session> {
    await this.#checkRoom();
    const revision = await this.store.create(keyOf(id), encode(record), { ttlMs: this.limits.ttlMs });
    if (revision === undefined) throw new CallboardError('internal', 'A new session id was in use');
    this.#counted.sessions += 1;
    return new Session(id, record, revision, principal);
  }

  /** The session, if it lives, is of this MCP server and belongs to this principal. */
  async load(id: string, principal: Principal, server: string): Promise<Session | undefined> {
    if (!SESSION_ID.test(id)) return undefined;
    const key = keyOf(id);
    const entry = await patiently(() => this.store.entry(key));
    if (!entry) return undefined;
    const record = JSON.parse(Buffer.from(entry.value).toString()) as SessionRecord;
    const { tenantId, userId } = record.principal;
    if (tenantId !== principal.tenantId || userId !== principal.userId) return undefined;
    if ((record.server ?? '') !== server) return undefined;
    return new Session(id, record, entry.revision, principal);
  }

  /**
   * Changes the record; `change` says whether there is something to change, and may be asked again on a newer record.
   * Returns false when there was not.
   * @throws CallboardError `not_found` when the session was ended
   */
  async change(session: Session, change: (record: SessionRecord) => boolean): Promise<boolean> {
    for (let attempt = 0; attempt < CHANGE_ATTEMPTS; attempt++) {
      const record = structuredClone(session.record);
      if (!change(record)) return false;
      record.used_at = Date.now();
      const options = { ttlMs: this.limits.ttlMs };
      const revision = await this.store.update(keyOf(session.id), encode(record), session.revision, options);
      if (revision !== undefined) {
        session.record = record;
        session.revision = revision;
        return true;
      }
      await this.refresh(session);
    }
    throw new CallboardError('unavailable', 'The session changes too fast', { retryAfterMs: 1_000 });
  }

  /** @throws CallboardError `not_found` when the session was ended */
  async refresh(session: Session): Promise<void> {
    const latest = await this.load(session.id, session.principal, session.server);
    if (!latest) throw new CallboardError('not_found', 'Session not found');
    session.record = latest.record;
    session.revision = latest.revision;
  }

  /** Notes that the session is in use; writes only now and then. */
  async touch(session: Session): Promise<void> {
    const due = (record: SessionRecord) => Date.now() - record.used_at > this.limits.ttlMs / 4;
    if (due(session.record)) await this.change(session, due);
  }

  async remove(session: Session): Promise<void> {
    await this.store.delete(keyOf(session.id));
  }

  /** Expired and ended sessions count for a minute longer, and each replica counts anew only once a second: the limit is not sharp. */
  async #checkRoom(): Promise<void> {
    if (Date.now() - this.#counted.at > COUNT_FRESH_MS) {
      const { state } = await this.jsm.streams.info(`KV_${BUCKET.sessions}`);
      this.#counted = { sessions: state.num_subjects ?? 0, at: Date.now() };
    }
    if (this.#counted.sessions >= this.limits.maxSessions) {
      throw new CallboardError('overloaded', 'There are too many sessions', {
        retryAfterMs: 5_000,
      });
    }
  }
}

export function newSessionId(): string {
  return `s_${randomBytes(24).toString('base64url')}`;
}

/** `r` for the stream of a request, `g` for a session's standalone stream. */
export function newStreamId(kind: 'r' | 'g'): string {
  return `${kind}_${randomBytes(12).toString('base64url')}`;
}

function keyOf(id: string): string {
  return `sessions.${id}`;
}

function encode(record: SessionRecord): Uint8Array {
  return Buffer.from(JSON.stringify(record));
}
