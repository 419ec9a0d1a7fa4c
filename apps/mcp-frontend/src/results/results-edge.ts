/**
 * Where far sides report: `POST /results/{correlation_id}/progress` and `POST /results/{correlation_id}`, at any replica.
 *
 * The bearer token came to the far side with the command and is the right to report about that command and no other (see
 * `callback-token.ts` in `libs/envelope`); nothing else about the request is trusted. Answers are RFC 9457 problem details with the
 * codes of `docs/errors.md`, and repeat nothing of the request.
 *
 * Guaranteed: 200 means that the answer is stored, and will be the result of its attempt; told twice, it is told once. Not guaranteed:
 * that a progress report which got its 202 reaches anybody.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { refusedRequest, type Audit } from '@callboard/audit';
import {
  CallboardError,
  ERROR_CODES,
  callbackKey,
  fingerprint,
  grownPercent,
  progressText,
  readCallbackToken,
  readFarSideAnswer,
  readFarSideProgress,
  type CallbackRight,
  type FarSideProgress,
  type JsonObject,
  type Outcome,
  type Progress,
} from '@callboard/envelope';
import {
  answerProblem,
  isNestedDeeperThan,
  parseJson,
  readBody,
  sendJson,
  type FailedAuthentications,
  type Limit,
} from '@callboard/http';
import { isJsonContentType } from '@modelcontextprotocol/server';
import type { FaultReporter } from '../protocol-errors.js';

type Fact = Extract<Progress, { kind: 'progress' }>;

/** What is stored of commands, as far as a report is concerned. */
export interface Reports {
  outcome(right: CallbackRight): Promise<Outcome | undefined>;
  answered(right: CallbackRight, key: string): Promise<JsonObject | undefined>;
  /** The first answer counts. */
  answer(right: CallbackRight, key: string, answer: JsonObject): Promise<'stored' | 'answered_before'>;
  lastProgress(right: CallbackRight): Promise<Progress | undefined>;
  progress(right: CallbackRight, fact: Fact): Promise<void>;
}

export interface ResultsEdgeOptions {
  /** Key of the tokens; empty when this installation has no far sides. */
  key: Uint8Array;
  maxBodyBytes: number;
  maxDepth: number;
}

/** One request, and the right that its token gives, once that is known. */
interface Reporting {
  req: IncomingMessage;
  res: ServerResponse;
  right?: CallbackRight;
}

const PATH = /^\/results\/([^/?]+)(\/progress)?(?:\?|$)/;
/** RFC 6750: the scheme is case-insensitive. */
const BEARER = /^Bearer +(\S+) *$/i;
const RETRY_AFTER_MS = 1_000;
/** Facts of one command that one replica takes. */
const MAX_FACTS = 10_000;
const MAX_COUNTED = 10_000;

export class ResultsEdge {
  /** How much was told of each command at this replica. */
  readonly #told = new Map<string, number>();

  constructor(
    private readonly options: ResultsEdgeOptions,
    private readonly reports: Reports,
    private readonly requests: Limit,
    private readonly report: FaultReporter,
    private readonly audit: Audit,
    private readonly failures: FailedAuthentications,
  ) {}

  /** Does the request belong here? */
  static isReport({ url = '' }: IncomingMessage): boolean {
    return url === '/results' || url.startsWith('/results/') || url.startsWith('/results?');
  }

  handle(req: IncomingMessage, res: ServerResponse): void {
    const reporting: Reporting = { req, res };
    try {
      this.#admit(reporting);
    } catch (error) {
      this.#refuse(reporting, error);
    }
  }

  #admit(reporting: Reporting): void {
    const { req, res } = reporting;
    const [, name, progress] = PATH.exec(req.url ?? '') ?? [];
    if (name === undefined) throw new CallboardError('not_found', 'The path is /results/CORRELATION_ID[/progress]');
    if (req.method !== 'POST') {
      const error = new CallboardError('invalid_request', 'Only POST is allowed');
      return this.#refuse(reporting, error, 405, { Allow: 'POST' });
    }
    const hasCredentials = req.headers.authorization !== undefined;
    const tooMany = hasCredentials && this.failures.refusal(req);
    if (tooMany) throw tooMany;
    const right = this.#rightOf(req);
    if (right) this.failures.succeeded(req);
    else {
      if (hasCredentials) this.failures.failed(req);
      const challenge = { 'WWW-Authenticate': 'Bearer realm="callboard results"' };
      return this.#refuse(reporting, new CallboardError('unauthorized'), 401, challenge);
    }
    reporting.right = right;
    if (right.correlationId !== decoded(name)) {
      throw new CallboardError('not_found', 'The token is for another command');
    }
    const { headers } = req;
    if (!isJsonContentType(headers['content-type']) || (headers['content-encoding'] ?? 'identity') !== 'identity') {
      const what = 'The body must be plain application/json';
      return this.#refuse(reporting, new CallboardError('invalid_request', what), 415);
    }
    if (!this.requests.tryTake()) throw this.requests.refusal();
    res.once('close', () => this.requests.release());
    readBody(
      req,
      this.options.maxBodyBytes,
      () => true,
      (end) => {
        if (end.kind === 'too_large') return this.#refuse(reporting, new CallboardError('payload_too_large'));
        if (end.kind !== 'read') return;
        const work = progress ? this.#takeProgress(right, end.bytes) : this.#takeAnswer(right, end.bytes);
        work.then(
          (status) => sendJson(res, status, { correlation_id: right.correlationId }),
          (error: unknown) => this.#refuse(reporting, error),
        );
      },
    );
  }

  async #takeProgress(right: CallbackRight, bytes: Buffer): Promise<number> {
    const told = readFarSideProgress(this.#parse(bytes));
    const [outcome, answer, last] = await this.#read(
      Promise.all([
        this.reports.outcome(right),
        this.reports.answered(right, callbackKey(right.round)),
        this.reports.lastProgress(right),
      ]),
    );
    refuseWhatIsOver(right, outcome, answer !== undefined);
    if (this.#mayTellMore(right)) await this.#read(this.reports.progress(right, toFact(right, told, last)));
    return 202;
  }

  /** What a far side tells beyond all measure is dropped, as what an action in a runner does. */
  #mayTellMore({ correlationId }: CallbackRight): boolean {
    const told = (this.#told.get(correlationId) ?? 0) + 1;
    this.#told.delete(correlationId);
    this.#told.set(correlationId, told);
    // In the order of their last reports: who has not told anything for longest is forgotten.
    if (this.#told.size > MAX_COUNTED) this.#told.delete(this.#told.keys().next().value!);
    return told <= MAX_FACTS;
  }

  async #takeAnswer(right: CallbackRight, bytes: Buffer): Promise<number> {
    const answer = readFarSideAnswer(this.#parse(bytes)) as unknown as JsonObject;
    const key = callbackKey(right.round);
    const [outcome, before] = await this.#read(
      Promise.all([this.reports.outcome(right), this.reports.answered(right, key)]),
    );
    if (before && isSame(before, answer)) return 200;
    refuseWhatIsOver(right, outcome, before !== undefined);
    if ((await this.#read(this.reports.answer(right, key, answer))) === 'stored') return 200;
    // Somebody was quicker: the same report that was sent twice, or another.
    const first = await this.#read(this.reports.answered(right, key));
    if (first && isSame(first, answer)) return 200;
    throw new CallboardError('already_ended');
  }

  #rightOf({ headers }: IncomingMessage): CallbackRight | undefined {
    const token = BEARER.exec(headers.authorization ?? '')?.[1];
    const { key } = this.options;
    return token === undefined || key.length === 0 ? undefined : readCallbackToken(key, token);
  }

  #parse(bytes: Buffer): unknown {
    if (isNestedDeeperThan(this.options.maxDepth, bytes)) {
      throw new CallboardError('invalid_request', `The body is nested deeper than ${this.options.maxDepth} levels`);
    }
    const body = parseJson(bytes);
    if (body === undefined) throw new CallboardError('invalid_request', 'The body is not JSON');
    return body;
  }

  /** What the streams do not say now they say later: the far side tries again. */
  async #read<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (cause) {
      if (cause instanceof CallboardError) throw cause;
      throw new CallboardError('unavailable', 'The report could not be stored now', {
        retryAfterMs: RETRY_AFTER_MS,
        cause,
      });
    }
  }

  #refuse({ req, res, right }: Reporting, thrown: unknown, as?: number, headers?: Record<string, string>): void {
    if (!(thrown instanceof CallboardError)) this.report({ errorId: 'results', error: thrown });
    const error = thrown instanceof CallboardError ? thrown : new CallboardError('internal');
    const { code } = error;
    // Too late is another matter for REST than for the caller of the command, whose time it was.
    const status = as ?? (code === 'deadline_exceeded' ? 410 : ERROR_CODES[code].httpStatus);
    if (code !== 'internal') {
      const about = right && { tenantId: right.tenantId, correlationId: right.correlationId };
      this.audit.note(refusedRequest({ status, code, address: req.socket.remoteAddress, ...about }));
    }
    answerProblem(res, error, { status, ...(headers && { headers }) });
  }
}

/** @throws CallboardError when nothing can be reported any more */
function refuseWhatIsOver(right: CallbackRight, outcome: Outcome | undefined, answered: boolean): void {
  if (outcome?.status === 'deadline_exceeded') throw new CallboardError('deadline_exceeded');
  if (outcome || answered) throw new CallboardError('already_ended');
  if (Date.now() >= right.deadlineAt) throw new CallboardError('deadline_exceeded');
}

function toFact(right: CallbackRight, told: FarSideProgress, last: Progress | undefined): Fact {
  const before = last?.kind === 'progress' && last.total === 100 ? last.progress : 0;
  const message = progressText(told);
  return {
    kind: 'progress',
    correlation_id: right.correlationId,
    attempt: Math.max(right.attempt, last?.attempt ?? 0),
    progress: grownPercent(before, told),
    total: 100,
    ...(message !== undefined && { message }),
  };
}

function isSame(a: JsonObject, b: JsonObject): boolean {
  return fingerprint(a) === fingerprint(b);
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
