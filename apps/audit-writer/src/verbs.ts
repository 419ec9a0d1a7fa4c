/**
 * What an operator may ask, at `ctl.audit-writer.<verb>`, and others for one tenant, at `ctl.audit-writer.search.<tenant>`; see `LedgerControl`. Pages
 * are as long as a message allows.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type {
  Audit,
  AuditDetails,
  AuditFact,
  CheckpointKey,
  LedgerEntry,
  LedgerRow,
  OpenedEntry,
} from '@callboard/audit';
import {
  AUDIT_VERBS,
  LEDGER_QUEUE,
  RequestAnswers,
  STREAM,
  TENANT_SEARCHES,
  fitting,
  ledgerRequestOf,
  type LedgerAnswer,
  type LedgerQuery,
  type LedgerVerb,
  type LedgerVerbs,
} from '@callboard/jetstream';
import {
  EmbeddedDatabase,
  dropSealed,
  sealSegments,
  type Database,
  type Ledger,
  type LedgerReader,
} from '@callboard/ledger';
import type { JetStreamManager } from '@nats-io/jetstream';
import type { Msg, NatsConnection } from '@nats-io/transport-node';
import type { Feed } from './feed.js';

type Answers = { [V in LedgerVerb]: (asked: LedgerVerbs[V]['asked']) => Promise<LedgerVerbs[V]['answered']> };

const MOST_ROWS = 2_000;
/** Of an answer's JSON: a message of NATS has a megabyte at most. */
const MOST_BYTES = 900_000;
const CATCH_UP_MS = 30_000;
const POLL_MS = 20;
const FILTERS = ['tenant', 'kind', 'correlation_id', 'actor', 'since', 'until'] as const;

/** The request is none. */
class Refused extends Error {}

export class Verbs {
  readonly #answers: Answers = {
    rows: async ({ after, limit }) => fitting(await this.reader.rows(sequence(after), bounded(limit)), MOST_BYTES),
    checkpoints: async ({ after, limit }) =>
      fitting(await this.reader.checkpoints(sequence(after), bounded(limit)), MOST_BYTES),
    segments: () => this.reader.segments(),
    seal: (asked) => this.#seal(asked),
    drop: (asked) => this.#drop(asked),
    search: (asked) => this.#search(asked),
    erase: (asked) => this.#erase(asked),
    status: async () => ({
      public_key: this.key.text,
      written: await this.ledger.lastSequence(),
      stream: (await this.jsm.streams.info(STREAM.audit)).state.last_seq,
      anchored: this.feed.anchored,
    }),
  };
  readonly #requests: readonly RequestAnswers[];

  constructor(
    nc: NatsConnection,
    private readonly jsm: JetStreamManager,
    private readonly db: Database,
    private readonly ledger: Ledger,
    private readonly reader: LedgerReader,
    private readonly feed: Feed,
    private readonly key: CheckpointKey,
    private readonly audit: Audit,
    private readonly onError: (error: unknown) => void,
  ) {
    this.#requests = [AUDIT_VERBS, TENANT_SEARCHES].map(
      (subject) => new RequestAnswers(nc, subject, LEDGER_QUEUE, (message) => this.#answer(message)),
    );
  }

  /** Takes no more requests; resolves when those of before are answered. */
  async stop(): Promise<void> {
    await Promise.all(this.#requests.map((requests) => requests.stop()));
  }

  async #answer(message: Msg): Promise<void> {
    let answer: LedgerAnswer<LedgerVerb>;
    try {
      const { verb, tenantId } = ledgerRequestOf(message.subject);
      if (!Object.hasOwn(this.#answers, verb)) throw new Refused('There is no such verb');
      // Whatever the request says of it: the subject is what NATS has let through.
      const asked = tenantId === undefined ? parse(message) : { ...parse(message), tenant: tenantId };
      answer = { ok: true, answer: await this.#answers[verb as LedgerVerb](asked as never) };
    } catch (error) {
      const refused = error instanceof Refused;
      if (!refused) this.onError(error);
      answer = refused
        ? { ok: false, code: 'invalid_request', message: error.message }
        : { ok: false, code: 'unavailable', message: 'The audit writer could not do it now: see its log' };
    }
    message.respond(JSON.stringify(answer));
  }

  /** That somebody looks is on record before he sees anything. */
  async #search({ by, user, ...asked }: LedgerVerbs['search']['asked']): Promise<OpenedEntry[]> {
    const query: LedgerQuery = { limit: Math.min(bounded(asked.limit), 500) };
    for (const name of FILTERS) if (asked[name] !== undefined) query[name] = text(asked[name]);
    if (asked.after !== undefined) query.after = number(asked.after);
    if (asked.before !== undefined) query.before = number(asked.before);
    await this.audit.record({
      kind: 'operator',
      what: 'audit_read',
      tenantId: query.tenant ?? '',
      who: { userId: text(by) },
      ...(user !== undefined && { target: text(user) }),
      details: { filters: FILTERS.filter((name) => query[name] !== undefined) },
    });
    if (user !== undefined) {
      if (query.tenant === undefined) throw new Refused('A user is one of a tenant: name the tenant');
      const actor = await this.ledger.actorOf(query.tenant, text(user));
      if (actor === undefined) return [];
      query.actor = actor;
    }
    const rows = await this.reader.search(query);
    return fitting(await Promise.all(rows.map((row) => this.#open(row))), MOST_BYTES);
  }

  async #open(row: LedgerRow): Promise<OpenedEntry> {
    const entry = JSON.parse(row.body) as LedgerEntry;
    const { sealed: _sealed, ...open } = entry;
    const personal = await this.ledger.open(entry);
    return { ...open, hash: row.hash, ...(personal && { personal }) };
  }

  async #seal({ before, by }: LedgerVerbs['seal']['asked']): Promise<{ tenants: number }> {
    if (Number.isNaN(Date.parse(text(before)))) throw new Refused('What is sealed is older than a time');
    await this.audit.record(operatorFact('seal', by, { before }));
    return { tenants: await sealSegments(this.db, new Date(before).toISOString()) };
  }

  async #drop({ by }: LedgerVerbs['drop']['asked']): Promise<{ entries: number }> {
    const { db } = this;
    if (!(db instanceof EmbeddedDatabase)) {
      throw new Refused('The tables have another owner: drop with --database-url, as the owner');
    }
    await this.audit.record(operatorFact('drop', by, {}));
    return { entries: await db.asOwner(dropSealed) };
  }

  /**
   * On record first, and in the ledger; then out of the stream; the keys last. Cut short, it can be asked again.
   */
  async #erase({ tenant, user, by }: LedgerVerbs['erase']['asked']): Promise<{ keys: number }> {
    await this.audit.record(
      operatorFact('erase', by, { tenant: text(tenant), what: user === undefined ? 'tenant' : 'person' }),
    );
    const { last_seq } = (await this.jsm.streams.info(STREAM.audit)).state;
    const until = Date.now() + CATCH_UP_MS;
    while ((await this.ledger.lastSequence()) < last_seq) {
      if (Date.now() > until) throw new Error('the ledger is behind the stream: nothing was erased');
      await delay(POLL_MS);
    }
    await this.feed.vouch(true);
    return { keys: await this.ledger.erase(tenant, user === undefined ? undefined : text(user)) };
  }
}

function operatorFact(what: string, by: unknown, details: AuditDetails): AuditFact {
  return { kind: 'operator', what, tenantId: '', who: { userId: text(by) }, details };
}

function parse(message: Msg): Record<string, unknown> {
  try {
    const asked: unknown = message.json();
    if (asked !== null && typeof asked === 'object') return asked as Record<string, unknown>;
  } catch {
    // Said below.
  }
  throw new Refused('The request is no JSON object');
}

function number(value: unknown): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw new Refused('A sequence and a limit are whole numbers');
}

/** What somebody has put into the tables may be filed under any number. */
function sequence(value: unknown): number | undefined {
  if (value === undefined || Number.isSafeInteger(value)) return value as number | undefined;
  throw new Refused('A sequence is a whole number');
}

function bounded(limit: unknown): number {
  return Math.min(Math.max(number(limit), 1), MOST_ROWS);
}

function text(value: unknown): string {
  if (typeof value === 'string' && value.length <= 1_024) return value;
  throw new Refused('A filter is a text');
}
