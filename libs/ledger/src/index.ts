export { Checkpoints } from './checkpoints.js';
export {
  EmbeddedDatabase,
  PostgresDatabase,
  WRITER_ROLE,
  sqlStateOf,
  type Database,
  type Queryable,
} from './database.js';
export { LedgerReader } from './ledger-reader.js';
export { Behind, Ledger, type StreamMessage } from './ledger.js';
export { LATEST_MIGRATION, WRITER_GRANTS, migrate, migrationOf } from './migrations.js';
export { dropSealed, sealSegments } from './segments.js';
export { verifyLedger, type VerifyProgress } from './verify-ledger.js';
