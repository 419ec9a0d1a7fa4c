import { HEADER, JSON_CONTENT_TYPE, progressSubject, type CommandEnvelope, type Progress } from '@callboard/envelope';
import { headerLine, type AckedPublisher } from './acked-publisher.js';

const TIMEOUT_MS = 3_600_000;

/** Writes what running commands tell on their way. */
export class ProgressLog {
  constructor(private readonly publisher: AckedPublisher) {}

  /** Resolves when the fact is durable. `n` counts the facts of one attempt, so that one that is sent twice is stored once. */
  async publish(command: CommandEnvelope, fact: Progress, n: number): Promise<void> {
    const head =
      headerLine(HEADER.contentType, JSON_CONTENT_TYPE) +
      headerLine(HEADER.msgId, `${command.correlation_id}:${fact.attempt}:${n}`);
    const subject = progressSubject(command.tenant_id, command.correlation_id);
    await this.publisher.publish(subject, Buffer.from(JSON.stringify(fact)), head, TIMEOUT_MS);
  }
}
