import { createHash } from 'node:crypto';
import { onFileReading } from '@callboard/config';
import { Counter } from 'prom-client';
import type { Logger } from './logger.js';
import { metrics } from './ops-server.js';

const COUNTS = ['recorded', 'refused', 'counted', 'lost'] as const;

/** What tells of its records; see `AuditTrail`. */
export interface Recording {
  onCount: (count: (typeof COUNTS)[number]) => void;
  onTrouble: (error: unknown) => void;
  note(fact: { kind: 'configuration'; what: string; tenantId: string; details: Record<string, string> }): void;
}

/**
 * Shows what becomes of the facts that a process records. The first of them say with what configuration it has started: its variables, and each
 * file that it follows, which is recorded whenever it is read again.
 */
export function watchAudit<T extends Recording>(trail: T, log: Logger): T {
  const records = new Counter({
    name: 'callboard_audit_records_total',
    help: 'Facts that were to be recorded: recorded, refused by the stream, counted among many of the same, lost',
    labelNames: ['what'],
    registers: [metrics],
  });
  for (const what of COUNTS) records.inc({ what }, 0);
  trail.onCount = (what) => records.inc({ what });
  trail.onTrouble = (error) =>
    log.error({ err: error }, 'the audit stream takes no records: what must be recorded is refused');
  trail.note({ kind: 'configuration', what: 'started', tenantId: '', details: { digest: configurationDigest() } });
  onFileReading(({ what, ...details }) => trail.note({ kind: 'configuration', what, tenantId: '', details }));
  return trail;
}

/** Another one means that a variable is another; which, it does not tell, nor what it is. */
function configurationDigest(): string {
  const variables = Object.entries(process.env).filter(([name]) => name.startsWith('CALLBOARD_'));
  return createHash('sha256').update(JSON.stringify(variables.sort())).digest('base64url');
}
