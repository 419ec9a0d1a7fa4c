/**
 * What a running command asks of the world outside, and what it is told. A question is stored once by its key, and so is the answer:
 * a later attempt that asks again under the same key finds the answer of before. An answer may also come without a question, as a
 * far side's callback does.
 */
import {
  HEADER,
  JSON_CONTENT_TYPE,
  LIVE_PREFIX,
  answerSubject,
  inputSubject,
  type CommandEnvelope,
  type InputRequest,
  type JsonObject,
} from '@callboard/envelope';
import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { headerLine, type AckedPublisher } from './acked-publisher.js';
import { onConnectionChange } from './connect.js';
import { STREAM } from './topology.js';

const TIMEOUT_MS = 3_600_000;
/** A republished answer can be missed; what waits is looked up this often as well. */
const LOOK_MS = 5_000;
const HEADERS = headerLine(HEADER.contentType, JSON_CONTENT_TYPE) + headerLine(HEADER.expectedLastSubjectSequence, '0');

export class InputExchange {
  /** By subject of the answer. */
  readonly #waiting = new Map<string, Set<(data: Uint8Array) => void>>();
  readonly #looking: NodeJS.Timeout;
  readonly #unsubscribe: () => void;

  private constructor(
    nc: NatsConnection,
    private readonly publisher: AckedPublisher,
    private readonly jsm: JetStreamManager,
  ) {
    nc.subscribe(`${LIVE_PREFIX}.answer.>`, {
      callback: (error, message) => {
        if (!error) this.#tell(message.subject.slice(LIVE_PREFIX.length + 1), message.data);
      },
    });
    this.#looking = setInterval(() => this.#lookAll(), LOOK_MS).unref();
    this.#unsubscribe = onConnectionChange(nc, (change) => {
      if (change === 'connected') this.#lookAll();
    });
  }

  static async open(nc: NatsConnection, publisher: AckedPublisher): Promise<InputExchange> {
    return new InputExchange(nc, publisher, await jetstreamManager(nc, { checkAPI: false }));
  }

  close(): void {
    clearInterval(this.#looking);
    this.#unsubscribe();
    this.#waiting.clear();
  }

  /** Resolves when the question is stored. */
  async ask(command: CommandEnvelope, key: string, request: InputRequest): Promise<void> {
    const subject = inputSubject(command.tenant_id, command.correlation_id, key);
    await this.publisher.publishOnce(subject, Buffer.from(JSON.stringify(request)), HEADERS, TIMEOUT_MS);
  }

  /**
   * Resolves with the answer, however long it takes; one that was stored before, at once.
   * @throws the signal's reason when that fires first
   */
  answer(command: CommandEnvelope, key: string, signal: AbortSignal): Promise<JsonObject> {
    const subject = answerSubject(command.tenant_id, command.correlation_id, key);
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason as Error);
      const waiting = this.#waiting.get(subject) ?? new Set();
      this.#waiting.set(subject, waiting);
      const done = () => {
        waiting.delete(tell);
        if (waiting.size === 0) this.#waiting.delete(subject);
        signal.removeEventListener('abort', gone);
      };
      const gone = () => {
        done();
        reject(signal.reason as Error);
      };
      const tell = (data: Uint8Array) => {
        done();
        try {
          resolve(JSON.parse(Buffer.from(data).toString()) as JsonObject);
        } catch (error) {
          reject(error as Error);
        }
      };
      waiting.add(tell);
      signal.addEventListener('abort', gone);
      void this.#look(subject);
    });
  }

  #lookAll(): void {
    for (const subject of this.#waiting.keys()) void this.#look(subject);
  }

  async #look(subject: string): Promise<void> {
    try {
      const stored = await this.jsm.streams.getMessage(STREAM.outcomes, { last_by_subj: subject });
      if (stored) this.#tell(subject, stored.data);
    } catch {
      // The server is away; the reconnect looks again.
    }
  }

  #tell(subject: string, data: Uint8Array): void {
    for (const tell of [...(this.#waiting.get(subject) ?? [])]) tell(data);
  }
}
