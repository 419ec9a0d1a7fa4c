/**
 * What happened, as those tell it who see it happen. A fact becomes one record of the audit stream; see `AuditRecord`.
 *
 * `record` is for what has an effect, or gives something away: it resolves when the record is stored, and until then nothing may be done
 * or answered. `note` is for what was refused: nothing waits for it, and many of the same become a count.
 */
import type { JsonObject } from '@callboard/envelope';

export const AUDIT_KINDS = [
  /** A session of the 2025 revisions began or ended. */
  'session',
  /** Tools, resources, prompts or templates were listed. */
  'list',
  /** A call: submitted, replayed, refused. */
  'call',
  /** An attempt at a command: begun, failed, ended. */
  'attempt',
  /** A command was ended by somebody who did not run it: its caller, its deadline, an operator. */
  'outcome',
  /** A resource, a result or a task was read. */
  'read',
  /** A subscription was made, changed or ended. */
  'subscription',
  /** Events were given to a client. */
  'delivery',
  /** Events were taken from a source, passed by the filter, or held back. */
  'event',
  /** A notification was sent, merged into a digest, or refused. */
  'notification',
  /** Policy did not allow something. */
  'denial',
  /** A credential was missing or wrong. */
  'authentication',
  /** A request was not what a request must be. */
  'malformed',
  /** A limit was reached. */
  'limit',
  /** An operator did something. */
  'operator',
  /** What governs an app is another since it started, or is now what it was started with. */
  'configuration',
  /** A saga took a step. */
  'saga',
  /** Of the ledger itself: messages that it could not have or read, keys that were destroyed, segments that were sealed. */
  'ledger',
] as const;
export type AuditKind = (typeof AUDIT_KINDS)[number];

/** The tenant of what belongs to none: an unknown caller, an app's own doing. */
export const NO_TENANT = '';

/** What may be said of a fact in the open: numbers, codes, names that we or an operator gave. Never words of a caller. */
export type AuditDetails = { [name: string]: string | number | boolean | readonly string[] };

/** Who did it and from where: sealed in the ledger, under a key that can be destroyed. */
export interface AuditPerson {
  userId?: string;
  groups?: readonly string[];
  clientId?: string;
  /** How the caller was recognised. */
  via?: string;
  /** Network address. */
  address?: string;
}

export interface AuditFact {
  kind: AuditKind;
  /** What became of it, in one word of ours: `submitted`, `refused`, `begun`. */
  what: string;
  tenantId: string;
  who?: AuditPerson;
  correlationId?: string;
  /** Id of the action. */
  action?: string;
  /** Of the error, where something was refused or failed. */
  code?: string;
  details?: AuditDetails;
  /** Recorded redacted, with a digest. */
  args?: JsonObject;
  /** Names the fact: told again within two minutes, by whichever process, it is the same record. */
  once?: string;
  /** An address or a name in a caller's words, such as the URI of a resource. Sealed like the person. */
  target?: string;
}

export interface Audit {
  /**
   * Resolves when the record is stored.
   * @throws CallboardError `unavailable`, or `overloaded` when the stream is full: then nothing may be done.
   */
  record(fact: AuditFact): Promise<void>;
  note(fact: AuditFact): void;
  /** Was the last record not stored? */
  readonly troubled: boolean;
}
