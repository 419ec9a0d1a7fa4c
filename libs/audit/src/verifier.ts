/**
 * Tells whether a ledger is what was written: one pass over its rows in the order of the audit stream, beside the stream's own messages and the
 * checkpoints of both places. Pure: whoever has the rows, the messages and the public key can do it.
 *
 * What no checkpoint vouches for yet is compared with the messages that it was made of, which the stream keeps until one does; all but what is sealed, which
 * only the writer could open.
 *
 * Every finding names where. A changed byte is one finding at its row; a row that is missing, doubled or in another's place is a finding
 * at the next one, because that does not follow. After a finding it goes on from what it found, so that one fault is not told a thousand times.
 */
import { canonicalJson } from '@callboard/envelope';
import type { Checkpoint, CheckpointKey, SignedCheckpoint } from './checkpoint.js';
import { GENESIS, digestOf, placedBy, type ChainHead, type LedgerEntry, type LedgerRow } from './ledger-entry.js';
import { readRecord } from './record.js';

export type FindingCode =
  /** The hash is not that of the body. */
  | 'changed'
  /** What the row is found by is not what its body says. */
  | 'misfiled'
  /** An entry before this one is not there. */
  | 'missing'
  /** The entry does not follow from the one before it. */
  | 'out_of_order'
  /** A checkpoint says that the chain was longer. */
  | 'truncated'
  /** A checkpoint is not signed with the key, or not what it is filed as. */
  | 'bad_checkpoint'
  /** The entry is not the one that was signed. */
  | 'not_as_signed'
  /** A checkpoint is in one place and not in the other. */
  | 'checkpoint_missing'
  /** A message of the stream is not as the ledger has it. */
  | 'stream_changed'
  /** A message that the stream should have is not there. */
  | 'stream_missing';

export interface Finding {
  code: FindingCode;
  where: string;
}

export interface VerifyReport {
  records: number;
  tenants: number;
  checkpoints: number;
  /** Messages of the stream that were compared with the ledger. */
  compared: number;
  /** Messages of the stream that the ledger does not have yet. */
  pending: number;
  findings: Finding[];
  /** Findings beyond those that are listed. */
  more: number;
}

const MOST_FINDINGS = 1_000;

/** What is known of a tenant's chain. */
interface Chain {
  head?: ChainHead;
  /** What stands for its beginning. */
  segment?: Checkpoint;
  /** By position, until their entries were seen. */
  checkpoints: Map<number, Checkpoint>;
  /** Those within the segment: their entries may be there or not. */
  vouched: Map<number, Checkpoint>;
}

export class LedgerVerifier {
  readonly #chains = new Map<string, Chain>();
  readonly #report: VerifyReport;
  #lastSequence = 0;
  /** Messages up to here may be missing: their entries were dropped, and positions say whether any other is. */
  #droppedUpTo = 0;
  #streamSequence: number | undefined;

  /** @param segments what stands for entries that were dropped */
  constructor(
    private readonly key: CheckpointKey,
    segments: readonly SignedCheckpoint[] = [],
  ) {
    this.#report = { records: 0, tenants: 0, checkpoints: 0, compared: 0, pending: 0, findings: [], more: 0 };
    for (const signed of segments) {
      const segment = key.open(signed);
      if (!segment) {
        this.#find('bad_checkpoint', `segment ${placeOf(signed)}`);
        continue;
      }
      this.#chain(segment.tenant_id).segment = segment;
      this.#droppedUpTo = Math.max(this.#droppedUpTo, segment.stream_sequence);
    }
  }

  /** All checkpoints, before the first row. Those of the ledger that are newer than the stream's last are not anchored yet: one a tenant. */
  checkpoints(ledger: readonly SignedCheckpoint[], anchored: readonly SignedCheckpoint[]): void {
    const there = new Map(anchored.map((each) => [nameOf(each), each]));
    const here = new Map(ledger.map((each) => [nameOf(each), each]));
    const newest = new Map<string, number>();
    for (const { tenant_id, position } of ledger) {
      newest.set(tenant_id, Math.max(position, newest.get(tenant_id) ?? 0));
    }
    for (const each of new Map([...there, ...here]).values()) {
      const name = nameOf(each);
      const where = `checkpoint ${placeOf(each)}`;
      const other = there.get(name);
      if (!here.has(name)) this.#find('checkpoint_missing', `${where}, in the ledger`);
      else if (!other) {
        if (newest.get(each.tenant_id) !== each.position) this.#find('checkpoint_missing', `${where}, in the stream`);
      } else if (other.body !== each.body || other.signature !== each.signature) {
        this.#find('bad_checkpoint', `${where}: ledger and stream differ`);
      }
      const opened = [here.get(name), other].filter((signed) => signed).map((signed) => this.key.open(signed!));
      const checkpoint = opened.find((said) => said);
      if (opened.includes(undefined)) this.#find('bad_checkpoint', where);
      if (checkpoint) this.#chain(checkpoint.tenant_id).checkpoints.set(checkpoint.position, checkpoint);
      this.#report.checkpoints += 1;
    }
    // What was dropped is vouched for by its segment.
    for (const { segment, checkpoints, vouched } of this.#chains.values()) {
      if (!segment) continue;
      for (const [position, checkpoint] of checkpoints) {
        if (position > segment.position) continue;
        if (position === segment.position && checkpoint.hash !== segment.hash) {
          this.#find('not_as_signed', `segment ${placeOf(checkpoint)}`);
        }
        vouched.set(position, checkpoint);
        checkpoints.delete(position);
      }
    }
  }

  /** The next row, in the order of `stream_sequence`. Returns its body when nothing is wrong with it. */
  row(row: LedgerRow): string | undefined {
    this.#report.records += 1;
    const chain = this.#chain(row.tenant_id);
    const head = headBefore(row, chain);
    const lastSequence = this.#lastSequence;
    chain.head = { position: row.position, hash: row.hash };
    this.#lastSequence = Math.max(lastSequence, row.stream_sequence);
    const found = (code: FindingCode) => this.#find(code, `entry ${placeOf(row)}`);
    if (digestOf(row.body) !== row.hash) return found('changed');
    const entry = placedBy(row.body);
    const filed =
      entry.tenant_id === row.tenant_id &&
      entry.position === row.position &&
      entry.stream_sequence === row.stream_sequence &&
      entry.kind === row.kind &&
      entry.at === row.at &&
      (entry.correlation_id ?? null) === row.correlation_id &&
      (entry.actor ?? null) === row.actor;
    if (!filed) return found('misfiled');
    if (entry.position > head.position + 1)
      return this.#find('missing', `entry ${placeOf({ ...row, position: head.position + 1 })}`);
    if (entry.position <= head.position || entry.previous !== head.hash) return found('out_of_order');
    const from =
      entry.kind === 'ledger' && typeof entry.details?.['from'] === 'number'
        ? entry.details['from']
        : entry.stream_sequence;
    const mayBeDropped = from > lastSequence && from - 1 <= this.#droppedUpTo;
    if (from !== lastSequence + 1 && !mayBeDropped) {
      return this.#find(
        from > lastSequence ? 'missing' : 'out_of_order',
        `entry ${placeOf(row)}: message ${lastSequence + 1} of AUDIT`,
      );
    }
    const checkpoint = chain.checkpoints.get(row.position) ?? chain.vouched.get(row.position);
    if (checkpoint) {
      chain.checkpoints.delete(row.position);
      const asSigned = checkpoint.hash === row.hash && checkpoint.stream_sequence === row.stream_sequence;
      if (!asSigned) return found('not_as_signed');
    }
    return row.body;
  }

  /** The stream begins at this message now: the audit writer took out those before it, which the ledger has. */
  begins(sequence: number): void {
    this.#streamSequence = sequence - 1;
  }

  /** The next message that is still in the stream, with the body of the entry that was made of it; without one when the ledger has not got that far. */
  message(sequence: number, subject: string, data: Uint8Array, body: string | undefined): void {
    const expected = this.#streamSequence === undefined ? sequence : this.#streamSequence + 1;
    if (sequence !== expected) this.#find('stream_missing', `message ${expected} of AUDIT`);
    this.#streamSequence = sequence;
    if (body === undefined) {
      if (sequence > this.#lastSequence) this.#report.pending += 1;
      return;
    }
    this.#report.compared += 1;
    const entry = JSON.parse(body) as LedgerEntry;
    if (digestOf(data) !== entry.source_digest) this.#find('stream_changed', `message ${sequence} of AUDIT`);
    else if (!isMadeOf(entry, subject, data)) this.#find('changed', `entry ${placeOf(entry)}`);
  }

  /**
   * @param last sequence of the stream: everything up to it must have been seen, here or there
   * @param now the same when the last row had been read: the ledger has no message that the stream never had
   */
  finish(last?: number, now = last): VerifyReport {
    if (last !== undefined && this.#streamSequence !== undefined && this.#streamSequence < last) {
      this.#find('stream_missing', `message ${this.#streamSequence + 1} of AUDIT`);
    }
    if (now !== undefined && this.#lastSequence > now) this.#find('stream_missing', `message ${now + 1} of AUDIT`);
    for (const { head, segment, checkpoints } of this.#chains.values()) {
      const position = (head ?? segment)?.position ?? 0;
      for (const checkpoint of checkpoints.values()) {
        const cut = position < checkpoint.position;
        this.#find(cut ? 'truncated' : 'missing', `entry ${placeOf(checkpoint)}, of which there is a checkpoint`);
      }
      // A chain that ends where its segment does has no entry of its own.
      if (head ?? segment) this.#report.tenants += 1;
    }
    return this.#report;
  }

  #chain(tenantId: string): Chain {
    let chain = this.#chains.get(tenantId);
    if (!chain) this.#chains.set(tenantId, (chain = { checkpoints: new Map(), vouched: new Map() }));
    return chain;
  }

  #find(code: FindingCode, where: string): undefined {
    const { findings } = this.#report;
    if (findings.length < MOST_FINDINGS) findings.push({ code, where });
    else this.#report.more += 1;
  }
}

const START = { position: 0, hash: GENESIS };

/** Where the chain of a row has come to; its first row that is there may follow a segment, or be of one that was sealed and not dropped. */
function headBefore({ position }: LedgerRow, { head, segment }: Chain): ChainHead {
  return head ?? (segment && position > segment.position ? segment : START);
}

/** Does the entry say in the open what the message says? */
function isMadeOf(entry: LedgerEntry, subject: string, data: Uint8Array): boolean {
  const record = readRecord(subject, data);
  // What the ledger cannot read has a record of the ledger's own.
  if (entry.kind === 'ledger' && entry.what === 'unreadable') return record === undefined;
  if (!record) return false;
  const { position: _p, previous: _h, stream_sequence: _s, source_digest: _d, actor: _a, sealed: _x, ...open } = entry;
  const { record_version: _v, personal: _y, ...said } = record;
  return isSame(open, said) || canonicalJson(open) === canonicalJson(said);
}

/** Are two values of JSON the same, member by member? What it says no to may still be written alike. */
function isSame(one: unknown, other: unknown): boolean {
  if (one === other) return true;
  if (!isObject(one) || !isObject(other) || Array.isArray(one) !== Array.isArray(other)) return false;
  const names = Object.keys(one);
  return (
    names.length === Object.keys(other).length &&
    names.every((name) => Object.hasOwn(other, name) && isSame(one[name], other[name]))
  );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === 'object';
}

function nameOf({ tenant_id, position }: { tenant_id: string; position: number }): string {
  return `${position} ${tenant_id}`;
}

function placeOf({ tenant_id, position }: { tenant_id: string; position: number }): string {
  return `${position} of ${tenant_id === '' ? '%' : tenant_id}`;
}
