/**
 * `callboard tenants export`: everything that is kept of a tenant, in a folder: a file of JSON Lines for each stream and bucket, one for the ledger, and
 * `manifest.json`, which is written last: an export without it was cut short.
 *
 * Each file is written while it is read; no more than one answer of a stream is in memory.
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { FilterControl, LedgerControl, tenantPlaces } from '@callboard/jetstream';
import { jetstreamManager, type StoredMsg } from '@nats-io/jetstream';
import { entries } from '../commands/audit.js';
import { Failure } from '../failure.js';
import { asOperator, asUser, type StackAddress } from '../running-stack.js';
import { messagesOf } from './messages-of.js';

export interface ExportedFile {
  file: string;
  /** The stream or bucket; absent for the ledger. */
  stream?: string;
  lines: number;
  /** Of the lines, as the stream counts; those of the ledger are the messages of AUDIT that the entries were made of. */
  first_sequence?: number;
  last_sequence?: number;
  bytes: number;
  /** Hex. */
  sha256: string;
}

/** What is there and is not exported. */
export interface LeftOut {
  what: string;
  messages?: number;
  why: string;
}

export interface ExportManifest {
  format: 'callboard.tenant-export';
  version: 1;
  tenant: string;
  /** ISO 8601, UTC. */
  started_at: string;
  ended_at: string;
  files: ExportedFile[];
  left_out: LeftOut[];
}

const FOR_THE_FILTER = 'only the privacy filter may read what it has not passed';

/**
 * On record before anything is read.
 * @throws Failure when the folder holds something
 */
export async function exportTenant(stack: StackAddress, tenantId: string, to: string): Promise<ExportManifest> {
  await prepare(to);
  const startedAt = new Date().toISOString();
  const doing = { what: 'export', tenantId: '', details: { tenant: tenantId } };
  return asOperator(stack, doing, async (operator) => {
    const rest = await new FilterControl(operator).ask('count', { tenant: tenantId });
    const files = await asUser(stack, 'sre', async (sre) => {
      const jsm = await jetstreamManager(sre, { checkAPI: false });
      const written: ExportedFile[] = [];
      for (const place of tenantPlaces(tenantId)) {
        if (place.kind === 'filter' || place.kind === 'sealed') continue;
        const file = new LinesFile(to, `${place.stream}.jsonl`, place.stream);
        for await (const message of messagesOf(jsm, place, tenantId)) await file.line(lineOf(message), message.seq);
        written.push(await file.end());
      }
      return written;
    });
    files.push(await exportLedger(new LedgerControl(operator), tenantId, to));
    const manifest: ExportManifest = {
      ...{ format: 'callboard.tenant-export', version: 1, tenant: tenantId },
      ...{ started_at: startedAt, ended_at: new Date().toISOString(), files },
      left_out: [
        { what: 'EVENTS_RAW', messages: rest.raw, why: FOR_THE_FILTER },
        { what: 'EVENTS_HELD', messages: rest.held, why: `${FOR_THE_FILTER}; DEAD_LETTERS says of each what it is` },
        { what: 'keys', why: 'those of pseudonyms and of the ledger leave their stores for nobody' },
        { what: 'AUDIT', why: 'its records are the entries of the ledger' },
        { what: 'AUDIT_CHECKPOINTS', why: 'hashes and signatures; they prove the ledger where it is' },
      ],
    };
    await writeFile(join(to, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`, { flag: 'wx', mode: 0o600 });
    return manifest;
  });
}

async function prepare(to: string): Promise<void> {
  await mkdir(to, { recursive: true, mode: 0o700 });
  if ((await readdir(to)).length === 0) return;
  throw new Failure(`${to} is not empty: name a new folder, for an export is whole or none.`);
}

/** As far as it has come now; what this export brings about comes after it. Each page is on record as `audit_read`. */
async function exportLedger(ledger: LedgerControl, tenant: string, to: string): Promise<ExportedFile> {
  const { written } = await ledger.ask('status', {});
  const file = new LinesFile(to, 'LEDGER.jsonl');
  for await (const entry of entries(ledger, { tenant, after: 0 }, 'oldest first')) {
    if (entry.stream_sequence > written) break;
    await file.line(JSON.stringify(entry), entry.stream_sequence);
  }
  return file.end();
}

class LinesFile {
  readonly #out;
  readonly #hash = createHash('sha256');
  readonly #about: ExportedFile;

  constructor(folder: string, file: string, stream?: string) {
    this.#about = { file, ...(stream !== undefined && { stream }), lines: 0, bytes: 0, sha256: '' };
    this.#out = createWriteStream(join(folder, file), { flags: 'wx', mode: 0o600 });
  }

  /** Resolves when there is room for the next one. @throws when the file cannot be written */
  async line(text: string, sequence: number): Promise<void> {
    const about = this.#about;
    const bytes = Buffer.from(`${text}\n`);
    about.lines += 1;
    about.bytes += bytes.length;
    about.first_sequence = Math.min(about.first_sequence ?? sequence, sequence);
    about.last_sequence = Math.max(about.last_sequence ?? sequence, sequence);
    this.#hash.update(bytes);
    if (this.#out.errored) throw this.#out.errored;
    if (!this.#out.write(bytes)) await once(this.#out, 'drain');
  }

  async end(): Promise<ExportedFile> {
    this.#out.end();
    if (!this.#out.closed) await once(this.#out, 'close');
    return { ...this.#about, sha256: this.#hash.digest('hex') };
  }
}

/** JSON stands as it is, other text as a text, and what is neither as Base64. */
function lineOf({ subject, seq, timestamp, header, data }: StoredMsg): string {
  const headers = Object.fromEntries([...header].map(([name, values]) => [name, values]));
  const about = JSON.stringify({ subject, sequence: seq, stored_at: timestamp, headers }).slice(0, -1);
  const bytes = Buffer.from(data);
  const text = bytes.toString('utf8');
  if (!Buffer.from(text, 'utf8').equals(bytes)) return `${about},"base64":${JSON.stringify(bytes.toString('base64'))}}`;
  return isJsonLine(text) ? `${about},"json":${text}}` : `${about},"text":${JSON.stringify(text)}}`;
}

function isJsonLine(text: string): boolean {
  if (/[\r\n]/.test(text)) return false;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
