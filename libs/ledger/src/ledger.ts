/**
 * The ledger of a writer: takes messages of the audit stream into the chains of their tenants, each message once.
 *
 * Exactly once. The sequence of a message is stored with its entry, in the transaction that stores the entry, and a table holds a sequence
 * once. Where the ledger is, is asked of the ledger; no other place has to agree with it.
 *
 * One chain, whoever writes. Position and tenant are the primary key, so that there is no second entry at a place: of two writers that are both
 * at work (a network that is parted, a process that was frozen) one gets an error, looks again, and finds that the work is done. The lock that a
 * transaction takes only saves them the errors.
 *
 * A message that is no record, or one of another tenant than its subject says, is an entry too, of no tenant and without its words.
 * Messages that are not in the stream though they must have been are an entry that says which.
 */
import {
  GENESIS,
  NO_TENANT,
  TENANTS_OWN,
  digestOf,
  newKey,
  nextRow,
  openSealed,
  parseRecord,
  readRecord,
  seal,
  subjectOf,
  unwrap,
  writeRecord,
  type AuditDetails,
  type AuditOrigin,
  type AuditRecord,
  type ChainHead,
  type KeptKey,
  type LedgerEntry,
  type LedgerRow,
  type PersonalPart,
  type SealingKey,
} from '@callboard/audit';
import { sqlStateOf, type Database, type Queryable } from './database.js';

/** A message of the audit stream. */
export interface StreamMessage {
  sequence: number;
  subject: string;
  data: Uint8Array;
}

/** Somebody else has written: what was known of the heads is out of date. */
export class Behind extends Error {
  override readonly name = 'Behind';
}

const UNIQUE_VIOLATION = '23505';
/** Heads and keys that are kept in memory; the rest is read when it is needed. */
const MOST_REMEMBERED = 50_000;

export class Ledger {
  readonly #heads = new Map<string, ChainHead>();
  readonly #keys = new Map<string, SealingKey>();
  #last: number | undefined;
  /** Appending and erasing wait for each other. */
  #line: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly db: Database,
    private readonly kek: Uint8Array,
    private readonly origin: AuditOrigin,
  ) {}

  /** The last message of the audit stream that the ledger has. */
  async lastSequence(): Promise<number> {
    return (this.#last ??= await lastSequenceOf(this.db));
  }

  /**
   * Appends the next messages, in order; all of them or none.
   * @throws Behind when another writer was first: what is next is to be asked anew
   */
  append(messages: readonly StreamMessage[]): Promise<LedgerRow[]> {
    return this.#inLine(() => this.#tryAppend(messages));
  }

  async #tryAppend(messages: readonly StreamMessage[]): Promise<LedgerRow[]> {
    try {
      return await this.#append(messages);
    } catch (error) {
      this.#forget();
      throw sqlStateOf(error) === UNIQUE_VIOLATION
        ? new Behind('another writer has appended', { cause: error })
        : error;
    }
  }

  async #append(messages: readonly StreamMessage[]): Promise<LedgerRow[]> {
    const last = await this.lastSequence();
    const rows = await this.db.transaction(async (tx) => {
      await tx.query('SELECT pg_advisory_xact_lock(hashtext($1))', ['callboard ledger']);
      if ((await lastSequenceOf(tx)) !== last) throw new Behind('another writer has appended');
      const rows = await this.#rowsOf(tx, messages, last);
      await insertRows(tx, rows);
      return rows;
    });
    for (const { tenant_id, position, hash } of rows) this.#remember(this.#heads, tenant_id, { position, hash });
    this.#last = rows.at(-1)?.stream_sequence ?? last;
    return rows;
  }

  async #rowsOf(tx: Queryable, messages: readonly StreamMessage[], last: number): Promise<LedgerRow[]> {
    const rows: LedgerRow[] = [];
    const heads = new Map<string, ChainHead>();
    const add = async (record: AuditRecord, sequence: number, digest: string) => {
      const tenantId = record.tenant_id;
      const head = heads.get(tenantId) ?? (await this.#headOf(tx, tenantId));
      const part = seal(await this.#keyOf(tx, tenantId, record.personal.user_id), record);
      const row = nextRow(head, record, part, { sequence, digest });
      heads.set(tenantId, { position: row.position, hash: row.hash });
      rows.push(row);
    };
    let expected = last + 1;
    for (const { sequence, subject, data } of messages) {
      if (sequence > expected) await add(this.#own('gap', { from: expected, to: sequence - 1 }), sequence - 1, GENESIS);
      await add(readRecord(subject, data) ?? this.#own('unreadable', {}), sequence, digestOf(data));
      expected = sequence + 1;
    }
    return rows;
  }

  /** A record of the ledger's own. */
  #own(what: string, details: AuditDetails): AuditRecord {
    return parseRecord(writeRecord({ kind: 'ledger', what, tenantId: NO_TENANT, details }, this.origin).data);
  }

  async #headOf(tx: Queryable, tenantId: string): Promise<ChainHead> {
    const known = this.#heads.get(tenantId);
    if (known) return known;
    const [head] = await tx.query<ChainHead>(
      `SELECT position, hash FROM audit_records WHERE tenant_id = $1
       UNION ALL SELECT position, body::json->>'hash' FROM audit_segments WHERE tenant_id = $1
       ORDER BY position DESC LIMIT 1`,
      [tenantId],
    );
    return head ?? { position: 0, hash: GENESIS };
  }

  /** The key of a person, or of the tenant where there is none; made when there was none yet. */
  async #keyOf(tx: Queryable, tenantId: string, userId: string | undefined): Promise<SealingKey> {
    const own = await this.#key(tx, tenantId, TENANTS_OWN);
    return userId === undefined ? own : this.#key(tx, tenantId, subjectOf(own.key, userId));
  }

  async #key(tx: Queryable, tenantId: string, subject: string): Promise<SealingKey> {
    const name = JSON.stringify([tenantId, subject]);
    const known = this.#keys.get(name);
    if (known) return known;
    const [kept] = await tx.query<KeptKey>('SELECT * FROM audit_keys WHERE tenant_id = $1 AND subject = $2', [
      tenantId,
      subject,
    ]);
    let key: SealingKey;
    if (kept) key = unwrap(this.kek, kept);
    else {
      const made = newKey(this.kek, tenantId, subject);
      const { actor, wrapped } = made.kept;
      await tx.query('INSERT INTO audit_keys (tenant_id, subject, actor, wrapped) VALUES ($1, $2, $3, $4)', [
        tenantId,
        subject,
        actor,
        wrapped,
      ]);
      key = made.opened;
    }
    // Only of use once the transaction is through; one that fails forgets all of them.
    this.#remember(this.#keys, name, key);
    return key;
  }

  /** What a person of the tenant is in the chain; nothing when there is no key of that person. */
  async actorOf(tenantId: string, userId: string): Promise<string | undefined> {
    const keys = await this.db.query<KeptKey>('SELECT * FROM audit_keys WHERE tenant_id = $1 AND subject = $2', [
      tenantId,
      TENANTS_OWN,
    ]);
    if (!keys[0]) return undefined;
    const subject = subjectOf(unwrap(this.kek, keys[0]).key, userId);
    const [kept] = await this.db.query<KeptKey>('SELECT * FROM audit_keys WHERE tenant_id = $1 AND subject = $2', [
      tenantId,
      subject,
    ]);
    return kept?.actor;
  }

  /** The personal part of an entry; nothing when its key was destroyed. */
  async open(entry: LedgerEntry): Promise<PersonalPart | undefined> {
    const [kept] = await this.db.query<KeptKey>('SELECT * FROM audit_keys WHERE tenant_id = $1 AND actor = $2', [
      entry.tenant_id,
      entry.actor ?? '',
    ]);
    if (!kept) return undefined;
    try {
      return openSealed(unwrap(this.kek, kept), entry);
    } catch {
      // It was sealed under a key that there is no more: the tenant's own was made anew since.
      return undefined;
    }
  }

  /**
   * Forgets a person, or a whole tenant: destroys the keys. The chain stays as it is, and can be verified as before. Returns how many keys there were.
   * Whoever erases sees to it that what was said is in the ledger, and no longer in the stream.
   */
  erase(tenantId: string, userId?: string): Promise<number> {
    return this.#inLine(() => this.#erase(tenantId, userId));
  }

  async #erase(tenantId: string, userId: string | undefined): Promise<number> {
    const subject = userId === undefined ? undefined : await this.#subjectIn(tenantId, userId);
    if (userId !== undefined && subject === undefined) return 0;
    const erased = await this.db.query(
      `DELETE FROM audit_keys WHERE tenant_id = $1 ${subject === undefined ? '' : 'AND subject = $2'} RETURNING subject`,
      subject === undefined ? [tenantId] : [tenantId, subject],
    );
    this.#keys.clear();
    return erased.length;
  }

  async #subjectIn(tenantId: string, userId: string): Promise<string | undefined> {
    const [own] = await this.db.query<KeptKey>('SELECT * FROM audit_keys WHERE tenant_id = $1 AND subject = $2', [
      tenantId,
      TENANTS_OWN,
    ]);
    return own && subjectOf(unwrap(this.kek, own).key, userId);
  }

  #inLine<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#line.then(work);
    this.#line = turn.catch(() => undefined);
    return turn;
  }

  #forget(): void {
    this.#heads.clear();
    this.#keys.clear();
    this.#last = undefined;
  }

  #remember<T>(map: Map<string, T>, name: string, value: T): void {
    if (map.size >= MOST_REMEMBERED && !map.has(name)) map.clear();
    map.set(name, value);
  }
}

async function lastSequenceOf(tx: Queryable): Promise<number> {
  const [row] = await tx.query<{ last: number }>(
    `SELECT greatest((SELECT max(stream_sequence) FROM audit_records), (SELECT max(stream_sequence) FROM audit_segments), 0) AS last`,
  );
  return row?.last ?? 0;
}

async function insertRows(tx: Queryable, rows: readonly LedgerRow[]): Promise<void> {
  await tx.query(
    `INSERT INTO audit_records SELECT * FROM json_to_recordset($1::json) AS r(
       tenant_id text, position bigint, stream_sequence bigint, kind text, at text, correlation_id text, actor text, body text, hash text)`,
    [JSON.stringify(rows)],
  );
}
