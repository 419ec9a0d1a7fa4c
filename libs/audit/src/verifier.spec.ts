/** Whatever one changes in a ledger, in its checkpoints or in the stream is found, and where. */
import { describe, expect, it } from '@jest/globals';
import { canonicalJson } from '@callboard/envelope';
import fc from 'fast-check';
import type { SignedCheckpoint } from './checkpoint.js';
import { digestOf, type LedgerEntry, type LedgerRow } from './ledger-entry.js';
import { makeLedger, verify, type SpecLedger } from './spec-ledger.js';

const SIZE = 90;
const RUNS = Number(process.env['CALLBOARD_SPEC_TAMPERINGS'] ?? 25);
const whole = makeLedger(SIZE, 60);

const copy = (): SpecLedger => ({
  rows: whole.rows.map((row) => ({ ...row })),
  checkpoints: whole.checkpoints.map((each) => ({ ...each })),
  anchored: whole.anchored.map((each) => ({ ...each })),
  messages: whole.messages.map(({ data, ...each }) => ({ ...each, data: Buffer.from(data) })),
});

/** Another character at a place of a text; another digit in a number. */
function changed<T extends string | number>(value: T, at: number, by: number): T {
  if (typeof value === 'number') return (value + 1 + (by % 1_000)) as T;
  const place = at % value.length;
  const code = value.charCodeAt(place);
  const other = String.fromCharCode(32 + ((code - 32 + 1 + (by % 94)) % 95));
  return (value.slice(0, place) + other + value.slice(place + 1)) as T;
}

const any = fc.nat({ max: 1_000_000 });
const COLUMNS = [
  'tenant_id',
  'position',
  'stream_sequence',
  'kind',
  'at',
  'correlation_id',
  'actor',
  'body',
  'hash',
] as const;
const SIGNED = ['tenant_id', 'position', 'body', 'signature'] as const;

/** Each returns what was done, or nothing when these numbers did nothing. */
const TAMPERINGS: Record<string, (ledger: SpecLedger, a: number, b: number, c: number) => boolean> = {
  'a byte of a row': ({ rows }, a, b, c) => {
    const row = rows[a % rows.length]!;
    const column = COLUMNS[b % COLUMNS.length]!;
    const before = row[column];
    if (before === null || before === '') Object.assign(row, { [column]: 'x' });
    else Object.assign(row, { [column]: changed(before, c, b) });
    return row[column] !== before;
  },
  'a row written anew, with its hash': ({ rows }, a) => {
    const row = rows[a % rows.length]!;
    row.body = canonicalJson({ ...(JSON.parse(row.body) as object), what: 'replayed' });
    row.hash = digestOf(row.body);
    return true;
  },
  'a row of a message in the stream written anew as unreadable, at the end': ({ rows }, a) => {
    const last = rows.at(-1 - (a % 3))!;
    const entry = JSON.parse(last.body) as LedgerEntry;
    last.body = canonicalJson({ ...entry, kind: 'ledger', what: 'unreadable' });
    Object.assign(last, { kind: 'ledger', hash: digestOf(last.body) });
    return true;
  },
  'a row taken out': ({ rows }, a) => rows.splice(a % (rows.length - 1), 1).length === 1,
  'a row put in': ({ rows }, a, b) => {
    const row = rows[a % rows.length]!;
    rows.splice(b % rows.length, 0, { ...row, ...(b % 2 ? {} : { stream_sequence: row.stream_sequence + 0.5 }) });
    return true;
  },
  'a row added at the end, as its writer would have made it': ({ rows }, a) => {
    const row = rows.at(-1 - (a % 3))!;
    const head = rows.findLast(({ tenant_id }) => tenant_id === row.tenant_id)!;
    const sequence = SIZE + 1;
    const position = head.position + 1;
    const entry = JSON.parse(row.body) as LedgerEntry;
    const body = canonicalJson({ ...entry, position, previous: head.hash, stream_sequence: sequence });
    rows.push({ ...row, position, stream_sequence: sequence, body, hash: digestOf(body) });
    return true;
  },
  'a chain put in before the beginning': ({ rows }, a) => {
    const entry = JSON.parse(rows[0]!.body) as LedgerEntry;
    const [tenant_id, position, sequence] = ['initech', 1, -(a % 3)];
    const body = canonicalJson({ ...entry, tenant_id, position, previous: '', stream_sequence: sequence });
    rows.push({ ...rows[0]!, tenant_id, position, stream_sequence: sequence, body, hash: digestOf(body) });
    return true;
  },
  'two rows swapped': ({ rows }, a, b) => {
    const [one, other] = [rows[a % rows.length]!, rows[b % rows.length]!];
    if (one === other) return false;
    const [at, there] = [one.stream_sequence, other.stream_sequence];
    Object.assign(one, { stream_sequence: there });
    Object.assign(other, { stream_sequence: at });
    return true;
  },
  'the end cut off': ({ rows }, a) => {
    // Up to the last checkpoint, and past it while the stream has the messages: those would only be written again.
    const keep = a % (SIZE - 40);
    return rows.splice(keep).length > 0;
  },
  'a byte of a checkpoint': ({ checkpoints, anchored }, a, b, c) => {
    const list: SignedCheckpoint[] = b % 2 ? checkpoints : anchored;
    const each = list[a % list.length]!;
    const fields = list === checkpoints ? ([...SIGNED, 'stream_sequence'] as const) : SIGNED;
    const field = fields[c % fields.length]!;
    const before = each[field]!;
    Object.assign(each, { [field]: before === '' ? 'x' : changed(before, b, c) });
    // The last character of base64url has bits that say nothing.
    return (
      field !== 'signature' ||
      Buffer.compare(Buffer.from(each.signature, 'base64url'), Buffer.from(String(before), 'base64url')) !== 0
    );
  },
  'a checkpoint taken out of the ledger': ({ checkpoints }, a) =>
    checkpoints.splice(a % checkpoints.length, 1).length === 1,
  'a checkpoint taken out of the stream': ({ anchored, checkpoints }, a) => {
    const newest = new Map(checkpoints.map(({ tenant_id, position }) => [tenant_id, position]));
    const [gone] = anchored.splice(a % anchored.length, 1);
    // The newest of a tenant may be on its way.
    return newest.get(gone!.tenant_id) !== gone!.position;
  },
  'a byte of a message of the stream': ({ messages }, a, b, c) => {
    const { data } = messages[a % messages.length]!;
    data[b % data.length]! ^= 1 + (c % 255);
    return true;
  },
  'a message taken out of the stream': ({ messages }, a) =>
    messages.splice(1 + (a % (messages.length - 2)), 1).length === 1,
  'a message of the stream under another subject': ({ messages }, a) => {
    const message = messages[a % messages.length]!;
    message.subject = message.subject.replace('call', 'read');
    return true;
  },
  'two messages of the stream swapped': ({ messages }, a, b) => {
    const [one, other] = [messages[a % messages.length]!, messages[b % messages.length]!];
    [one.data, other.data] = [other.data, one.data];
    return one !== other;
  },
};

describe('a ledger as it was written', () => {
  it.each([1, 9, 57, SIZE])('has no finding, with %i entries', (size) => {
    const report = verify(makeLedger(size, Math.ceil(size / 2)));
    expect(report).toMatchObject({ records: size, findings: [], pending: 0, compared: Math.ceil(size / 2) });
  });

  it('may have messages in the stream that it does not have yet', () => {
    const ledger = copy();
    ledger.messages.push({ sequence: SIZE + 1, subject: 'audit.acme.call.c_1', data: Buffer.from('{}') });
    expect(verify(ledger)).toMatchObject({ findings: [], pending: 1 });
  });
});

describe('a ledger that somebody has changed', () => {
  it.each(Object.entries(TAMPERINGS))('is found: %s', (_, tamper) => {
    fc.assert(
      fc.property(any, any, any, (a, b, c) => {
        const ledger = copy();
        fc.pre(tamper(ledger, a, b, c));
        expect(verify(ledger).findings.length).toBeGreaterThan(0);
      }),
      { numRuns: RUNS },
    );
  });

  it('is told by the place where it was', () => {
    const ledger = copy();
    const row: LedgerRow = ledger.rows[70]!;
    row.body = row.body.replace('"spec"', '"spek"');
    expect(verify(ledger).findings).toEqual([
      { code: 'changed', where: `entry ${row.position} of ${row.tenant_id || '%'}` },
    ]);
    const [gone] = ledger.rows.splice(50, 1);
    expect(verify(ledger).findings[0]).toEqual({
      code: 'missing',
      where: expect.stringContaining(`message ${gone!.stream_sequence} of AUDIT`),
    });
  });
});
