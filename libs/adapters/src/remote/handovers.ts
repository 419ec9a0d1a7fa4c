/**
 * What is stored of commands that were handed over to a far side, in the stream DISPATCH:
 *   `dispatch.<queue>.<tenant>.<correlation_id>.<round>`  the command itself, for a far side that takes its work from there;
 *   `handed.<tenant>.<correlation_id>.<round>`            that a far side has taken the command over HTTP;
 *                                                     of a scaffolder, with the id of the task.
 *
 * A round is one handing over; there is another only after the far side has answered that it failed and may be tried again. Whoever
 * runs the command next finds out from here, and from the answers in OUTCOMES, that it must not hand it over again but wait.
 *
 * Invariant: one round is dispatched once (H1): the server refuses a second message at its subject. It is kept until the deadline.
 */
import {
  HEADER,
  JSON_CONTENT_TYPE,
  answerSubject,
  callbackKey,
  dispatchSubject,
  handedSubject,
  type CommandEnvelope,
  type FarSideAnswer,
  type JsonObject,
} from '@callboard/envelope';
import { AckedPublisher, STREAM, headerLine } from '@callboard/jetstream';
import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';

/** How a command stands with its far side. */
export interface Standing {
  round: number;
  /** Was it handed over in this round? */
  handed: boolean;
  answer?: FarSideAnswer;
}

/** The command as far as it is needed to find it. */
export type Handed = Pick<CommandEnvelope, 'tenant_id' | 'correlation_id' | 'deadline_at'>;

const READ_TIMEOUT_MS = 2_000;

export class Handovers {
  private constructor(
    private readonly publisher: AckedPublisher,
    private readonly jsm: JetStreamManager,
  ) {}

  static async open(nc: NatsConnection): Promise<Handovers> {
    const jsm = await jetstreamManager(nc, { checkAPI: false, timeout: READ_TIMEOUT_MS });
    return new Handovers(new AckedPublisher(nc), jsm);
  }

  close(): void {
    this.publisher.close();
  }

  /** The first round that is not over. */
  async standing(command: Handed, queue: string | undefined): Promise<Standing> {
    for (let round = 1; ; round++) {
      const answer = await this.#answer(command, round);
      if (answer?.status === 'error' && answer.error.retryable === true) continue;
      if (answer) return { round, handed: true, answer };
      const subject = subjectOf(command, round, queue);
      return { round, handed: (await this.#read(STREAM.dispatch, subject)) !== undefined };
    }
  }

  /** What was stored when the far side had taken the command in this round; undefined: nothing was. */
  async noted(command: Handed, round: number): Promise<JsonObject | undefined> {
    const data = await this.#read(STREAM.dispatch, subjectOf(command, round, undefined));
    return data && (JSON.parse(Buffer.from(data).toString()) as JsonObject);
  }

  /** Resolves when the message is stored, now or before. */
  async store(command: Handed, round: number, queue: string | undefined, message: object): Promise<void> {
    const left = Date.parse(command.deadline_at) - Date.now();
    const head =
      headerLine(HEADER.contentType, JSON_CONTENT_TYPE) +
      headerLine(HEADER.expectedLastSubjectSequence, '0') +
      headerLine(HEADER.ttl, `${Math.max(1, Math.ceil(left / 1000))}s`);
    const data = Buffer.from(JSON.stringify(message));
    await this.publisher.publishOnce(subjectOf(command, round, queue), data, head, Math.max(1, left));
  }

  async #answer(command: Handed, round: number): Promise<FarSideAnswer | undefined> {
    const subject = answerSubject(command.tenant_id, command.correlation_id, callbackKey(round));
    const data = await this.#read(STREAM.outcomes, subject);
    return data && (JSON.parse(Buffer.from(data).toString()) as FarSideAnswer);
  }

  async #read(stream: string, subject: string): Promise<Uint8Array | undefined> {
    return (await this.jsm.direct.getMessage(stream, { last_by_subj: subject }))?.data;
  }
}

function subjectOf(command: Handed, round: number, queue: string | undefined): string {
  const { tenant_id: tenantId, correlation_id: correlationId } = command;
  return queue === undefined
    ? handedSubject(tenantId, correlationId, round)
    : dispatchSubject(queue, tenantId, correlationId, round);
}
