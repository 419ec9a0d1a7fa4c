/**
 * The exchanges that run in this process, and the way to those that run in others: a client's answers and cancellations may reach
 * any replica.
 */
import { CallboardError } from '@callboard/envelope';
import type { Limit } from '@callboard/http';
import type { JSONRPCMessage, JSONRPCRequest } from '@modelcontextprotocol/server';
import type { FaultReporter } from '../protocol-errors.js';
import type { EventLog } from './event-log.js';
import { Exchange, findServer } from './exchange.js';
import type { Question, Replicas } from './replicas.js';
import type { Session } from './session-records.js';
import { parseQuestionId } from './session-transport.js';

export interface ExchangeParts {
  log: EventLog;
  replicas: Replicas;
  /** Those that run here. */
  requests: Limit;
  report: FaultReporter;
  onError: (error: unknown) => void;
}

export class Exchanges {
  readonly #byStream = new Map<string, Exchange>();
  readonly #bySession = new Map<string, Set<Exchange>>();

  constructor(
    private readonly parts: ExchangeParts,
    private readonly maxPerSession: number,
  ) {}

  get(stream: string): Exchange | undefined {
    return this.#byStream.get(stream);
  }

  /** @throws CallboardError `overloaded` */
  begin(session: Session, stream: string, request: JSONRPCRequest): Exchange {
    const { requests } = this.parts;
    if ((this.#bySession.get(session.id)?.size ?? 0) >= this.maxPerSession) {
      throw new CallboardError('overloaded', 'Too many requests of one session', { retryAfterMs: 1_000 });
    }
    if (!requests.tryTake()) throw requests.refusal();
    const exchange = this.continue(session, stream, request);
    void exchange.ended.then(() => requests.release());
    return exchange;
  }

  /** An exchange that another replica had begun; it was accepted there, so no limit holds it up. */
  continue(session: Session, stream: string, request: JSONRPCRequest): Exchange {
    const { log, replicas, report, onError } = this.parts;
    const exchange = new Exchange({ session, stream, request, log, self: replicas.self, report, onError });
    this.#byStream.set(stream, exchange);
    const ofSession = this.#bySession.get(session.id) ?? new Set();
    this.#bySession.set(session.id, ofSession.add(exchange));
    void exchange.ended.then(() => {
      this.#byStream.delete(stream);
      ofSession.delete(exchange);
      if (ofSession.size === 0) this.#bySession.delete(session.id);
    });
    return exchange;
  }

  /** Takes the client's answer to a question, or progress on it, to the exchange that asked. What nobody asked is ignored. */
  async answer(session: Session, about: unknown, message: JSONRPCMessage): Promise<void> {
    const asked = parseQuestionId(about);
    if (!asked) return;
    const question = { about: 'answer', session: session.id, stream: asked.stream, message };
    const { log, replicas } = this.parts;
    if (asked.incarnation === replicas.self.incarnation) {
      this.receive(question);
      return;
    }
    const server = await findServer(log, { session: session.id, stream: asked.stream });
    if (server?.incarnation !== asked.incarnation || !(await replicas.isAlive(server))) return;
    await replicas.ask(server, question);
  }

  /** Cancels a request of a session, wherever it runs. */
  cancel(session: Session, message: JSONRPCMessage): void {
    this.parts.replicas.tellEveryone({ about: 'cancelled', session: session.id, message });
  }

  /** What another replica, or this one, was told by a client. Returns whether it was for an exchange that runs here. */
  receive(question: Question): boolean {
    const ofSession = this.#bySession.get(question['session'] as string);
    const message = question['message'] as JSONRPCMessage;
    if (!ofSession) return false;
    switch (question.about) {
      case 'answer': {
        const exchange = this.#byStream.get(question['stream'] as string);
        return exchange !== undefined && ofSession.has(exchange) && exchange.answer(message);
      }
      case 'cancelled': {
        const requestId = 'method' in message ? message.params?.['requestId'] : undefined;
        const cancelled = [...ofSession].filter(({ request }) => request.id === requestId);
        for (const exchange of cancelled) exchange.cancel(message);
        return cancelled.length > 0;
      }
      default:
        return false;
    }
  }

  /** Waits until everything has ended, or for so long; what has not ended then is left to other replicas. */
  async drain(timeoutMs: number): Promise<void> {
    let enough: NodeJS.Timeout | undefined;
    const patience = new Promise((resolve) => (enough = setTimeout(resolve, timeoutMs)));
    await Promise.race([Promise.all([...this.#byStream.values()].map(({ ended }) => ended)), patience]);
    clearTimeout(enough);
    for (const exchange of this.#byStream.values()) exchange.abandon();
  }
}
