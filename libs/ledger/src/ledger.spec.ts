/** The ledger in both of its databases: once, in one chain, append-only, and to be forgotten without a break. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import {
  CheckpointSigner,
  LedgerVerifier,
  digestOf,
  writeRecord,
  type AuditFact,
  type LedgerEntry,
  type LedgerRow,
} from '@callboard/audit';
import { startTestPostgres, type TestPostgres } from '@callboard/testing';
import { EmbeddedDatabase, PostgresDatabase, WRITER_ROLE, sqlStateOf, type Database } from './database.js';
import { LedgerReader } from './ledger-reader.js';
import { Behind, Ledger, type StreamMessage } from './ledger.js';
import { LATEST_MIGRATION, migrate, migrationOf } from './migrations.js';
import { dropSealed, sealSegments } from './segments.js';

const KEK = Buffer.alloc(32, 1);
const ORIGIN = { app: 'spec', instance: 'spec-1' };
const SLOW_MS = 180_000;

let sequence = 0;
function message(fact: Partial<AuditFact> = {}): StreamMessage {
  const { subject, data } = writeRecord(
    { kind: 'call', what: 'submitted', tenantId: 'acme', who: { userId: 'jane' }, args: { n: 1 }, ...fact },
    ORIGIN,
  );
  return { sequence: ++sequence, subject, data };
}
const messages = (count: number, fact?: (i: number) => Partial<AuditFact>) =>
  Array.from({ length: count }, (_, i) => message(fact?.(i)));

async function everything(db: Database): Promise<LedgerRow[]> {
  return new LedgerReader(db).rows(undefined, 1_000_000);
}

async function findings(db: Database): Promise<string[]> {
  const verifier = new LedgerVerifier(new CheckpointSigner(Buffer.alloc(32, 2)).publicKey);
  for (const row of await everything(db)) verifier.row(row);
  return verifier.finish().findings.map(({ code }) => code);
}

/** A ledger of its own for each test, and the same database as its owner. */
interface Opened {
  db: Database;
  owner: Database;
  second(): Database;
  close(): Promise<void>;
}

let postgres: TestPostgres;
let folder: string;
let opened: Opened | undefined;
beforeAll(async () => {
  postgres = await startTestPostgres();
  folder = await mkdtemp(join(tmpdir(), 'callboard-ledger-'));
}, SLOW_MS);
afterAll(async () => {
  await postgres.dispose();
  await rm(folder, { recursive: true, force: true });
});
afterEach(async () => {
  await opened?.close();
  opened = undefined;
  sequence = 0;
});

let databases = 0;
async function openPostgres(): Promise<Opened> {
  const admin = new PostgresDatabase(postgres.url);
  const name = `ledger_${++databases}`;
  await admin.query(`CREATE DATABASE ${name}`);
  const url = postgres.url.replace(/postgres$/, name);
  const owner = new PostgresDatabase(url);
  await migrate(owner);
  const db = new PostgresDatabase(url, WRITER_ROLE);
  const others: Database[] = [];
  const second = () => {
    const other = new PostgresDatabase(url, WRITER_ROLE);
    others.push(other);
    return other;
  };
  const close = async () => {
    for (const each of [db, owner, admin, ...others]) await each.close();
  };
  return { db, owner, second, close };
}

async function openEmbedded(): Promise<Opened> {
  const db = await EmbeddedDatabase.open(join(folder, String(++databases)));
  await migrate(db);
  await db.query(`SET ROLE ${WRITER_ROLE}`);
  const owner: Database = {
    query: async (sql, parameters) => {
      await db.query('RESET ROLE');
      try {
        return await db.query(sql, parameters);
      } finally {
        await db.query(`SET ROLE ${WRITER_ROLE}`);
      }
    },
    transaction: (work) => db.transaction(work),
    close: () => Promise.resolve(),
  };
  return { db, owner, second: () => db, close: () => db.close() };
}

describe.each([
  ['PostgreSQL', openPostgres],
  ['PGlite', openEmbedded],
])('a ledger in %s', (name, open) => {
  it('has each message once, in the chain of its tenant', async () => {
    opened = await open();
    const { db } = opened;
    const ledger = new Ledger(db, KEK, ORIGIN);
    const all = messages(50, (i) => ({ tenantId: i % 3 ? 'acme' : 'globex' }));
    await ledger.append(all.slice(0, 20));
    // Whoever was killed between its commit and the next step begins with what the ledger says.
    const next = new Ledger(db, KEK, ORIGIN);
    expect(await next.lastSequence()).toBe(20);
    await next.append(all.slice(20));
    const rows = await everything(db);
    expect(rows.map((row) => row.stream_sequence)).toEqual(all.map((each) => each.sequence));
    expect(await findings(db)).toEqual([]);
  });

  it('says which messages it never got, and has what is no record as an entry without its words', async () => {
    opened = await open();
    const { db } = opened;
    const ledger = new Ledger(db, KEK, ORIGIN);
    const [first, lost, other, ...more] = messages(6);
    const secret = Buffer.from('{"hunter2":');
    const foreign = { ...more[0]!, subject: more[0]!.subject.replace('acme', 'globex') };
    await ledger.append([first!, { ...other!, data: secret }, foreign, ...more.slice(1)]);
    const rows = await everything(db);
    const said = rows.map((row) => (JSON.parse(row.body) as LedgerEntry).what);
    expect(said).toEqual(['submitted', 'gap', 'unreadable', 'unreadable', 'submitted', 'submitted']);
    expect(JSON.parse(rows[1]!.body)).toMatchObject({
      tenant_id: '',
      details: { from: lost!.sequence, to: lost!.sequence },
    });
    expect(JSON.parse(rows[2]!.body)).toMatchObject({ source_digest: digestOf(secret) });
    expect(JSON.stringify(rows)).not.toContain('hunter2');
    expect(await findings(db)).toEqual([]);
  });

  it('is read from its first row on, whatever that is filed under', async () => {
    opened = await open();
    const { db } = opened;
    await new Ledger(db, KEK, ORIGIN).append(messages(2));
    await db.query(
      `INSERT INTO audit_records SELECT 'initech', position, -stream_sequence, kind, at, correlation_id, actor, body, hash FROM audit_records`,
    );
    const reader = new LedgerReader(db);
    const first = await reader.rows(undefined, 3);
    expect(first.map((row) => row.stream_sequence)).toEqual([-2, -1, 1]);
    expect((await reader.rows(-2, 1)).map((row) => row.stream_sequence)).toEqual([-1]);
  });

  it('lets its writer insert and read, and nobody change it, its owner included', async () => {
    opened = await open();
    const { db, owner } = opened;
    await new Ledger(db, KEK, ORIGIN).append(messages(3));
    const changes = [
      `UPDATE audit_records SET what = 'x'`.replace('what', 'kind'),
      'DELETE FROM audit_records',
      'TRUNCATE audit_records',
      `UPDATE audit_checkpoints SET body = ''`,
      `UPDATE audit_keys SET actor = ''`,
    ];
    for (const each of [db, owner]) {
      for (const sql of changes) {
        const refused = each.query(sql).then(
          () => 'done',
          (error: unknown) => sqlStateOf(error),
        );
        expect([sql, await refused]).toEqual([sql, '42501']);
      }
    }
    await expect(db.query('DROP TABLE audit_records')).rejects.toThrow();
    expect((await everything(db)).length).toBe(3);
  });

  it('lets go of entries for which a sealed segment stands, and of no others', async () => {
    opened = await open();
    const { db, owner } = opened;
    const rows = await new Ledger(db, KEK, ORIGIN).append(messages(6));
    const signer = new CheckpointSigner(Buffer.alloc(32, 2));
    const { tenant_id, position, hash, stream_sequence } = rows[3]!;
    const signed = signer.sign({ tenant_id, position, hash, stream_sequence, at: '2026-01-01T00:00:00.000Z' });
    await db.query('INSERT INTO audit_checkpoints VALUES ($1, $2, $3, $4, $5)', [
      ...[tenant_id, position, stream_sequence, signed.body, signed.signature],
    ]);
    await expect(owner.query('DELETE FROM audit_records')).rejects.toThrow('append-only');
    expect(await dropSealed(owner)).toBe(0);
    expect(await sealSegments(db, '2025-12-31T00:00:00.000Z')).toBe(0);
    expect(await sealSegments(db, '2026-01-02T00:00:00.000Z')).toBe(1);
    const verified = async () => {
      const verifier = new LedgerVerifier(signer.publicKey, await new LedgerReader(db).segments());
      verifier.checkpoints([signed], [signed]);
      for (const row of await everything(db)) verifier.row(row);
      return verifier.finish();
    };
    expect(await verified()).toMatchObject({ records: 6, findings: [] });
    await expect(owner.query('DELETE FROM audit_records')).rejects.toThrow('append-only');
    await expect(dropSealed(db)).rejects.toThrow('permission denied');
    expect(await dropSealed(owner)).toBe(4);
    expect(await verified()).toMatchObject({ records: 2, findings: [] });
    // And the chain goes on.
    await new Ledger(db, KEK, ORIGIN).append(messages(1));
    expect((await everything(db)).at(-1)).toMatchObject({ position: 7 });
  });

  it('forgets a person or a tenant by a key, and stays verifiable', async () => {
    opened = await open();
    const { db } = opened;
    const ledger = new Ledger(db, KEK, ORIGIN);
    await ledger.append(
      messages(9, (i) => ({ who: { userId: ['jane', 'joe', 'mo'][i % 3]! }, ...(i === 8 && { tenantId: 'globex' }) })),
    );
    const read = async () => {
      const entries = (await everything(db)).map((row) => JSON.parse(row.body) as LedgerEntry);
      return Promise.all(entries.map(async (entry) => (await ledger.open(entry))?.user_id ?? '-'));
    };
    expect(await read()).toEqual(['jane', 'joe', 'mo', 'jane', 'joe', 'mo', 'jane', 'joe', 'mo']);
    expect(await ledger.erase('acme', 'joe')).toBe(1);
    expect(await ledger.actorOf('acme', 'joe')).toBeUndefined();
    expect(await read()).toEqual(['jane', '-', 'mo', 'jane', '-', 'mo', 'jane', '-', 'mo']);
    expect(await ledger.erase('acme')).toBe(3);
    expect(await read()).toEqual(['-', '-', '-', '-', '-', '-', '-', '-', 'mo']);
    await ledger.append(messages(1));
    expect((await read()).at(-1)).toBe('jane');
    expect(await findings(db)).toEqual([]);
    expect(JSON.stringify(await everything(db))).not.toContain('jane');
  });

  it('is at its latest migration, however often it is migrated', async () => {
    opened = await open();
    const { owner } = opened;
    expect(await migrationOf(owner)).toBe(LATEST_MIGRATION);
    if (name === 'PostgreSQL') await Promise.all([migrate(owner), migrate(owner)]);
    expect(await migrationOf(owner)).toBe(LATEST_MIGRATION);
  });
});

describe('two writers of one ledger', () => {
  it('that write the same at once make one chain: one of them finds that it is behind', async () => {
    opened = await openPostgres();
    const writers = [opened.db, opened.second()].map((db) => new Ledger(db, KEK, ORIGIN));
    const all = messages(200, (i) => ({ tenantId: `t${i % 7}` }));
    let behind = 0;
    await Promise.all(
      writers.map(async (writer) => {
        for (;;) {
          const last = await writer.lastSequence();
          if (last >= all.length) return;
          await writer.append(all.slice(last, last + 10)).catch((error: unknown) => {
            if (!(error instanceof Behind)) throw error;
            behind += 1;
          });
        }
      }),
    );
    expect((await everything(opened.db)).map((row) => row.stream_sequence)).toEqual(all.map((each) => each.sequence));
    expect(await findings(opened.db)).toEqual([]);
    expect(behind).toBeGreaterThan(0);
  });

  it('cannot make a fork, even without the lock that saves them the errors', async () => {
    opened = await openPostgres();
    const [row] = await new Ledger(opened.db, KEK, ORIGIN).append(messages(1));
    const again = opened.db.query(
      `INSERT INTO audit_records SELECT tenant_id, position, stream_sequence + 1, kind, at, correlation_id, actor, 'other', hash
       FROM audit_records WHERE position = $1`,
      [row!.position],
    );
    await expect(again.catch((error: unknown) => Promise.reject(new Error(sqlStateOf(error))))).rejects.toThrow(
      '23505',
    );
  });
});
