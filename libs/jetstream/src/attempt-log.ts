import {
  HEADER,
  JSON_CONTENT_TYPE,
  attemptSubject,
  attemptSubjects,
  outcomeSubject,
  type AttemptFact,
  type CommandEnvelope,
} from '@callboard/envelope';
import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { headerLine, type AckedPublisher } from './acked-publisher.js';
import { STREAM } from './topology.js';

const TIMEOUT_MS = 3_600_000;
const HEADERS = headerLine(HEADER.contentType, JSON_CONTENT_TYPE) + headerLine(HEADER.expectedLastSubjectSequence, '0');

/** What a later owner of a command must know of the attempts before: which began, which failed, and when the next one is due. */
export class AttemptLog {
  private constructor(
    private readonly publisher: AckedPublisher,
    private readonly jsm: JetStreamManager,
  ) {}

  static async open(nc: NatsConnection, publisher: AckedPublisher): Promise<AttemptLog> {
    return new AttemptLog(publisher, await jetstreamManager(nc, { checkAPI: false }));
  }

  /** Resolves when the fact is durable; each is stored once. */
  async publish(command: CommandEnvelope, fact: AttemptFact): Promise<void> {
    const subject = attemptSubject(command.tenant_id, command.correlation_id, fact.attempt, fact.kind);
    await this.publisher.publishOnce(subject, Buffer.from(JSON.stringify(fact)), HEADERS, TIMEOUT_MS);
  }

  /** The last fact, if there is one. */
  async last(command: CommandEnvelope): Promise<AttemptFact | undefined> {
    const subject = attemptSubjects(command.tenant_id, command.correlation_id);
    // Of the leader: a replica that is behind would have an attempt begin again under its old number.
    const message = await this.jsm.streams.getMessage(STREAM.outcomes, { last_by_subj: subject });
    return message?.json<AttemptFact>();
  }

  /** Has a command of whom only the name is known its outcome? */
  async hasEnded(tenantId: string, correlationId: string): Promise<boolean> {
    const subject = outcomeSubject(tenantId, correlationId);
    return (await this.jsm.streams.getMessage(STREAM.outcomes, { last_by_subj: subject })) !== null;
  }
}
