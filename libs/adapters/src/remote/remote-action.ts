/**
 * An action whose far side gets the command over HTTP or from a queue, and answers at the results endpoint or with its HTTP response.
 * Read `run` top to bottom.
 *
 * A runner that dies while the far side works loses nothing: whoever runs the command next finds that it was handed over, does not
 * hand it over again, and waits for the answer or finds it.
 */
import {
  ActionError,
  defineAction,
  type ActionContext,
  type ActionDefinition,
  type ActionReturn,
  type Reconciled,
} from '@callboard/actions';
import { withoutSecrets, type Filled, type SecretTexts } from '@callboard/config';
import { callbackKey, writeCallbackToken, type FarSideAnswer, type JsonObject } from '@callboard/envelope';
import { neverConnected, withTimeout } from '@callboard/http';
import { AdapterFileError, type RemoteAction } from '../adapter-file.js';
import type { AskForToken } from '../backstage/tokens.js';
import { adapterRetry, guarded, notDone, unknownEnding } from '../endings.js';
import { boundedText, commandHeaders } from '../far-http.js';
import { conclude, toReturn } from './conclude.js';
import { ExchangedToken } from './exchanged-token.js';
import type { Handovers, Standing } from './handovers.js';

/** Where far sides report, and the key of the tokens that let them. */
export interface Callbacks {
  url: string;
  key: Uint8Array;
}

export interface RemoteDependencies {
  handovers(): Handovers;
  callbacks: Callbacks | undefined;
  askForToken: AskForToken;
}

const MAX_DETAIL_CHARS = 1_000;

/** @throws AdapterFileError when the action cannot work */
export function remoteAction(
  config: RemoteAction,
  deps: RemoteDependencies,
  path: string,
  secrets: SecretTexts,
): ActionDefinition {
  const attributes = config.attributes ?? {};
  const answersLater = config.queue !== undefined || config.http!.answer === 'callback';
  if (answersLater && !deps.callbacks) {
    throw new AdapterFileError(
      `${path}: the far side of ${config.id} answers by callback: set CALLBOARD_RESULTS_URL and CALLBOARD_RESULTS_KEY`,
    );
  }
  const far = new FarSide(config, deps, secrets);
  try {
    return defineAction({
      id: config.id,
      description: config.description,
      ...(config.title !== undefined && { title: config.title }),
      input: config.input,
      ...(config.output && { output: config.output }),
      attributes,
      ...(config.deadline_ms !== undefined && { deadlineMs: config.deadline_ms }),
      retry: adapterRetry(config.retry),
      ...(config.ordering !== undefined && { ordering: config.ordering }),
      ...(config.http?.token_exchange && { callerToken: true }),
      run: guarded(attributes, (_, context) => (answersLater ? far.handOver(context) : far.ask(context))),
      ...(answersLater && { reconcile: (_: JsonObject, context: ActionContext) => far.reconcile(context) }),
    });
  } catch (error) {
    throw new AdapterFileError(`${path}: ${(error as Error).message}`, { cause: error });
  }
}

interface Posted {
  response: Response;
  /** That were sent, and that nothing of the answer may repeat. */
  secrets: readonly string[];
}

class FarSide {
  readonly #exchanged: ExchangedToken | undefined;

  constructor(
    private readonly config: RemoteAction,
    private readonly deps: RemoteDependencies,
    private readonly secretTexts: SecretTexts,
  ) {
    const exchange = config.http?.token_exchange;
    this.#exchanged = exchange && new ExchangedToken(config.id, exchange, deps.askForToken, secretTexts);
  }

  /** The far side answers later, by callback. */
  async handOver(context: ActionContext): Promise<ActionReturn> {
    const standing = context.attempt === 1 ? { round: 1, handed: false } : await this.#standing(context);
    if (!standing.handed) await this.#handOver(context, standing.round);
    const answer = standing.answer ?? ((await context.answered(callbackKey(standing.round))) as unknown);
    return conclude(answer as FarSideAnswer);
  }

  /** The response of the far side is its answer. */
  async ask(context: ActionContext): Promise<ActionReturn> {
    const { response, secrets } = await this.#post(context, {});
    const text = await boundedText(response, context.signal, () =>
      unknownEnding(this.config.attributes ?? {}, `The answer of ${this.#host} did not come whole`),
    );
    try {
      return toReturn(JSON.parse(withoutSecrets(text, secrets)));
    } catch {
      throw new ActionError(`The answer of ${this.#host} is not JSON`);
    }
  }

  /** `run` looks before it acts, so it may run again whenever there is something to be found. */
  async reconcile(context: ActionContext): Promise<Reconciled> {
    // What goes into a queue goes there once, however often it is put.
    if (this.config.queue !== undefined) return 'not_done';
    return (await this.#standing(context)).handed ? 'not_done' : 'unknown';
  }

  async #standing({ command }: ActionContext): Promise<Standing> {
    try {
      return await this.deps.handovers().standing(command, this.config.queue);
    } catch (error) {
      throw notDone('It cannot be told now how the command stands with its far side', error);
    }
  }

  async #handOver(context: ActionContext, round: number): Promise<void> {
    const { command } = context;
    const { queue } = this.config;
    const callback = this.#callback(context, round);
    if (queue === undefined) {
      const { response } = await this.#post(context, { callback });
      await response.body?.cancel();
      // For the next owner only; this one knows.
      const noted = this.deps.handovers().store(command, round, undefined, { handed_at: new Date().toISOString() });
      return noted.catch(() => undefined);
    }
    const message = { ...command, callback, attempt: context.attempt, fence: context.fence };
    try {
      await this.deps.handovers().store(command, round, queue, message);
    } catch (error) {
      throw notDone(`The queue ${queue} does not take the command now`, error);
    }
  }

  #callback({ command, attempt, deadlineAt }: ActionContext, round: number): JsonObject {
    const { url, key } = this.deps.callbacks!;
    const { tenant_id: tenantId, correlation_id: correlationId } = command;
    const right = { tenantId, correlationId, round, attempt, deadlineAt: deadlineAt.getTime() };
    return { url: `${url}/${encodeURIComponent(correlationId)}`, token: writeCallbackToken(key, right) };
  }

  get #host(): string {
    return new URL(this.config.http!.url).host;
  }

  /** Resolves with a response of the 2xx family; sorts every other ending by what may happen next. */
  async #post(context: ActionContext, more: JsonObject): Promise<Posted> {
    const target = this.config.http!;
    const attributes = this.config.attributes ?? {};
    const { value: headers, secrets } = await this.#headers(context);
    let response: Response;
    try {
      response = await fetch(target.url, {
        method: 'POST',
        headers: { ...commandHeaders(context), ...headers },
        body: JSON.stringify({ ...context.command, ...more }),
        // A redirect would carry the command, and its token, to somebody whom nobody has named.
        redirect: 'manual',
        signal: withTimeout(context.signal, target.timeout_ms),
      });
    } catch (error) {
      if (context.signal.aborted) throw error;
      throw neverConnected(error)
        ? notDone(`${this.#host} cannot be reached`, error)
        : unknownEnding(attributes, `The connection to ${this.#host} broke, or it took too long`, error);
    }
    if (response.ok) return { response, secrets };
    throw await this.#refusal(response, target, secrets, context.signal);
  }

  /** Read for this attempt, and forgotten after it. */
  async #headers(context: ActionContext): Promise<Filled<Record<string, string>>> {
    const written = await this.secretTexts.fillAll(this.config.http!.headers).catch((error: unknown) => {
      throw notDone(`A secret for ${this.#host} cannot be had now`, error);
    });
    if (!this.#exchanged) return written;
    const { value, secrets } = await this.#exchanged.authorization(context);
    return { value: { ...written.value, Authorization: value }, secrets: [...written.secrets, ...secrets] };
  }

  async #refusal(
    response: Response,
    target: { retryable_statuses: number[] },
    secrets: readonly string[],
    signal: AbortSignal,
  ): Promise<ActionError> {
    const { status } = response;
    const detail = withoutSecrets(await problemDetail(response, signal), secrets);
    const message = `${this.#host} answered ${status}${detail}`;
    if (target.retryable_statuses.includes(status)) return notDone(message);
    return status >= 500 ? unknownEnding(this.config.attributes ?? {}, message) : new ActionError(message);
  }
}

/** What a problem document says of itself; nothing of any other body. */
async function problemDetail(response: Response, signal: AbortSignal): Promise<string> {
  if (!response.headers.get('content-type')?.startsWith('application/problem+json')) {
    await response.body?.cancel();
    return '';
  }
  const text = await boundedText(response, signal, () => undefined).catch(() => '');
  try {
    const { detail, title } = JSON.parse(text) as { detail?: unknown; title?: unknown };
    const said = [detail, title].find((part) => typeof part === 'string') as string | undefined;
    return said === undefined ? '' : `: ${said.slice(0, MAX_DETAIL_CHARS)}`;
  } catch {
    return '';
  }
}
