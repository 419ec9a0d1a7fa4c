/**
 * Random tampering with a ledger at its full size, in the tables and in the stream themselves. Each has a block of sequences to itself, so that a finding in a
 * block is the finding of that tampering: one pass over the ledger must find them all.
 */
import { randomInt } from 'node:crypto';
import { digestOf, type Finding, type LedgerEntry, type LedgerRow } from '@callboard/audit';
import { canonicalJson } from '@callboard/envelope';
import type { Queryable, StreamMessage } from '@callboard/ledger';

/** What was done, and where it must be found: in a block of sequences, or as one finding that begins so. */
export interface Tampering {
  what: string;
  from: number;
  to: number;
  place?: string;
}

type Tamper = (owner: Queryable, row: LedgerRow) => Promise<string | void>;

const COLUMNS = ['tenant_id', 'kind', 'at', 'correlation_id', 'actor', 'body', 'hash'] as const;
const ROWS: Record<string, Tamper> = {
  'a byte of a row': async (owner, row) => {
    const column = COLUMNS[randomInt(COLUMNS.length)]!;
    const text = row[column]!;
    const at = randomInt(text.length);
    const other = text[at] === 'x' ? 'y' : 'x';
    await change(owner, row, column, text.slice(0, at) + other + text.slice(at + 1));
  },
  'a row written anew, with its hash': async (owner, row) => {
    const body = canonicalJson({ ...(JSON.parse(row.body) as LedgerEntry), what: 'replayed' });
    await change(owner, row, 'body', body);
    await change(owner, row, 'hash', digestOf(body));
  },
  'a row taken out': async (owner, row) => {
    await owner.query('DELETE FROM audit_records WHERE stream_sequence = $1', [row.stream_sequence]);
  },
  'a row put in': async (owner, row) => {
    const forged = { tenant_id: `forged-${row.stream_sequence}`, position: 1, stream_sequence: -row.stream_sequence };
    const body = canonicalJson({ ...(JSON.parse(row.body) as LedgerEntry), ...forged, previous: '' });
    const made = { ...row, ...forged, body, hash: digestOf(body) };
    await owner.query('INSERT INTO audit_records SELECT * FROM json_populate_record(NULL::audit_records, $1::json)', [
      JSON.stringify(made),
    ]);
    return `out_of_order entry 1 of ${forged.tenant_id}:`;
  },
  'two rows swapped': async (owner, { stream_sequence: one }) => {
    const other = one + 1 + randomInt(MARGIN);
    for (const [from, to] of [
      [one, 0],
      [other, one],
      [0, other],
    ]) {
      await change(owner, { stream_sequence: from! }, 'stream_sequence', to!);
    }
  },
};
const MESSAGES = ['a byte of a message', 'a message taken out'] as const;

/** What is done shows at the latest at the tenant's next entry. */
const MARGIN = 20;

/**
 * Does each kind that many times, and cuts off the end of every chain.
 * @param owner of the tables
 * @param tail the messages that are still in the stream; the bytes of some are changed, and those that are to be taken out are told
 */
export async function tamperWith(
  owner: Queryable,
  tail: StreamMessage[],
  last: number,
  tenants: readonly string[],
  times: number,
): Promise<{ done: Tampering[]; takenOut: number[] }> {
  await owner.query('ALTER TABLE audit_records DISABLE TRIGGER USER');
  const done: Tampering[] = [];
  const takenOut: number[] = [];
  const first = tail[0]!.sequence;
  const rowKinds = Object.entries(ROWS).flatMap((each) => Array.from({ length: times }, () => each));
  for (const [{ from, to }, [what, tamper]] of zip(blocks(1, first - 1, rowKinds.length), rowKinds)) {
    const [row] = await owner.query<LedgerRow>('SELECT * FROM audit_records WHERE stream_sequence = $1', [
      placeIn(from, to),
    ]);
    const place = await tamper(owner, row!);
    done.push({ what, from, to, ...(typeof place === 'string' && { place }) });
  }
  // The end of the tail is where the chains are cut off.
  const cut = last - 50 * tenants.length;
  const messageKinds = MESSAGES.flatMap((each) => Array.from({ length: times }, () => each));
  for (const [{ from, to }, what] of zip(blocks(first, cut - 1, messageKinds.length), messageKinds)) {
    const sequence = placeIn(from, to);
    if (what === 'a message taken out') takenOut.push(sequence);
    else {
      const data = Buffer.from(tail[sequence - first]!.data);
      data[randomInt(data.length)]! ^= 1 + randomInt(255);
      tail[sequence - first] = { ...tail[sequence - first]!, data };
    }
    done.push({ what, from, to });
  }
  for (const tenant of tenants) {
    const [head] = await owner.query<{ position: number }>(
      'SELECT max(position) AS position FROM audit_records WHERE tenant_id = $1',
      [tenant],
    );
    await owner.query('DELETE FROM audit_records WHERE tenant_id = $1 AND position > $2', [
      tenant,
      head!.position - 1 - randomInt(40),
    ]);
    const place = `truncated entry ${head!.position} of ${tenant},`;
    done.push({ what: 'the end of a chain cut off', from: cut, to: last, place });
  }
  await owner.query('ALTER TABLE audit_records ENABLE TRIGGER USER');
  return { done, takenOut };
}

/** Those that no finding tells. `sequenceOf` knows the sequence of an entry by its tenant and position. */
export function notFound(
  done: readonly Tampering[],
  findings: readonly Finding[],
  sequenceOf: (tenant: string, position: number) => number,
): Tampering[] {
  const places = done.flatMap(({ place }) => place ?? []);
  const [placed, others] = [new Set<string>(), new Set<number>()];
  for (const { code, where } of findings) {
    const place = places.find((each) => `${code} ${where}`.startsWith(each));
    const message = /message (\d+) of AUDIT/.exec(where);
    const entry = /entry (\d+) of (\S+)$/.exec(where);
    if (place) placed.add(place);
    else if (message) others.add(Number(message[1]));
    else if (entry) others.add(sequenceOf(entry[2]!, Number(entry[1])));
  }
  const within = (from: number, to: number) => [...others].some((sequence) => sequence >= from && sequence <= to);
  return done.filter(({ from, to, place }) => (place === undefined ? !within(from, to) : !placed.has(place)));
}

function change(
  owner: Queryable,
  row: Pick<LedgerRow, 'stream_sequence'>,
  column: keyof LedgerRow,
  to: string | number,
): Promise<unknown> {
  const sql = `UPDATE audit_records SET ${column} = $2 WHERE stream_sequence = $1`;
  return owner.query(sql, [row.stream_sequence, to]);
}

function blocks(first: number, last: number, count: number): { from: number; to: number }[] {
  const size = Math.floor((last - first + 1) / count);
  if (size < 3 * MARGIN) throw new RangeError(`${count} tamperings need a longer ledger`);
  return Array.from({ length: count }, (_, i) => ({ from: first + i * size, to: first + (i + 1) * size - 1 }));
}

function placeIn(from: number, to: number): number {
  return randomInt(from, to - 2 * MARGIN);
}

function zip<A, B>(one: readonly A[], other: readonly B[]): [A, B][] {
  return one.map((each, i) => [each, other[i]!]);
}
