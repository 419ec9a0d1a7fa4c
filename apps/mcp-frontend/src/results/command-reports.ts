/** Reports about commands, as the streams keep them. */
import { randomUUID } from 'node:crypto';
import {
  HEADER,
  JSON_CONTENT_TYPE,
  answerSubject,
  progressSubject,
  type CallbackRight,
  type JsonObject,
  type Outcome,
  type Progress,
} from '@callboard/envelope';
import { AckedPublisher, STREAM, headerLine, type CommandClient } from '@callboard/jetstream';
import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import type { Reports } from './results-edge.js';

const TIMEOUT_MS = 5_000;

export class CommandReports implements Reports {
  private constructor(
    private readonly commands: CommandClient,
    private readonly publisher: AckedPublisher,
    private readonly jsm: JetStreamManager,
  ) {}

  static async open(this: void, nc: NatsConnection, commands: CommandClient): Promise<CommandReports> {
    const jsm = await jetstreamManager(nc, { checkAPI: false, timeout: TIMEOUT_MS });
    return new CommandReports(commands, new AckedPublisher(nc), jsm);
  }

  outcome({ tenantId, correlationId }: CallbackRight): Promise<Outcome | undefined> {
    return this.commands.lookup(tenantId, correlationId);
  }

  answered({ tenantId, correlationId }: CallbackRight, key: string): Promise<JsonObject | undefined> {
    return this.#last(STREAM.outcomes, answerSubject(tenantId, correlationId, key));
  }

  answer({ tenantId, correlationId }: CallbackRight, key: string, answer: JsonObject) {
    return this.commands.answer(tenantId, correlationId, key, answer);
  }

  lastProgress({ tenantId, correlationId }: CallbackRight): Promise<Progress | undefined> {
    return this.#last(STREAM.progress, progressSubject(tenantId, correlationId));
  }

  async progress({ tenantId, correlationId }: CallbackRight, fact: Progress): Promise<void> {
    const head =
      headerLine(HEADER.contentType, JSON_CONTENT_TYPE) +
      headerLine(HEADER.msgId, `${correlationId}:report:${randomUUID()}`);
    const subject = progressSubject(tenantId, correlationId);
    await this.publisher.publish(subject, Buffer.from(JSON.stringify(fact)), head, TIMEOUT_MS);
  }

  async #last<T>(stream: string, subject: string): Promise<T | undefined> {
    const message = await this.jsm.direct.getMessage(stream, { last_by_subj: subject });
    return message?.json<T>();
  }
}
