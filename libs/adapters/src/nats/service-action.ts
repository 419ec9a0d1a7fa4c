/**
 * An action of a process that is not ours, in any language, which takes its commands over NATS. Read `answer` top to bottom.
 *
 * The envelope goes to the subject that the process has announced, with a reply subject of this attempt. What comes back there, as
 * JSON: `{"status":"accepted","instance"}` at once, `{"status":"progress",…}` as often as there is something to tell, and one
 * `{"status":"ok","result"}` or `{"status":"error","error"}`, which is acknowledged when it was sent as a request. That a command is
 * cancelled, or its time is over, is told to every process at `<subject>.cancel`.
 *
 * `{"status":"input_required","requests"}` in place of an answer asks the caller. The process is free meanwhile; when all is answered the
 * command is sent once more, to any instance, with all answers so far as its member `answers`.
 *
 * An instance that dies takes its heartbeat with it. When all that may have the command are gone from the registry, nobody will answer
 * any more, and the attempt ends. Not guaranteed: that a process which hangs, and still beats, is noticed before the deadline.
 */
import type { ActionContext, ActionDefinition, Catalog, RegisteredAction } from '@callboard/actions';
import {
  CallboardError,
  HEADER,
  JSON_CONTENT_TYPE,
  encodeToken,
  grownPercent,
  progressText,
  readFarSideAnswer,
  readFarSideProgress,
  readFarSideQuestion,
  type FarSideAnswer,
  type FarSideProgress,
  type FarSideQuestion,
  type JsonObject,
} from '@callboard/envelope';
import { inboxPrefix } from '@callboard/jetstream';
import { createInbox, headers, type Msg, type MsgHdrs, type NatsConnection } from '@nats-io/transport-node';
import { guarded, notDone, pause, unknownEnding } from '../endings.js';
import { traceOf } from '../trace-of.js';
import { conclude } from '../remote/conclude.js';

/** What a request needs beside its command; shared by all of them. */
export interface ServiceRequests {
  nc: NatsConnection;
  /** The registry, as far as it knows who may have a command. */
  instances: Pick<Catalog, 'announcers' | 'isAlive'>;
  /** Told when the connection is back after it was lost. */
  reconnected: Set<() => void>;
}

/** What is heard of a command that was sent. */
type Heard =
  | { kind: 'answer'; answer: FarSideAnswer }
  | { kind: 'question'; question: FarSideQuestion }
  /** No process listens at the subject. */
  | { kind: 'nobody' }
  /** Whoever may have it will not answer any more. */
  | { kind: 'lost' }
  | { kind: 'aborted' };

const NO_RESPONDERS = 503;
const LOOK_AT_REGISTRY_MS = 1_000;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 2_000;
/** A process that asks more often than this is asking in circles. */
const MOST_ROUNDS = 16;
/** How long a process may take to stop what was cancelled; until then the key waits. */
const STOP_MS = 5_000;

export function serviceAction(action: RegisteredAction, subject: string, shared: ServiceRequests): ActionDefinition {
  return {
    descriptor: action,
    run: guarded(action.attributes, async (_, context) => {
      const request = new ServiceRequest(action, subject, shared, context);
      try {
        return conclude(await request.answer());
      } finally {
        request.close();
      }
    }),
  };
}

class ServiceRequest {
  readonly #inbox = createInbox(inboxPrefix('action-runner'));
  readonly #close: (() => void)[] = [];
  /** May have the command: all that announced it when it was sent, then the one that has said so. */
  #holders: string[] = [];
  #accepted = false;
  #percent = 0;
  /** What the caller has answered so far. */
  #answers: Record<string, JsonObject> = {};
  #tell: (heard: Heard) => void = () => undefined;

  constructor(
    private readonly action: RegisteredAction,
    private readonly subject: string,
    private readonly shared: ServiceRequests,
    private readonly context: ActionContext,
  ) {
    const replies = shared.nc.subscribe(this.#inbox, {
      callback: (error, message) => {
        if (!error) this.#take(message);
      },
    });
    const watching = setInterval(() => this.#lookForHolders(), LOOK_AT_REGISTRY_MS);
    const onAbort = () => this.#tell({ kind: 'aborted' });
    // What was sent while the connection went down may never have left; what has been accepted is being done.
    const onReconnect = () => {
      if (!this.#accepted) this.#tell({ kind: 'lost' });
    };
    shared.reconnected.add(onReconnect);
    context.signal.addEventListener('abort', onAbort);
    this.#close.push(
      () => replies.unsubscribe(),
      () => clearInterval(watching),
      () => context.signal.removeEventListener('abort', onAbort),
      () => shared.reconnected.delete(onReconnect),
    );
  }

  /** @throws ActionError when there is no answer, sorted by what the far side may have done */
  async answer(): Promise<FarSideAnswer> {
    const { id, attributes } = this.action;
    let rounds = 0;
    for (let wait = FIRST_PAUSE_MS; ; wait = Math.min(LONGEST_PAUSE_MS, wait * 2)) {
      const heard = await this.#send();
      switch (heard.kind) {
        case 'answer':
          return heard.answer;
        case 'question':
          if (++rounds > MOST_ROUNDS) return unreadable(`it asked more than ${MOST_ROUNDS} times`);
          Object.assign(this.#answers, await this.context.ask(heard.question.requests));
          wait = FIRST_PAUSE_MS / 2;
          break;
        case 'lost':
          throw unknownEnding(attributes, `The process that had ${id} is gone`);
        case 'aborted':
          return this.#cancel();
        case 'nobody':
          // It is announced and not there: it is being started again, or was killed a moment ago.
          if (this.shared.instances.announcers(id).size === 0) throw notDone(`No process serves ${id} now`);
          await pause(wait, this.context.signal);
      }
    }
  }

  close(): void {
    for (const close of this.#close) close();
  }

  #send(): Promise<Heard> {
    if (this.context.signal.aborted) return Promise.resolve({ kind: 'aborted' });
    this.#holders = [...this.shared.instances.announcers(this.action.id)];
    this.#accepted = false;
    const heard = this.#next();
    const data = Buffer.from(JSON.stringify(this.#command()));
    this.shared.nc.publish(this.subject, data, { reply: this.#inbox, headers: headersFor(this.context) });
    return heard;
  }

  #command(): object {
    const { command } = this.context;
    return Object.keys(this.#answers).length === 0 ? command : { ...command, answers: this.#answers };
  }

  /** Tells the process to stop, and waits a little for what it says then: its effect could still come. */
  async #cancel(): Promise<FarSideAnswer> {
    const { signal, attempt, correlationId } = this.context;
    const reason = signal.reason as unknown;
    const ended = reason instanceof CallboardError;
    const told = { correlation_id: correlationId, attempt, reason: ended ? reason.code : 'runner_stopped' };
    this.shared.nc.publish(`${this.subject}.cancel`, Buffer.from(JSON.stringify(told)));
    // A runner that has lost its lease must be out of the way within a second.
    if (!ended) throw reason;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<Heard>((resolve) => (timer = setTimeout(resolve, STOP_MS, { kind: 'lost' })));
    const heard = await Promise.race([this.#next(), late]).finally(() => clearTimeout(timer));
    if (heard.kind === 'answer') return heard.answer;
    throw reason;
  }

  #next(): Promise<Heard> {
    return new Promise((resolve) => (this.#tell = resolve));
  }

  #lookForHolders(): void {
    const holders = this.#holders;
    if (holders.length > 0 && !holders.some((key) => this.shared.instances.isAlive(key))) this.#tell({ kind: 'lost' });
  }

  #take(message: Msg): void {
    if (message.headers?.code === NO_RESPONDERS) return this.#tell({ kind: 'nobody' });
    try {
      const said = message.json<JsonObject>();
      if (said?.['status'] === 'accepted') return this.#accept(said['instance']);
      this.#accepted = true;
      if (said?.['status'] === 'progress') return this.#report(readFarSideProgress(said));
      if (said?.['status'] === 'input_required') this.#tell({ kind: 'question', question: readFarSideQuestion(said) });
      else this.#tell({ kind: 'answer', answer: readFarSideAnswer(said) });
    } catch (error) {
      const what = error instanceof CallboardError ? error.message : 'it is not JSON';
      this.#tell({ kind: 'answer', answer: unreadable(what) });
    }
    if (message.reply) message.respond();
  }

  #report(told: FarSideProgress): void {
    this.#percent = grownPercent(this.#percent, told);
    this.context.progress(this.#percent, 100, progressText(told));
  }

  #accept(instance: unknown): void {
    this.#accepted = true;
    if (typeof instance !== 'string') return;
    const holder = this.#holders.filter((key) => key.endsWith(`.${encodeToken(instance)}`));
    if (holder.length > 0) this.#holders = holder;
  }
}

function unreadable(what: string): FarSideAnswer {
  return { status: 'error', error: { message: `The answer cannot be read: ${what}` } };
}

function headersFor({ command, attempt, fence, idempotencyKey }: ActionContext): MsgHdrs {
  const head = headers();
  head.set(HEADER.contentType, JSON_CONTENT_TYPE);
  head.set(HEADER.attempt, String(attempt));
  head.set(HEADER.fence, String(fence));
  head.set(HEADER.deadline, command.deadline_at);
  head.set(HEADER.idempotencyKey, idempotencyKey);
  const { traceparent, tracestate } = traceOf(command);
  if (traceparent) head.set(HEADER.traceparent, traceparent);
  if (tracestate) head.set(HEADER.tracestate, tracestate);
  return head;
}
