export {
  begunAttempt,
  endedAttempts,
  endedCommand,
  failedAttempt,
  replayedCommand,
  submittedCommand,
} from './command-facts.js';
export {
  AUDIT_KINDS,
  NO_TENANT,
  type Audit,
  type AuditDetails,
  type AuditFact,
  type AuditKind,
  type AuditPerson,
} from './fact.js';
export { CheckpointKey, CheckpointSigner, type Checkpoint, type SignedCheckpoint } from './checkpoint.js';
export {
  GENESIS,
  digestOf,
  nextRow,
  type ChainHead,
  type LedgerEntry,
  type LedgerRow,
  type OpenedEntry,
  type SealedPart,
} from './ledger-entry.js';
export { MemoryAudit } from './memory-audit.js';
export { toOcsf } from './ocsf.js';
export {
  parseRecord,
  readRecord,
  writeRecord,
  type AuditOrigin,
  type AuditRecord,
  type PersonalPart,
  type WrittenRecord,
} from './record.js';
export { TENANTS_OWN, newKey, openSealed, seal, subjectOf, unwrap, type KeptKey, type SealingKey } from './sealing.js';
export { LedgerVerifier, type Finding, type FindingCode, type VerifyReport } from './verifier.js';
export { argumentsDigest } from './recorded-arguments.js';
export { refusedRequest, type RefusedRequest } from './refused-request.js';
