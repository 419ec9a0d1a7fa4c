/**
 * Takes signed checkpoints of the chains, and keeps each in two places: the ledger, and the stream AUDIT_CHECKPOINTS, whose messages nobody can
 * delete.
 *
 * A round signs the head of every chain that has grown since the last, and then brings into the stream, in order, whatever is not there yet: after
 * a crash the next round finishes it. Everything up to `anchored` is vouched for in both places.
 */
import type { CheckpointSigner, SignedCheckpoint } from '@callboard/audit';
import { HEADER, JSON_CONTENT_TYPE, checkpointSubject } from '@callboard/envelope';
import { STREAM, headerLine, type AckedPublisher } from '@callboard/jetstream';
import type { JetStreamManager } from '@nats-io/jetstream';
import type { Database } from './database.js';
import { LedgerReader } from './ledger-reader.js';

interface Head {
  tenant_id: string;
  position: number;
  hash: string;
  stream_sequence: number;
}

const PUBLISH_TIMEOUT_MS = 10_000;
const PAGE = 1_000;

export class Checkpoints {
  readonly #reader: LedgerReader;
  #anchored: number | undefined;

  constructor(
    private readonly db: Database,
    private readonly signer: CheckpointSigner,
    private readonly publisher: AckedPublisher,
    private readonly jsm: JetStreamManager,
  ) {
    this.#reader = new LedgerReader(db);
  }

  /** Returns up to which message of the audit stream everything is vouched for in both places. */
  async take(): Promise<number> {
    const heads = await this.db.query<Head>(
      `SELECT DISTINCT ON (tenant_id) tenant_id, position, hash, stream_sequence FROM audit_records
       WHERE stream_sequence > (SELECT coalesce(max(stream_sequence), 0) FROM audit_checkpoints)
       ORDER BY tenant_id, position DESC`,
    );
    const at = new Date().toISOString();
    for (const head of heads) await this.#keep(head, at);
    return this.#anchor();
  }

  async #keep(head: Head, at: string): Promise<void> {
    const { tenant_id, position, body, signature } = this.signer.sign({ ...head, at });
    await this.db.query(
      `INSERT INTO audit_checkpoints (tenant_id, position, stream_sequence, body, signature) VALUES ($1, $2, $3, $4, $5)
       ON CONFLICT DO NOTHING`,
      [tenant_id, position, head.stream_sequence, body, signature],
    );
  }

  async #anchor(): Promise<number> {
    this.#anchored ??= await this.#lastAnchored();
    for (;;) {
      const page = await this.#reader.checkpoints(this.#anchored, PAGE);
      for (const { stream_sequence, ...signed } of page) {
        await this.#publish(signed);
        this.#anchored = stream_sequence;
      }
      if (page.length < PAGE) return this.#anchored;
    }
  }

  async #publish(signed: SignedCheckpoint): Promise<void> {
    const name = `${signed.tenant_id} ${signed.position}`;
    const headers =
      headerLine(HEADER.contentType, JSON_CONTENT_TYPE) + headerLine(HEADER.msgId, encodeURIComponent(name));
    const data = Buffer.from(JSON.stringify(signed));
    await this.publisher.publish(checkpointSubject(signed.tenant_id), data, headers, PUBLISH_TIMEOUT_MS);
  }

  async #lastAnchored(): Promise<number> {
    const { last_seq } = (await this.jsm.streams.info(STREAM.auditCheckpoints)).state;
    if (last_seq === 0) return 0;
    const message = await this.jsm.direct.getMessage(STREAM.auditCheckpoints, { seq: last_seq });
    const signed = message?.json<SignedCheckpoint>();
    // Bringing one there again is harmless.
    return signed ? (JSON.parse(signed.body) as { stream_sequence: number }).stream_sequence : 0;
  }
}
