/** The checker of the audit finds each of the faults that it is there for, and nothing where all is well. */
import { describe, expect, it } from '@jest/globals';
import { checkAudit, type AuditHistory, type Recorded } from './checker.js';

let ids = 0;
const record = (kind: string, what: string, more: Partial<Recorded> = {}): Recorded => ({
  id: `a_${++ids}`,
  at: 100,
  app: 'spec',
  kind,
  what,
  details: {},
  ...more,
});
const submitted = record('call', 'submitted', { correlationId: 'c_1' });
const begun = record('attempt', 'begun', { correlationId: 'c_1', details: { attempt: 1 } });
const taken = record('event', 'taken', { details: { events: ['e_1', 'e_2'] } });
const passed = record('event', 'passed', { correlationId: 'e_1' });
const stranger = record('authentication', 'refused', { code: 'unauthorized' });
const strangers = record('authentication', 'refused', { code: 'unauthorized', details: { more: 9 } });
const effect = { key: 'k', correlationId: 'c_1', attempt: 1, at: 200 };
const ALL = [submitted, begun, taken, passed, stranger, strangers];

const history = (change: Partial<AuditHistory> = {}): AuditHistory => ({
  effects: [effect],
  keyed: new Set(),
  taken: new Set(['e_1', 'e_2']),
  passed: ['e_1'],
  refused: new Map([['authentication unauthorized', 10]]),
  away: [{ key: 'away', until: 500, answeredAsDone: false }],
  records: ALL,
  verified: [],
  ...change,
});
const rules = (change: Partial<AuditHistory> = {}) => checkAudit(history(change)).map(({ rule }) => rule);
const without = (record: Recorded) => ({ records: ALL.filter((each) => each !== record) });
const again = (record: Recorded) => ({ records: [...ALL, { ...record, id: `a_${++ids}` }] });
const late = { key: 'away', correlationId: 'c_1', attempt: 1, at: 499 };

describe('the checker of the audit', () => {
  it('is content when each effect, event and refusal is on record once', () => {
    expect(rules()).toEqual([]);
    // Who asks again under an idempotency key submits again.
    expect(rules({ ...again(submitted), keyed: new Set(['k']) })).toEqual([]);
    expect(rules({ effects: [{ ...late, at: 501 }] })).toEqual([]);
  });

  it.each<[string, Partial<AuditHistory>, string]>([
    ['an effect whose command was never submitted', without(submitted), 'submitted'],
    ['a command that was submitted twice', again(submitted), 'submitted'],
    ['an effect of an attempt that never began', without(begun), 'begun'],
    ['an effect of another attempt than that which began', { effects: [{ ...effect, attempt: 2 }] }, 'begun'],
    ['an attempt that began twice', again(begun), 'begun'],
    ['an effect before its record', { effects: [{ ...effect, at: 99 }] }, 'begun'],
    ['an event that was passed without a record', without(passed), 'event'],
    ['an event that was answered as taken and is not on record so', without(taken), 'event'],
    ['an event that is on record as passed twice', again(passed), 'event'],
    ['a refusal without a record', without(stranger), 'refusal'],
    ['a refusal that nobody was told', again(stranger), 'refusal'],
    ['a record that is in the ledger twice', { records: [...ALL, begun] }, 'doubled'],
    ['an effect while nothing could be recorded', { effects: [effect, late] }, 'away'],
    ['an answer while nothing could be recorded', { away: [{ key: 'x', until: 5, answeredAsDone: true }] }, 'away'],
    ['a chain that was changed', { verified: ['changed at 7'] }, 'chain'],
  ])('finds %s', (_, change, rule) => {
    expect(rules(change)).toContain(rule);
  });
});
