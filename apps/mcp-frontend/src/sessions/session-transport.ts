/**
 * The SDK's side of one request of a session: a transport that hands one request to an SDK server and gives back whatever the
 * server sends. A server made for one request only has no state that another replica would not have: it is first told the
 * session's own `initialize` again, out of the client's hearing.
 *
 * Requests that the server sends to the client get ids that name this process and the stream, so that an answer finds its way from
 * whichever replica it reaches, and never to another question.
 */
import type {
  JSONRPCMessage,
  JSONRPCRequest,
  MessageExtraInfo,
  RequestId,
  Server,
  Transport,
} from '@modelcontextprotocol/server';
import type { SessionRecord } from './session-records.js';

/** Takes what the server sends; resolves when that is safe. */
export type Outlet = (message: JSONRPCMessage) => Promise<void>;

export class SessionTransport implements Transport {
  onclose?: () => void;
  onerror?: (error: Error) => void;
  onmessage?: (message: JSONRPCMessage, extra?: MessageExtraInfo) => void;
  #greeted: ((message: JSONRPCMessage) => void) | undefined;
  readonly #questions = new Map<string, RequestId>();

  /** @param questionPrefix begins the id of every request to the client */
  constructor(
    readonly sessionId: string,
    private readonly questionPrefix: string,
    private readonly outlet: Outlet,
  ) {}

  /** Connects a server and brings it to where the session is. */
  async connect(server: Server, initialize?: SessionRecord['initialize']): Promise<void> {
    await server.connect(this);
    if (!initialize) return;
    const greeted = new Promise<JSONRPCMessage>((resolve) => (this.#greeted = resolve));
    this.receive(initialize as JSONRPCMessage);
    await greeted;
    this.#greeted = undefined;
  }

  /** Hands the server a message of the client. */
  receive(message: JSONRPCMessage, extra?: MessageExtraInfo): void {
    this.onmessage?.(message, extra);
  }

  /** Hands the server the client's answer to one of its questions, or progress on one. Returns false when it asked no such thing. */
  receiveAnswer(message: JSONRPCMessage): boolean {
    if ('method' in message) {
      const { progressToken, ...params } = (message.params ?? {}) as { progressToken?: unknown };
      const token = this.#questions.get(String(progressToken));
      if (token === undefined) return false;
      this.receive({ ...message, params: { ...params, progressToken: token } });
      return true;
    }
    const id = this.#questions.get(String(message.id));
    if (id === undefined) return false;
    this.#questions.delete(String(message.id));
    this.receive({ ...message, id });
    return true;
  }

  async start(): Promise<void> {}

  async send(message: JSONRPCMessage): Promise<void> {
    if (this.#greeted) this.#greeted(message);
    else await this.outlet('method' in message ? this.#named(message) : message);
  }

  async close(): Promise<void> {
    this.onclose?.();
  }

  #named(message: Extract<JSONRPCMessage, { method: string }>): JSONRPCMessage {
    if ('id' in message) return this.#ask(message);
    if (message.method !== 'notifications/cancelled') return message;
    const requestId = this.#wireId(message.params?.['requestId'] as RequestId);
    this.#questions.delete(requestId);
    return { ...message, params: { ...message.params, requestId } };
  }

  #ask(request: JSONRPCRequest): JSONRPCMessage {
    const id = this.#wireId(request.id);
    this.#questions.set(id, request.id);
    const meta = request.params?._meta;
    if (meta?.progressToken === undefined) return { ...request, id };
    return { ...request, id, params: { ...request.params, _meta: { ...meta, progressToken: id } } };
  }

  #wireId(id: RequestId): string {
    return `${this.questionPrefix}.${id}`;
  }
}

/** The first part of the ids of questions asked on a stream: which process asks, and on which stream. */
export function questionPrefix(incarnation: string, stream: string): string {
  return `${incarnation}.${stream}`;
}

export interface QuestionAddress {
  incarnation: string;
  stream: string;
}

const QUESTION_ID = /^([A-Za-z0-9_-]{16})\.(r_[A-Za-z0-9_-]{16})\.\d{1,10}$/;

/** Where a question came from, if this is the id of one. */
export function parseQuestionId(id: unknown): QuestionAddress | undefined {
  const match = typeof id === 'string' ? QUESTION_ID.exec(id) : null;
  return match ? { incarnation: match[1]!, stream: match[2]! } : undefined;
}
