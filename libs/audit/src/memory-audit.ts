import type { Audit, AuditFact } from './fact.js';

/** Keeps what it is told; for specs, and for parts that are used where nothing is recorded. */
export class MemoryAudit implements Audit {
  readonly facts: AuditFact[] = [];
  readonly troubled = false;

  record(fact: AuditFact): Promise<void> {
    this.facts.push(fact);
    return Promise.resolve();
  }

  note(fact: AuditFact): void {
    this.facts.push(fact);
  }

  /** `kind what` of everything that it was told. */
  get told(): string[] {
    return this.facts.map(({ kind, what }) => `${kind} ${what}`);
  }
}
