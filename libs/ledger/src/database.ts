/**
 * The two databases that a ledger can be in, behind the little that it asks of one: a PostgreSQL server, and PGlite, which is PostgreSQL within the
 * process. The SQL and the migrations are the same.
 */
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { PGlite } from '@electric-sql/pglite';
import pg from 'pg';

export interface Queryable {
  query<T>(sql: string, parameters?: readonly unknown[]): Promise<T[]>;
}

export interface Database extends Queryable {
  /** All of it or nothing; rejects when it is nothing, or when that is not known. */
  transaction<T>(work: (tx: Queryable) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

/** What every connection is from the moment on that there is something to protect. */
export const WRITER_ROLE = 'callboard_audit_writer';

/** The code that PostgreSQL has for it, of an error of either database. */
export function sqlStateOf(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | undefined)?.code;
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) ? code : undefined;
}

const CONNECT_TIMEOUT_MS = 10_000;
const STATEMENT_TIMEOUT_MS = 60_000;

/** 64-bit numbers, which a client of PostgreSQL gives as text. The ledger's are sequences and positions: none has more than 53 bits. */
const INT8 = pg.types.builtins.INT8;
const types: pg.CustomTypesConfig = {
  getTypeParser: (type, format) =>
    type === INT8 && format !== 'binary' ? Number : pg.types.getTypeParser(type, format),
};

export class PostgresDatabase implements Database {
  readonly #pool: pg.Pool;

  /** @param role what each connection takes on before it is used */
  constructor(url: string, role?: string) {
    this.#pool = new pg.Pool({
      connectionString: url,
      max: 4,
      types,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      statement_timeout: STATEMENT_TIMEOUT_MS,
      application_name: 'callboard ledger',
      ...(role !== undefined && { options: `-c role=${role}` }),
    });
    // A connection that breaks while nobody uses it is replaced by the pool.
    this.#pool.on('error', () => undefined);
  }

  async query<T>(sql: string, parameters: readonly unknown[] = []): Promise<T[]> {
    return (await this.#pool.query(sql, [...parameters])).rows as T[];
  }

  async transaction<T>(work: (tx: Queryable) => Promise<T>): Promise<T> {
    const client = await this.#pool.connect();
    // A server that goes away tells a client that is in use by an event, too.
    let broken: Error | undefined;
    const onError = (error: Error) => (broken = error);
    client.on('error', onError);
    try {
      await client.query('BEGIN');
      const result = await work({
        query: async (sql, parameters = []) => (await client.query(sql, [...parameters])).rows,
      });
      await client.query('COMMIT');
      return result;
    } catch (error) {
      await client.query('ROLLBACK').catch((failure: Error) => (broken ??= failure));
      throw error;
    } finally {
      client.off('error', onError);
      client.release(broken);
    }
  }

  close(): Promise<void> {
    return this.#pool.end();
  }
}

export class EmbeddedDatabase implements Database {
  private constructor(private readonly db: PGlite) {}

  /** One process at a time has the folder. */
  static async open(folder: string): Promise<EmbeddedDatabase> {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const isNew = (await readFile(join(folder, 'PG_VERSION')).catch(() => undefined)) === undefined;
    const template = isNew ? await readTemplate() : undefined;
    const db = await PGlite.create({ dataDir: folder, ...(template && { loadDataDir: template }) });
    if (isNew && !template) await keepTemplate(db);
    return new EmbeddedDatabase(db);
  }

  async query<T>(sql: string, parameters: readonly unknown[] = []): Promise<T[]> {
    return (await this.db.query<T>(sql, [...parameters])).rows;
  }

  /** As the owner of the tables, who is here: the database belongs to this process. */
  asOwner<T>(work: (tx: Queryable) => Promise<T>): Promise<T> {
    return this.transaction(async (tx) => {
      await tx.query('SET LOCAL ROLE postgres');
      return work(tx);
    });
  }

  transaction<T>(work: (tx: Queryable) => Promise<T>): Promise<T> {
    return this.db.transaction((tx) =>
      work({
        query: async <R>(sql: string, parameters: readonly unknown[] = []) =>
          (await tx.query<R>(sql, [...parameters])).rows,
      }),
    ) as Promise<T>;
  }

  close(): Promise<void> {
    return this.db.close();
  }
}

/** A new database takes seconds to make and as many hundred megabytes; a copy of an empty one takes neither. */
const TEMPLATE = join(
  process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'),
  'callboard/pglite',
  `empty-${process.versions.node.split('.', 1)[0]}-0.5.17.tar.gz`,
);

async function readTemplate(): Promise<Blob | undefined> {
  const bytes = await readFile(TEMPLATE).catch(() => undefined);
  return bytes && new Blob([new Uint8Array(bytes)]);
}

async function keepTemplate(db: PGlite): Promise<void> {
  try {
    const dump = await db.dumpDataDir('gzip');
    await mkdir(dirname(TEMPLATE), { recursive: true });
    const unfinished = `${TEMPLATE}.${process.pid}`;
    await writeFile(unfinished, Buffer.from(await dump.arrayBuffer()));
    await rename(unfinished, TEMPLATE);
  } catch {
    // Without it the next new database takes as long as this one.
  }
}
