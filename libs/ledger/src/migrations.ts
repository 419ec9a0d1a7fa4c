/**
 * The tables of the ledger. A migration is never changed once it is released; the next one is added.
 *
 * Append-only is the database's own rule, twice: the writer's role may insert and select and nothing else, and triggers refuse to change or
 * empty the tables whoever asks, the owner included. What may be deleted are keys (that is what forgetting is) and entries for which a sealed
 * segment stands.
 */
import { WRITER_ROLE, type Database } from './database.js';

/** What the writer's role may with each table, and no more. */
export const WRITER_GRANTS: Readonly<Record<string, readonly string[]>> = {
  audit_records: ['SELECT', 'INSERT'],
  audit_checkpoints: ['SELECT', 'INSERT'],
  audit_segments: ['SELECT', 'INSERT'],
  audit_keys: ['SELECT', 'INSERT', 'DELETE'],
  audit_migrations: ['SELECT'],
};

const TABLES = `
CREATE TABLE audit_records (
  tenant_id text NOT NULL,
  position bigint NOT NULL CHECK (position > 0),
  stream_sequence bigint NOT NULL UNIQUE,
  kind text NOT NULL,
  at text NOT NULL,
  correlation_id text,
  actor text,
  body text NOT NULL,
  hash text NOT NULL,
  PRIMARY KEY (tenant_id, position)
);
CREATE INDEX audit_records_at ON audit_records (tenant_id, at);
CREATE INDEX audit_records_correlation ON audit_records (tenant_id, correlation_id) WHERE correlation_id IS NOT NULL;
CREATE INDEX audit_records_actor ON audit_records (tenant_id, actor) WHERE actor IS NOT NULL;

CREATE TABLE audit_checkpoints (
  tenant_id text NOT NULL,
  position bigint NOT NULL,
  stream_sequence bigint NOT NULL,
  body text NOT NULL,
  signature text NOT NULL,
  PRIMARY KEY (tenant_id, position)
);
CREATE INDEX audit_checkpoints_sequence ON audit_checkpoints (stream_sequence);

-- A segment is all entries of a tenant up to a checkpoint: its last entry stands for them, by its hash and the signature.
CREATE TABLE audit_segments (
  tenant_id text NOT NULL,
  position bigint NOT NULL,
  stream_sequence bigint NOT NULL,
  body text NOT NULL,
  signature text NOT NULL,
  PRIMARY KEY (tenant_id, position)
);

CREATE TABLE audit_keys (
  tenant_id text NOT NULL,
  subject text NOT NULL,
  actor text NOT NULL,
  wrapped text NOT NULL,
  PRIMARY KEY (tenant_id, subject)
);
CREATE INDEX audit_keys_actor ON audit_keys (tenant_id, actor);

CREATE FUNCTION audit_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the audit ledger is append-only' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE FUNCTION audit_only_sealed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT 1 FROM audit_segments s WHERE s.tenant_id = OLD.tenant_id AND s.position >= OLD.position) THEN
    RETURN OLD;
  END IF;
  RAISE EXCEPTION 'the audit ledger is append-only: no sealed segment stands for this entry' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER audit_records_append_only BEFORE UPDATE OR TRUNCATE ON audit_records EXECUTE FUNCTION audit_append_only();
CREATE TRIGGER audit_records_only_sealed BEFORE DELETE ON audit_records FOR EACH ROW EXECUTE FUNCTION audit_only_sealed();
CREATE TRIGGER audit_checkpoints_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_checkpoints EXECUTE FUNCTION audit_append_only();
CREATE TRIGGER audit_segments_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_segments EXECUTE FUNCTION audit_append_only();
CREATE TRIGGER audit_keys_append_only BEFORE UPDATE OR TRUNCATE ON audit_keys EXECUTE FUNCTION audit_append_only();

GRANT SELECT, INSERT ON audit_records, audit_checkpoints, audit_segments TO ${WRITER_ROLE};
GRANT SELECT, INSERT, DELETE ON audit_keys TO ${WRITER_ROLE};
GRANT SELECT ON audit_migrations TO ${WRITER_ROLE};
`;

const MIGRATIONS = [TABLES];
export const LATEST_MIGRATION = MIGRATIONS.length;

const FOUNDATION = [
  `CREATE TABLE IF NOT EXISTS audit_migrations (version int PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())`,
  // Roles belong to the server, not to the database: another database of it may have made it.
  `DO $$ BEGIN CREATE ROLE ${WRITER_ROLE} NOLOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$`,
  `GRANT ${WRITER_ROLE} TO CURRENT_USER`,
];

/** Which migration a database is at; 0 for one that has none. */
export async function migrationOf(db: Database): Promise<number> {
  const [table] = await db.query<{ name: string | null }>(`SELECT to_regclass('audit_migrations')::text AS name`);
  if (!table?.name) return 0;
  const [row] = await db.query<{ version: number | null }>('SELECT max(version) AS version FROM audit_migrations');
  return row?.version ?? 0;
}

/** Brings the tables up to date, as their owner. Several may try at once. */
export async function migrate(db: Database): Promise<void> {
  if ((await migrationOf(db)) >= LATEST_MIGRATION) return;
  await db.transaction(async (tx) => {
    await tx.query('SELECT pg_advisory_xact_lock(hashtext($1))', ['callboard ledger migrations']);
    for (const statement of FOUNDATION) await tx.query(statement);
    const [row] = await tx.query<{ version: number | null }>('SELECT max(version) AS version FROM audit_migrations');
    for (let version = (row?.version ?? 0) + 1; version <= LATEST_MIGRATION; version++) {
      for (const statement of statementsOf(MIGRATIONS[version - 1]!)) await tx.query(statement);
      await tx.query('INSERT INTO audit_migrations (version) VALUES ($1)', [version]);
    }
  });
}

/** One by one, because a query with parameters is one statement; a function's own semicolons are within `$$`. */
function statementsOf(sql: string): string[] {
  const bodies = sql.split('$$');
  const marked = bodies.map((part, i) => (i % 2 === 0 ? part.replaceAll(';', '\0') : part)).join('$$');
  return marked.split('\0').filter((statement) => statement.trim() !== '');
}
