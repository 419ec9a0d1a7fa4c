/**
 * Judges whether what happened is on record, by the log of effects, the events that were passed, what callers were answered, and the ledger.
 *
 * Pure: so that it can be shown to find what it is there for.
 *
 *   submitted  the command of each effect was recorded as submitted: once, where its caller had no idempotency key to ask again with
 *   begun      the attempt of each effect was recorded as begun, once, and no later than the effect
 *   event      each event whose sender was told that it is taken is on record as taken, and each that was passed as passed, once
 *   refusal    each request that was refused is on record, by itself or in a count, and no other
 *   doubled    no record is in the ledger twice
 *   away       while the audit stream took no records, what was asked had no effect and was not answered as done
 *   chain      `audit verify` finds nothing
 */
export const AUDIT_RULES = ['submitted', 'begun', 'event', 'refusal', 'doubled', 'away', 'chain'] as const;
export type AuditRule = (typeof AUDIT_RULES)[number];

export interface AuditFinding {
  rule: AuditRule;
  detail: string;
}

export interface Effect {
  key: string;
  correlationId: string;
  attempt: number;
  /** Milliseconds since the epoch. */
  at: number;
}

/** An entry of the ledger, as far as it matters here. */
export interface Recorded {
  id: string;
  at: number;
  app: string;
  kind: string;
  what: string;
  correlationId?: string;
  code?: string;
  details: { attempt?: number; events?: string[]; more?: number };
}

/** Something that was asked for while the audit stream took no records. */
export interface AskedInVain {
  key: string;
  /** When records were taken again. */
  until: number;
  answeredAsDone: boolean;
}

export interface AuditHistory {
  effects: Effect[];
  /** Keys of the calls that had an idempotency key. */
  keyed: ReadonlySet<string>;
  /** Names of the events whose sender was told that they are taken. */
  taken: ReadonlySet<string>;
  /** Of those that can be read. */
  passed: string[];
  /** How many requests were refused, by `kind code`. */
  refused: ReadonlyMap<string, number>;
  away: AskedInVain[];
  records: Recorded[];
  /** What `audit verify` found. */
  verified: string[];
}

export function checkAudit(history: AuditHistory): AuditFinding[] {
  return [
    ...checkEffects(history),
    ...checkEvents(history),
    ...checkRefusals(history),
    ...checkDoubled(history),
    ...checkAway(history),
    ...history.verified.map((detail): AuditFinding => ({ rule: 'chain', detail })),
  ];
}

function* checkEffects({ effects, keyed, records }: AuditHistory): Generator<AuditFinding> {
  const submitted = countOf(records.filter(({ kind, what }) => kind === 'call' && what === 'submitted'));
  const begun = new Map<string, Recorded[]>();
  for (const record of records) {
    if (record.kind !== 'attempt' || record.what !== 'begun') continue;
    const name = `${record.correlationId} ${record.details.attempt}`;
    begun.set(name, [...(begun.get(name) ?? []), record]);
  }
  for (const { key, correlationId, attempt, at } of effects) {
    const times = submitted.get(correlationId) ?? 0;
    if (times !== 1 && !(times > 1 && keyed.has(key))) {
      yield { rule: 'submitted', detail: `${key}: ${correlationId} is on record as submitted ${times} times` };
    }
    const begins = begun.get(`${correlationId} ${attempt}`) ?? [];
    const what = `${key}: attempt ${attempt} of ${correlationId}`;
    if (begins.length !== 1) yield { rule: 'begun', detail: `${what} is on record as begun ${begins.length} times` };
    else if (begins[0]!.at > at) yield { rule: 'begun', detail: `${what} had its effect before it was recorded` };
  }
}

function* checkEvents({ taken, passed, records }: AuditHistory): Generator<AuditFinding> {
  const events = records.filter(({ kind }) => kind === 'event');
  const tookIn = new Set(events.filter(({ what }) => what === 'taken').flatMap(({ details }) => details.events ?? []));
  const recorded = countOf(events.filter(({ what }) => what === 'passed'));
  for (const name of taken) {
    if (!tookIn.has(name)) yield { rule: 'event', detail: `${name} was answered as taken, and is not on record so` };
  }
  for (const name of passed) {
    const times = recorded.get(name) ?? 0;
    if (times !== 1) yield { rule: 'event', detail: `${name} is on record as passed ${times} times` };
  }
}

function* checkRefusals({ refused, records }: AuditHistory): Generator<AuditFinding> {
  const told = toldRefusals(records);
  for (const name of new Set([...refused.keys(), ...told.keys()])) {
    const [were, are] = [refused.get(name) ?? 0, told.get(name) ?? 0];
    if (were !== are) yield { rule: 'refusal', detail: `${name}: ${were} were refused, ${are} are on record` };
  }
}

/** The kinds of refusals of which a run knows how many it has caused. */
const COUNTED = new Set(['authentication', 'malformed', 'denial']);

/** How many refusals are on record, by `kind code`: those of a count with those that are records by themselves. */
export function toldRefusals(records: readonly Recorded[]): Map<string, number> {
  const told = new Map<string, number>();
  for (const { kind, what, code, details } of records) {
    if (!COUNTED.has(kind) || what !== 'refused') continue;
    const name = `${kind} ${code}`;
    told.set(name, (told.get(name) ?? 0) + (details.more ?? 1));
  }
  return told;
}

function* checkDoubled({ records }: AuditHistory): Generator<AuditFinding> {
  const seen = new Set<string>();
  for (const { id, kind, what } of records) {
    if (seen.has(id)) yield { rule: 'doubled', detail: `${kind} ${what} ${id} is in the ledger twice` };
    seen.add(id);
  }
}

function* checkAway({ away, effects }: AuditHistory): Generator<AuditFinding> {
  for (const { key, until, answeredAsDone } of away) {
    if (answeredAsDone) yield { rule: 'away', detail: `${key} was answered as done while nothing could be recorded` };
    const effect = effects.find((each) => each.key === key && each.at < until);
    if (effect) yield { rule: 'away', detail: `${key} had an effect while nothing could be recorded` };
  }
}

function countOf(records: readonly Recorded[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { correlationId = '' } of records) counts.set(correlationId, (counts.get(correlationId) ?? 0) + 1);
  return counts;
}
