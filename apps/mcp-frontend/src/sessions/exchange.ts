/**
 * One request of a session that runs as a command, from its first event to its response.
 *
 * Whatever the server says is stored in the stream's log before the client is sent it. The client may go away at any time: the
 * exchange goes on, and what it stores can be fetched by GET with Last-Event-ID from any replica. When this process dies, the
 * replica that the client comes back to takes the request over: it runs again as the same command (its key is the stream's id), and
 * facts that were stored before are stored and sent only once, because both runs name them alike:
 *   progress by its value, which grows within a request; what else carries a sequence (log lines) by that; the response by being one.
 * Questions to the client belong to the process that asked. One that took over asks again.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { CallboardError, encodeToken } from '@callboard/envelope';
import type { JSONRPCMessage, JSONRPCRequest, JSONRPCResponse, Server } from '@modelcontextprotocol/server';
import { RPC, toRpcError, type FaultReporter } from '../protocol-errors.js';
import { SEQUENCE_META } from '../server-factory.js';
import { FACT, factSubject, readJson, type EventLog, type StreamAddress } from './event-log.js';
import type { ReplicaId } from './replicas.js';
import { SessionTransport, questionPrefix } from './session-transport.js';
import type { Session } from './session-records.js';
import type { SseStream } from './sse-stream.js';

/** First fact of a stream. */
export interface OpenRecord {
  request: JSONRPCRequest;
  /** Headers of the HTTP request that say how the command is to be run. */
  headers: Record<string, string>;
  served_by: ReplicaId;
  opened_at: string;
}

/** What an exchange is refused when it cannot be stored; nothing had been done then. */
const OPEN_TIMEOUT_MS = 10_000;
/** An event that belongs to an accepted command is not given up while the process lives. */
const EVENT_TIMEOUT_MS = 600_000;
const RETRY_MS = 1_000;
/** What fits into one message of the stream, with its headers. */
const MAX_EVENT_BYTES = 1024 * 1024 - 4096;
/** Notifications that may wait to be stored. An action that is louder than the disk loses the surplus, never its result. */
const MAX_WAITING = 1_000;

export interface ExchangeOptions {
  session: Session;
  stream: string;
  request: JSONRPCRequest;
  log: EventLog;
  self: ReplicaId;
  report: FaultReporter;
  onError: (error: unknown) => void;
}

export class Exchange {
  readonly session: Session;
  readonly stream: string;
  readonly request: JSONRPCRequest;
  /** Resolves when the last fact is stored, or the exchange was abandoned. */
  readonly ended: Promise<void>;
  #end!: () => void;
  #abandoned = false;
  #cancelled = false;
  #sink: SseStream | undefined;
  #sent = 0;
  #waiting = 0;
  #progress = -Infinity;
  #others = 0;
  #tail: Promise<void> = Promise.resolve();
  readonly #transport: SessionTransport;

  constructor(private readonly options: ExchangeOptions) {
    const { session, stream, request, self } = options;
    this.session = session;
    this.stream = stream;
    this.request = request;
    this.ended = new Promise((resolve) => (this.#end = resolve));
    this.#transport = new SessionTransport(session.id, questionPrefix(self.incarnation, stream), (message) =>
      this.#tell(message),
    );
  }

  /**
   * Stores that the request is here and who serves it; from then on it is answered, whoever dies.
   * @throws CallboardError when it cannot be stored: nothing was done
   */
  async open(headers: Record<string, string>): Promise<number> {
    const { log, request, self } = this.options;
    const record: OpenRecord = { request, headers, served_by: self, opened_at: new Date().toISOString() };
    const data = Buffer.from(JSON.stringify(record));
    if (data.byteLength > MAX_EVENT_BYTES) throw new CallboardError('payload_too_large');
    try {
      const { sequence } = await log.store(this.#subject(FACT.open), data, this.#storing(OPEN_TIMEOUT_MS));
      return sequence;
    } catch (cause) {
      throw new CallboardError('unavailable', undefined, { retryAfterMs: 1_000, cause });
    }
  }

  /** Sends events to this response as they are stored, until it closes. */
  attach(sink: SseStream): void {
    this.#sink = sink;
  }

  /** Sends nothing any more; the exchange goes on. */
  detach(): void {
    this.#sink?.end();
    this.#sink = undefined;
  }

  /** Runs the request on a server that is made for it alone. */
  async run(makeServer: () => Server): Promise<void> {
    const { session, request, options } = this;
    try {
      const server = makeServer();
      // What the SDK says of an error can hold what the client sent.
      server.onerror = ({ name }) => options.onError(new Error(`the protocol server met ${name}`));
      await this.#transport.connect(server, session.record.initialize);
      const letGo = session.readsEmptyEvents ? { closeSSEStream: () => this.detach() } : undefined;
      this.#transport.receive(request, letGo);
    } catch (error) {
      await this.#tell({ jsonrpc: '2.0', id: request.id, error: toRpcError(error, options.report) } as JSONRPCMessage);
    }
  }

  answer(message: JSONRPCMessage): boolean {
    return this.#transport.receiveAnswer(message);
  }

  /** Does its client no longer want the response? */
  get cancelled(): boolean {
    return this.#cancelled;
  }

  /** The client no longer wants the response: none is sent. */
  cancel(notification: JSONRPCMessage): void {
    this.#cancelled = true;
    this.#transport.receive(notification);
    void this.#store(FACT.response, new Uint8Array()).finally(() => this.#finish());
  }

  /** Lets go of it all: another replica takes over. Nothing that the server still says is stored. */
  abandon(): void {
    this.#abandoned = true;
    this.detach();
    // The server stops waiting: for the client's answers, and for the command, which goes on.
    void this.#transport.close();
    this.#end();
  }

  /** Stores a message of the server in its turn, and sends it. */
  #tell(message: JSONRPCMessage): Promise<void> {
    const fact = this.#factOf(message);
    if (fact === undefined) return Promise.resolve();
    if (fact !== FACT.response && this.#waiting >= MAX_WAITING) return Promise.resolve();
    this.#waiting += 1;
    this.#tail = this.#tail.then(async () => {
      const data = Buffer.from(JSON.stringify(withoutSequence(message)));
      if (data.byteLength <= MAX_EVENT_BYTES) await this.#store(fact, data);
      else if (!('method' in message)) await this.#store(fact, Buffer.from(JSON.stringify(tooLarge(message))));
      this.#waiting -= 1;
      if (fact === FACT.response) this.#finish();
    });
    return this.#tail;
  }

  /** The name of what a message tells, the same on whichever replica tells it; `undefined` for what must not be told. */
  #factOf(message: JSONRPCMessage): string | undefined {
    if (!('method' in message)) return FACT.response;
    if ('id' in message) return questionFact(this.options.self, this.#others++);
    if (message.method === 'notifications/progress') {
      const progress = Number(message.params?.['progress']);
      // A later attempt of the action begins anew; MCP wants progress to grow.
      if (!(progress > this.#progress)) return undefined;
      this.#progress = progress;
      return `p${encodeToken(String(progress))}`;
    }
    const sequence = message.params?._meta?.[SEQUENCE_META];
    if (typeof sequence === 'number') return `s${sequence}`;
    return `n-${this.options.self.incarnation}-${this.#others++}`;
  }

  async #store(fact: string, data: Uint8Array): Promise<void> {
    while (!this.#abandoned) {
      try {
        const stored = await this.options.log.store(this.#subject(fact), data, this.#storing(EVENT_TIMEOUT_MS));
        if (this.#abandoned) return;
        // Stored before by another replica: the client has it, or gets it, in its place.
        if (stored.sequence > this.#sent && stored.data.byteLength > 0) {
          this.#sent = stored.sequence;
          this.#sink?.event(eventId(stored.sequence, this.stream), stored.data);
        }
        return;
      } catch (error) {
        this.options.onError(error);
        await delay(RETRY_MS);
      }
    }
  }

  #finish(): void {
    this.detach();
    this.#end();
  }

  #storing(timeoutMs: number) {
    return { timeoutMs, tenantId: this.session.principal.tenantId };
  }

  #subject(fact: string): string {
    return factSubject({ session: this.session.id, stream: this.stream }, fact);
  }
}

/** Who serves the request of a stream: who opened it, or who claimed it last. `undefined` when there is no such stream. */
export async function findServer(log: EventLog, address: StreamAddress): Promise<ReplicaId | undefined> {
  const [open, claim] = await Promise.all([FACT.open, FACT.claim].map((fact) => log.last(factSubject(address, fact))));
  if (claim) return readJson<ReplicaId>(claim);
  return open && readJson<OpenRecord>(open).served_by;
}

/** What a client is given to come back with: a place in the log of one stream. */
export function eventId(sequence: number, stream: string, events?: number): string {
  return `${sequence}.${stream}${events === undefined ? '' : `.${events}`}`;
}

const EVENT_ID = /^(\d{1,15})\.([rg]_[A-Za-z0-9_-]{16})(?:\.(\d{1,15}))?$/;

export interface StreamPosition {
  sequence: number;
  stream: string;
  /** Of the standalone stream, once it told of events: it told of all up to this sequence of theirs. */
  events?: number;
}

export function parseEventId(id: string): StreamPosition | undefined {
  const [matched, sequence, stream, events] = EVENT_ID.exec(id) ?? [];
  if (matched === undefined) return undefined;
  return { sequence: Number(sequence), stream: stream!, ...(events !== undefined && { events: Number(events) }) };
}

function questionFact({ incarnation }: ReplicaId, n: number): string {
  return `ask-${incarnation}-${n}`;
}

/** Is this a question of another process than the one given? Nobody waits for its answer then. */
export function isQuestionOfAnother(fact: string, { incarnation }: ReplicaId): boolean {
  return fact.startsWith('ask-') && !fact.startsWith(`ask-${incarnation}-`);
}

function withoutSequence(message: JSONRPCMessage): JSONRPCMessage {
  if (!('method' in message) || message.params?._meta?.[SEQUENCE_META] === undefined) return message;
  const { _meta: meta, ...params } = message.params;
  const { [SEQUENCE_META]: _, ...rest } = meta!;
  return { ...message, params: Object.keys(rest).length > 0 ? { ...params, _meta: rest } : params } as JSONRPCMessage;
}

function tooLarge({ id }: JSONRPCResponse): object {
  const error = new CallboardError('payload_too_large');
  return { jsonrpc: '2.0', id, error: { code: RPC.internal, message: error.message, data: error.toBody() } };
}
