/**
 * One call of a Callboard tool that outlives its connections. Read `callDurably` top to bottom.
 *
 * D1  One key is one command: whoever calls again with the key, this process or the next, joins it and is told its outcome.
 * D2  Whoever is cut off cancels nothing; an abort of the signal cancels the command.
 * D3  It returns or throws what the command ended with, as soon as that can be asked. Callboard itself may be away for `patienceMs` on end.
 *
 * Not guaranteed: progress that is told while nobody listens is not told again.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { BROKEN_STREAM, tellEverything } from '@callboard/mcp-client';
import {
  Client,
  ProtocolError,
  SdkError,
  SdkErrorCode,
  SdkHttpError,
  StreamableHTTPClientTransport,
  UnauthorizedError,
  type CallToolResult,
  type Progress,
  type RequestOptions,
  type Tool,
} from '@modelcontextprotocol/client';

export interface Callboard {
  /** Of its MCP endpoint. */
  url: string;
  /** How long it may be away on end before a call gives up. */
  patienceMs: number;
}

export interface DurableCall {
  tool: string;
  args: Record<string, unknown>;
  /** Bearer token of whom the call is for; none on a Callboard that asks for none. */
  token: string | undefined;
  idempotencyKey: string;
  orderingKey?: string;
  deadlineMs?: number;
  priority?: string;
}

export interface Listener {
  /** A line for whoever follows. */
  tell(line: string): void;
  signal?: AbortSignal;
}

export interface Answer {
  result: CallToolResult;
  correlationId: string;
  /** The command had been made before. */
  replayed: boolean;
}

/** What a call ended with that did not succeed. The message is for whoever called. */
export class CallFailed extends Error {
  override readonly name = 'CallFailed';

  constructor(
    message: string,
    readonly code: string,
    /** The command has ended so, and calling again with its key says the same. */
    readonly ended: boolean,
  ) {
    super(message);
  }
}

/** Nothing has been decided: it is worth another try. */
class NotNow extends Error {
  constructor(
    message: string,
    readonly retryAfterMs = 0,
  ) {
    super(message);
  }
}

/** The answer has not come yet; the connection is as good as it was. */
class StillRunning extends Error {}

const REVISION = '2026-07-28';
const CORRELATION_ID = 'io.callboard/correlation_id';
const TASKS = { extensions: { 'io.modelcontextprotocol/tasks': {} } };
/** Codes of Callboard that say nothing of the command. */
const PASSING = new Set(['overloaded', 'unavailable', 'rate_limited', 'internal']);
const CONNECT_MS = 10_000;
/** Shorter than what proxies let a silent connection live. */
const LISTEN_MS = 50_000;
const CANCEL_MS = 20_000;
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 10_000;
const MAX_MESSAGE_CHARS = 4_000;

/** @throws CallFailed */
export async function callDurably(callboard: Callboard, call: DurableCall, listener: Listener): Promise<Answer> {
  const { signal } = listener;
  signal?.throwIfAborted();
  const heard = new Heard(listener);
  // Asked for a handle first: who knows the command's name can cancel it.
  const accepted = await insist(callboard, listener, () => ask(callboard, call, { accept_async: true }, heard, {}));
  if (!saysAccepted(accepted)) return accepted;
  listener.tell(`Accepted as ${accepted.correlationId}${accepted.replayed ? ', which was made before' : ''}`);
  try {
    const answer = await insist(callboard, listener, () => ask(callboard, call, {}, heard, signal ? { signal } : {}));
    return { ...answer, replayed: accepted.replayed };
  } catch (error) {
    if (!signal?.aborted) throw error;
    await cancel(callboard, call, accepted.correlationId, listener);
    throw new CallFailed(`The command ${accepted.correlationId} is cancelled`, 'cancelled', true);
  }
}

/**
 * What Callboard lists for a caller.
 * @throws CallFailed; what else is thrown means that it cannot be asked now
 */
export async function listTools(callboard: Callboard, token: string | undefined): Promise<Tool[]> {
  return connected(callboard, token, {}, async (client) => (await client.listTools()).tools);
}

/** A key for a call that nobody makes again. */
export function newKey(): string {
  return randomUUID();
}

/** Facts that two connections both tell are told once. */
class Heard {
  #last = '';

  constructor(private readonly listener: Listener) {}

  progress(fact: Progress): void {
    this.#tell(progressLine(fact));
  }

  log({ level, data }: { level: string; data: unknown }): void {
    this.#tell(`${level}: ${typeof data === 'string' ? data : JSON.stringify(data)}`);
  }

  #tell(line: string): void {
    if (line === this.#last) return;
    this.#last = line;
    this.listener.tell(line);
  }
}

/** Tries again what could not be decided, until it is, or Callboard has been away for too long. */
async function insist<T>({ patienceMs }: Callboard, { tell, signal }: Listener, attempt: () => Promise<T>): Promise<T> {
  let away: { since: number; tries: number } | undefined;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof StillRunning) {
        away = undefined;
        continue;
      }
      if (!(error instanceof NotNow)) throw error;
      if (!away) tell(`${error.message}; trying again`);
      away ??= { since: Date.now(), tries: 0 };
      if (Date.now() - away.since > patienceMs) {
        throw new CallFailed(`${error.message}, for ${Math.round(patienceMs / 1000)} s`, 'unavailable', false);
      }
      const pause = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** away.tries++) * (0.5 + Math.random() / 2);
      await delay(Math.max(pause, error.retryAfterMs), undefined, { ...(signal && { signal }) });
    }
  }
}

/** One request of the call, on a connection of its own. */
async function ask(
  callboard: Callboard,
  call: DurableCall,
  more: Record<string, unknown>,
  heard: Heard,
  options: RequestOptions,
): Promise<Answer> {
  const fields = {
    idempotency_key: call.idempotencyKey,
    ...(call.orderingKey !== undefined && { ordering_key: call.orderingKey }),
    ...(call.deadlineMs !== undefined && { deadline_ms: call.deadlineMs }),
    ...(call.priority !== undefined && { priority: call.priority }),
    ...more,
  };
  const _meta = Object.fromEntries(Object.entries(fields).map(([name, value]) => [`io.callboard/${name}`, value]));
  const result = await connected(callboard, call.token, {}, (client) => {
    client.setNotificationHandler('notifications/message', ({ params }) => heard.log(params));
    return client.request(
      {
        method: 'tools/call',
        params: {
          name: call.tool,
          arguments: call.args,
          _meta: { ..._meta, 'io.modelcontextprotocol/logLevel': 'info' },
        },
      },
      { ...options, timeout: LISTEN_MS, maxTotalTimeout: LISTEN_MS, onprogress: (fact) => heard.progress(fact) },
    );
  });
  return toAnswer(result as CallToolResult);
}

/** @throws CallFailed, NotNow */
function toAnswer(result: CallToolResult): Answer {
  const meta = (result._meta ?? {}) as Record<string, unknown>;
  const correlationId = String(meta[CORRELATION_ID] ?? '');
  const replayed = meta['io.callboard/replayed'] === true;
  if (result.isError !== true) return { result, correlationId, replayed };
  const error = (result.structuredContent as { error?: Record<string, unknown> } | undefined)?.error ?? {};
  const code = typeof error['code'] === 'string' ? error['code'] : 'action_failed';
  const message = (typeof error['message'] === 'string' ? error['message'] : textOf(result)).slice(
    0,
    MAX_MESSAGE_CHARS,
  );
  // What a command has ended with is told as joined; a refusal never is.
  if (PASSING.has(code) && !replayed) throw new NotNow(`Callboard: ${message}`, Number(error['retry_after_ms'] ?? 0));
  throw new CallFailed(`${code}: ${message}`, code, correlationId !== '');
}

/** Progress as a line of a log. */
export function progressLine({ progress, total, message }: Progress): string {
  const of = total === undefined ? '' : ` of ${total}`;
  return `Progress ${progress}${of}${message === undefined ? '' : `: ${message}`}`;
}

export function textOf({ content }: CallToolResult): string {
  return content.map((block) => (block.type === 'text' ? block.text : `[${block.type}]`)).join('\n');
}

/** An action that answers so about itself is asked again, and answers the same. */
function saysAccepted({ result, correlationId }: Answer): boolean {
  const said = result.structuredContent as { status?: unknown; correlation_id?: unknown } | undefined;
  return said?.status === 'accepted' && said.correlation_id === correlationId;
}

/** As far as it can be said within `CANCEL_MS`; a command that is not told runs to its end. */
async function cancel(callboard: Callboard, call: DurableCall, taskId: string, { tell }: Listener): Promise<void> {
  const within = { ...callboard, patienceMs: CANCEL_MS };
  const anything = {
    '~standard': { version: 1 as const, vendor: 'callboard', validate: (value: unknown) => ({ value }) },
  };
  await insist(within, { tell }, () =>
    connected(callboard, call.token, TASKS, (client) =>
      client.request({ method: 'tasks/cancel', params: { taskId } }, anything, { timeout: CONNECT_MS }),
    ),
  ).catch((error: Error) => tell(`The command ${taskId} could not be told to stop: ${error.message}`));
}

async function connected<T>(
  { url }: Callboard,
  token: string | undefined,
  capabilities: object,
  use: (client: Client) => Promise<T>,
): Promise<T> {
  const client = new Client(
    { name: 'callboard-backstage', version: '1' },
    { capabilities, versionNegotiation: { mode: { pin: REVISION } } },
  );
  const headers: Record<string, string> = token === undefined ? {} : { Authorization: `Bearer ${token}` };
  const transport = new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } });
  let isConnected = false;
  try {
    await client.connect(transport, { timeout: CONNECT_MS, maxTotalTimeout: CONNECT_MS });
    tellEverything(transport);
    isConnected = true;
    return await use(client);
  } catch (error) {
    throw sorted(error, isConnected);
  } finally {
    await client.close().catch(() => undefined);
  }
}

/** What a request that had no result says of the call. */
function sorted(error: unknown, isConnected: boolean): Error {
  if (error instanceof UnauthorizedError) return refused('unauthorized', 'Callboard does not accept the token');
  if (error instanceof SdkHttpError) {
    const { status } = error;
    if (status === 401) return refused('unauthorized', 'Callboard does not accept the token');
    if (status === 403) return refused('forbidden', 'Callboard does not allow it');
    if (status >= 500 || status === 408 || status === 429) return new NotNow(`Callboard answered ${status}`);
    return refused('refused', `Callboard answered ${status}`);
  }
  if (error instanceof ProtocolError && error.data !== BROKEN_STREAM) {
    const { code } = (error.data ?? {}) as { code?: unknown };
    const known = typeof code === 'string' ? code : 'refused';
    const message = error.message.slice(0, MAX_MESSAGE_CHARS);
    return PASSING.has(known) ? new NotNow(`Callboard: ${message}`) : refused(known, message);
  }
  if (isConnected && error instanceof SdkError && error.code === SdkErrorCode.RequestTimeout) return new StillRunning();
  return new NotNow('Callboard cannot be reached');
}

function refused(code: string, message: string): CallFailed {
  return new CallFailed(`${code}: ${message}`, code, false);
}
