import { HEADER, JSON_CONTENT_TYPE, progressSubject, type CommandEnvelope, type Progress } from '@callboard/envelope';
import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { headerLine, type AckedPublisher } from './acked-publisher.js';
import { STREAM } from './topology.js';

const TIMEOUT_MS = 3_600_000;

/** Writes and reads the non-terminal facts of commands. */
export class ProgressLog {
  private constructor(
    private readonly publisher: AckedPublisher,
    private readonly jsm: JetStreamManager,
  ) {}

  static async open(nc: NatsConnection, publisher: AckedPublisher): Promise<ProgressLog> {
    return new ProgressLog(publisher, await jetstreamManager(nc, { checkAPI: false }));
  }

  /** Resolves when the fact is durable. `n` counts the facts of one attempt, so that one that is sent twice is stored once. */
  async publish(command: CommandEnvelope, fact: Progress, n: number): Promise<void> {
    const head =
      headerLine(HEADER.contentType, JSON_CONTENT_TYPE) +
      headerLine(HEADER.msgId, `${command.correlation_id}:${fact.attempt}:${n}`);
    const subject = progressSubject(command.tenant_id, command.correlation_id);
    await this.publisher.publish(subject, Buffer.from(JSON.stringify(fact)), head, TIMEOUT_MS);
  }

  /** The last fact of a command, if it has one. */
  async last(command: CommandEnvelope): Promise<Progress | undefined> {
    const subject = progressSubject(command.tenant_id, command.correlation_id);
    const message = await this.jsm.direct.getMessage(STREAM.outcomes, { last_by_subj: subject });
    return message?.json<Progress>();
  }
}
