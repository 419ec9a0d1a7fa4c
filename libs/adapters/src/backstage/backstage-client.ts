/**
 * Requests to one Backstage, each with the token of whom it is for. Every ending but a 2xx with what was asked for is an `ActionError` that says what
 * may happen next: nothing has been done, nobody knows, or this was the answer.
 */
import { ActionError, type ActionAttributes, type ActionContext } from '@callboard/actions';
import { withoutSecrets, type Filled, type SecretTexts } from '@callboard/config';
import type { JsonObject } from '@callboard/envelope';
import { neverConnected, withTimeout } from '@callboard/http';
import { notDone, unknownEnding } from '../endings.js';
import { boundedText, commandHeaders } from '../far-http.js';
import { refusal } from './refusal.js';
import type { BackstageSite } from './site.js';
import type { BackstageTokens, Caller } from './tokens.js';

const READ_ONLY = { read_only: true };
const FIRST_ATTEMPT = 1;

interface Request {
  /** Secrets that are sent, and that nothing of the answer may repeat. */
  hide?: readonly string[];
  path: string;
  /** Posted; absent: the path is read. */
  body?: JsonObject;
  headers: Record<string, string>;
  caller?: Caller;
  attempt: number;
  attributes: Partial<ActionAttributes>;
  signal: AbortSignal;
  /** Instead of the site's timeout, for what Backstage answers late by design. */
  withinMs?: number;
}

export interface TypedText {
  text: string;
  /** Its media type, without parameters. */
  type: string | undefined;
}

export class BackstageClient {
  /** As callers and operators read it. */
  readonly who: string;

  constructor(
    private readonly site: Pick<BackstageSite, 'name' | 'url' | 'timeout_ms'>,
    private readonly tokens: BackstageTokens,
    private readonly secretTexts: SecretTexts,
  ) {
    this.who = `Backstage ${site.name}`;
  }

  /** What the actions registry of a plug-in lists, for Callboard itself. */
  list(plugin: string, signal: AbortSignal): Promise<unknown> {
    const path = `/api/${plugin}/.backstage/actions/v1/actions`;
    return this.#ask({ path, headers: {}, attempt: FIRST_ATTEMPT, attributes: READ_ONLY, signal });
  }

  /** Runs an action for the caller of a command. `secrets` only for one that wants some. */
  async invoke(
    action: { id: string; plugin: string },
    attributes: Partial<ActionAttributes>,
    input: JsonObject,
    secrets: Readonly<Record<string, string>> | undefined,
    context: ActionContext,
  ): Promise<unknown> {
    const filled = secrets && (await this.#filled(secrets));
    const version = filled ? 'v2' : 'v1';
    const path = `/api/${action.plugin}/.backstage/actions/${version}/actions/${encodeURIComponent(action.id)}/invoke`;
    const answer = await this.#ask({
      path,
      body: filled ? { input, secrets: filled.value } : input,
      ...(filled && { hide: Object.values(filled.value) }),
      headers: commandHeaders(context),
      caller: context,
      attempt: context.attempt,
      attributes,
      signal: context.signal,
    });
    return (answer as { output?: unknown } | null)?.output;
  }

  /** Reads something for the caller of a command. */
  read(path: string, context: ActionContext, withinMs?: number): Promise<unknown> {
    const { attempt, signal } = context;
    const headers = commandHeaders(context);
    const within = withinMs === undefined ? {} : { withinMs };
    return this.#ask({ path, headers, caller: context, attempt, attributes: READ_ONLY, signal, ...within });
  }

  /** Posts something for the caller of a command, for as long as `signal` lets it, which need not be the command's. */
  post(
    path: string,
    body: JsonObject,
    attributes: Partial<ActionAttributes>,
    context: ActionContext,
    signal: AbortSignal,
  ): Promise<unknown> {
    const { attempt } = context;
    return this.#ask({ path, body, headers: commandHeaders(context), caller: context, attempt, attributes, signal });
  }

  /** Reads what is no JSON for the caller of a command. */
  readText(path: string, context: ActionContext): Promise<TypedText> {
    const { attempt, signal } = context;
    const headers = commandHeaders(context);
    return this.#answer({ path, headers, caller: context, attempt, attributes: READ_ONLY, signal });
  }

  async #ask(request: Request): Promise<unknown> {
    const { text } = await this.#answer(request);
    try {
      return JSON.parse(text) as unknown;
    } catch {
      throw new ActionError(`The answer of ${this.who} is not JSON`);
    }
  }

  async #answer(request: Request): Promise<TypedText> {
    const { caller, attributes, attempt, signal } = request;
    const token = await this.#token(caller, signal);
    const response = await this.#send(request, token);
    const said = await boundedText(response, signal, () =>
      unknownEnding(attributes, `The answer of ${this.who} did not come whole`),
    );
    // What is told and stored never holds the token, whatever an action repeats.
    const text = withoutSecrets(said.replaceAll(token, '[token]'), request.hide ?? []);
    if (!response.ok) {
      const answer = { status: response.status, retryAfter: response.headers.get('retry-after'), body: text };
      throw refusal(this.who, answer, attributes, attempt);
    }
    return { text, type: response.headers.get('content-type')?.split(';', 1)[0]!.trim().toLowerCase() };
  }

  async #send({ path, body, headers, attributes, signal, withinMs }: Request, token: string): Promise<Response> {
    const { url, timeout_ms } = this.site;
    const timeout = withinMs ?? timeout_ms;
    const within = timeout === undefined ? signal : withTimeout(signal, timeout);
    try {
      return await fetch(url + path, {
        ...(body && { method: 'POST', body: JSON.stringify(body) }),
        headers: { ...headers, Authorization: `Bearer ${token}` },
        // A redirect would carry the token to somebody whom nobody has named.
        redirect: 'manual',
        signal: within,
      });
    } catch (error) {
      if (signal.aborted) throw error;
      throw neverConnected(error)
        ? notDone(`${this.who} cannot be reached`, error)
        : unknownEnding(attributes, `The connection to ${this.who} broke, or it took too long`, error);
    }
  }

  async #filled(secrets: Readonly<Record<string, string>>): Promise<Filled<Record<string, string>>> {
    try {
      return await this.secretTexts.fillAll(secrets);
    } catch (error) {
      throw notDone(`A secret for ${this.who} cannot be had now`, error);
    }
  }

  async #token(caller: Caller | undefined, signal: AbortSignal): Promise<string> {
    try {
      return await this.tokens.tokenFor(caller, signal);
    } catch (error) {
      // Anything else that is thrown here may have the token, or what it was made of, in its message.
      if (error instanceof ActionError) throw error;
      throw notDone(`There is no token for ${this.who} now`);
    }
  }
}
