/** The database of the ledger: is it there, has it the tables of this version, and may the writer exactly what it must? */
import {
  LATEST_MIGRATION,
  PostgresDatabase,
  WRITER_GRANTS,
  WRITER_ROLE,
  migrationOf,
  type Database,
} from '@callboard/ledger';
import { messageOf } from '../failure.js';
import { failed, ok, type Finding } from './finding.js';

const CHECK = 'ledger database';
const PRIVILEGES = ['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE'] as const;
const MIGRATE = 'callboard audit migrate --database-url, as the owner of the database: docs/audit.md';

export async function checkDatabase(url: string): Promise<Finding[]> {
  const db = new PostgresDatabase(url);
  try {
    return [await lookAt(db)];
  } catch (error) {
    const fix = 'is the server there, and CALLBOARD_AUDIT_DATABASE_URL right?';
    return [failed(CHECK, 'database_unreachable', messageOf(error), fix)];
  } finally {
    await db.close();
  }
}

async function lookAt(db: Database): Promise<Finding> {
  const migration = await migrationOf(db).catch((error: unknown) => {
    // Of tables that are there and may not be read.
    if ((error as { code?: string }).code === '42501') return undefined;
    throw error;
  });
  if (migration === 0) return failed(CHECK, 'database_empty', 'it has no tables of ours', MIGRATE);
  const [who] = await db.query<{ name: string; member: boolean }>(
    `SELECT current_user AS name,
            coalesce((SELECT pg_has_role(current_user, oid, 'MEMBER') FROM pg_roles WHERE rolname = $1), false) AS member`,
    [WRITER_ROLE],
  );
  if (!who!.member) {
    const finding = `${who!.name} is no member of ${WRITER_ROLE}`;
    return failed(CHECK, 'database_grants', finding, `GRANT ${WRITER_ROLE} TO ${who!.name}`);
  }
  const differences = await grantDifferences(db);
  if (differences.length > 0) {
    const fix = `as the owner of the tables, GRANT to ${WRITER_ROLE} or REVOKE from it what is named here`;
    return failed(CHECK, 'database_grants', `${WRITER_ROLE} ${differences.join(', ')}`, fix);
  }
  if (migration !== LATEST_MIGRATION) {
    const finding = `its tables are of migration ${migration}, and this version wants ${LATEST_MIGRATION}`;
    return failed(CHECK, 'database_migration', finding, MIGRATE);
  }
  return ok(CHECK, `its tables are of migration ${migration}, and ${WRITER_ROLE} may insert and read`);
}

/** Too much is as wrong as too little: the ledger is append-only because nobody may anything else. */
async function grantDifferences(db: Database): Promise<string[]> {
  const rows = await db.query<{ tab: string; privilege: string; has: boolean }>(
    `SELECT tab, privilege, has_table_privilege($1, tab, privilege) AS has
       FROM unnest($2::text[]) AS tab, unnest($3::text[]) AS privilege`,
    [WRITER_ROLE, Object.keys(WRITER_GRANTS), [...PRIVILEGES]],
  );
  return rows.flatMap(({ tab, privilege, has }) => {
    const should = WRITER_GRANTS[tab]!.includes(privilege);
    return has === should ? [] : [`${has ? 'may' : 'may not'} ${privilege} ${tab}`];
  });
}
