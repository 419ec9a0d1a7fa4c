import { SecretTexts, type SecretReference } from '@callboard/config';
import {
  ERROR_CODES,
  LIMITS,
  actionId,
  parseActionId,
  type CommandEnvelope,
  type InputRequest,
  type JsonObject,
  type LogLevel,
} from '@callboard/envelope';
import { z } from 'zod';
import { compileSchema } from './arguments.js';
import type {
  ActionAttributes,
  ActionDescriptor,
  InputKind,
  OnDeadLetter,
  Ordering,
  Origin,
  PromptArgument,
  RetryPolicy,
  Surface,
  TaskSupport,
} from './descriptor.js';

/** What a running action knows of its command, and how it speaks while it runs. */
export interface ActionContext {
  correlationId: string;
  /** The whole command, for an action that passes it on. */
  readonly command: Readonly<CommandEnvelope>;
  /** Equal for every attempt of one command, and for every command that the caller declared to be the same. */
  idempotencyKey: string;
  tenantId: string;
  userId: string;
  /** 1 for the first attempt. */
  attempt: number;
  deadlineAt: Date;
  /** Fires when the deadline passes, the command is cancelled, or this process may no longer run it. */
  signal: AbortSignal;
  /** Grows with every change of owner of the command's partition; a far side that keeps the highest can refuse a stale runner. */
  fence: number;
  /** Tells a waiting caller how far the action is; stored, never blocks. `total` where it is known. */
  progress(progress: number, total?: number, message?: string): void;
  /** Tells a waiting caller a line of log; never put secrets or personal data in. */
  log(level: LogLevel, data: unknown, logger?: string): void;
  /**
   * A secret that the action declares in its `secrets`, as it is now; read for this attempt. From then on it is cut out of everything that the attempt says:
   * its result, its errors, progress, lines of log and questions.
   * @throws ActionError when the action declares none of this name; one that is retryable when it cannot be had now
   */
  secret(name: string): Promise<string>;
  /** Kinds of input that the caller can give. */
  inputCapabilities: ReadonlySet<InputKind>;
  /** Answers to an earlier `inputRequired`, by its keys; empty in the first round. */
  inputResponses: Readonly<JsonObject>;
  /** The `state` of an earlier `inputRequired`. */
  requestState: string | undefined;
  /**
   * Asks half-way, and resolves with the answers by key, as MCP has them for the method. The command keeps its key, and waits for as
   * long as its deadline allows; `inputRequired` is for what is asked before there is any effect. A question is asked once:
   * a later attempt that asks under the same key gets the answer of before.
   * @throws ActionError `input_unavailable` when the caller cannot give that kind of input
   */
  ask(requests: Record<string, InputRequest>): Promise<Record<string, JsonObject>>;
  /** Waits for what somebody outside answers to this command under a key; what was answered before, it has at once. */
  answered(key: string): Promise<JsonObject>;
}

/** A result as MCP has it: `CallToolResult`, `ReadResourceResult` or `GetPromptResult`, by surface. */
export type ActionResult = JsonObject;

/** What a handler may return: text for the common case, a whole result, or a question back to the caller. */
export type ActionReturn = string | ActionResult | InputRequired;

/**
 * Asks the caller for input; the call is made again with the answers, as a new command. The action must be able to run again from
 * the start with what `state` and the answers hold.
 */
export interface InputRequired {
  [member: string]: unknown;
  resultType: 'input_required';
  inputRequests?: { [key: string]: { method: string; params?: JsonObject } };
  requestState?: string;
}

export function inputRequired(ask: Omit<InputRequired, 'resultType'>): InputRequired {
  return { ...ask, resultType: 'input_required' };
}

/**
 * A failure that the author foresaw. It ends the attempt; `retryable` (the default is false) says whether another attempt may help.
 * The message reaches the caller. Anything else that is thrown is retried by the policy, and the caller learns only that it failed.
 */
export class ActionError extends Error {
  override readonly name = 'ActionError';
  readonly code: string;
  readonly retryable: boolean;
  /** Makes it an error of the request, under this JSON-RPC code, where it would have been a result that says that the tool failed. */
  readonly rpcCode: number | undefined;
  /** Another attempt has no chance before; the pause of the policy holds where it is longer. */
  readonly retryAfterMs: number | undefined;
  /** The command ends with it, and it is for the caller to come again where it is retryable. */
  readonly final: boolean;
  constructor(
    message: string,
    options: {
      code?: string;
      retryable?: boolean;
      rpcCode?: number;
      retryAfterMs?: number;
      final?: boolean;
      cause?: unknown;
    } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = options.code ?? 'action_failed';
    this.retryable = options.retryable ?? false;
    this.rpcCode = options.rpcCode;
    this.retryAfterMs = options.retryAfterMs;
    this.final = options.final ?? false;
  }
}

export type Handler<Args> = (args: Args, context: ActionContext) => Promise<ActionReturn> | ActionReturn;

/**
 * What became of an attempt whose end nobody saw: `not_done` when it is certain that it had no effect, the result when it is certain that
 * it had, `unknown` when it cannot be told.
 */
export type Reconciled = 'not_done' | 'unknown' | { result: ActionReturn };

export type Reconcile<Args> = (args: Args, context: ActionContext) => Promise<Reconciled> | Reconciled;

export interface ActionDefinition {
  readonly descriptor: ActionDescriptor;
  /** Asked before an action that is neither idempotent nor read-only is run again after a crash. */
  readonly reconcile?: Reconcile<JsonObject>;
  /** Runs with arguments that were checked against `input_schema`. */
  readonly run: Handler<JsonObject>;
  /** Where the secrets are that it may read, by name. Not in the descriptor: nobody but the runner needs to know. */
  readonly secrets?: ActionSecrets;
}

export type ActionSecrets = Readonly<Record<string, SecretReference>>;

interface CommonOptions {
  title?: string;
  description: string;
  attributes?: Partial<ActionAttributes>;
  deadlineMs?: number;
  retry?: Partial<RetryPolicy>;
  ordering?: Ordering;
  compensation?: string;
  requiresInput?: InputKind[];
  longRunning?: boolean;
  task?: TaskSupport;
  onDeadLetter?: OnDeadLetter;
  origin?: Origin;
  callerToken?: boolean;
  /** Secrets that the handler may read with `context.secret`, by name: `env:NAME`, `file:PATH` or `vault:PATH#KEY`. */
  secrets?: ActionSecrets;
}

export interface ActionOptions<Schema extends z.ZodObject | JsonObject> extends CommonOptions {
  /** MCP name, `tool.method`. */
  id: string;
  /** A zod object, or a JSON Schema (2020-12) of an object. */
  input: Schema;
  output?: z.ZodType | JsonObject;
  run: Handler<Schema extends z.ZodObject ? z.infer<Schema> : JsonObject>;
  /**
   * Tells what became of an attempt whose runner died half-way. Only asked for an action that is neither idempotent nor read-only;
   * without it, such a command ends `failed` with `in_doubt`.
   */
  reconcile?: Reconcile<Schema extends z.ZodObject ? z.infer<Schema> : JsonObject>;
}

/** Tools of these names are Callboard's own. */
const RESERVED_TOOLS = ['callboard', 'events'];

/** Does the front end keep this name for itself? An action that has it is not listed. */
export function isReservedId(id: string): boolean {
  return RESERVED_TOOLS.includes(parseActionId(id).tool);
}

const TOOL_NAME = /^[A-Za-z0-9_./-]{1,64}$/;
const DEFAULT_DEADLINE_MS = 60_000;

/**
 * Defines an action that MCP clients see as a tool.
 *
 * Defaults: not read-only, destructive, not idempotent, open world (MCP's own, the careful side); a deadline of 60 s; one attempt,
 * or five where it is idempotent or read-only; ordered by principal, or not at all where it is read-only.
 *
 * @throws TypeError when the definition cannot work, naming the action and the option.
 */
export function defineAction<Schema extends z.ZodObject | JsonObject>(
  options: ActionOptions<Schema>,
): ActionDefinition {
  if (!TOOL_NAME.test(options.id)) {
    throw new TypeError(`action "${options.id}": id must be 1 to 64 letters, digits and _ . / -`);
  }
  if (isReservedId(options.id)) {
    throw new TypeError(`action "${options.id}": ids that begin with ${RESERVED_TOOLS.join('. or ')}. are reserved`);
  }
  const descriptor: ActionDescriptor = {
    ...describe(options.id, options, { kind: 'tool' }),
    input_schema: toJsonSchema(options.input),
    ...(options.output && { output_schema: toJsonSchema(options.output) }),
  };
  if (descriptor.input_schema['type'] !== 'object') {
    throw new TypeError(`action "${options.id}": input must be the schema of an object`);
  }
  for (const [option, schema] of [
    ['input', descriptor.input_schema],
    // No client could use it, and some refuse the whole list then.
    ['output', descriptor.output_schema],
  ] as const) {
    try {
      if (schema) compileSchema(schema);
    } catch (cause) {
      const what = `${option} is no JSON Schema (2020-12) that can be used: ${(cause as Error).message}`;
      throw new TypeError(`action "${options.id}": ${what}`, { cause });
    }
  }
  const run = options.run as Handler<JsonObject>;
  const { input } = options;
  const reconcile = options.reconcile as Reconcile<JsonObject> | undefined;
  const parsed = <Answer>(handler: (args: JsonObject, context: ActionContext) => Answer) =>
    input instanceof z.ZodType ? parsedBy(input, handler) : handler;
  return {
    descriptor,
    run: parsed(run),
    ...(reconcile && { reconcile: parsed(reconcile) }),
    ...secretsOf(options.id, options),
  };
}

/** zod also fills in defaults, transforms and refines, which the JSON Schema check cannot do. */
function parsedBy<Answer>(
  input: z.ZodObject,
  run: (args: JsonObject, context: ActionContext) => Answer,
): (args: JsonObject, context: ActionContext) => Answer {
  return (args, context) => {
    const parsed = input.safeParse(args);
    // zod's own words may hold what the caller sent.
    if (!parsed.success) {
      throw new ActionError(ERROR_CODES.invalid_arguments.title, { code: 'invalid_arguments', cause: parsed.error });
    }
    return run(parsed.data, context);
  };
}

export interface ResourceOptions extends CommonOptions {
  name: string;
  /** A fixed URI, or an RFC 6570 template with simple `{name}` expressions. */
  uri: string;
  mimeType?: string;
  /** Returns `{contents: [...]}`; the variables of the template are in `args`, and always `uri`. */
  run: Handler<{ uri: string } & JsonObject>;
}

/** Defines an action that MCP clients read as a resource; read-only by nature. Its id is `resource.<name>`. */
export function defineResource(options: ResourceOptions): ActionDefinition {
  const shared = { name: options.name, ...(options.mimeType && { mime_type: options.mimeType }) };
  const surface: Surface = options.uri.includes('{')
    ? { kind: 'resource_template', uri_template: options.uri, ...shared }
    : { kind: 'resource', uri: options.uri, ...shared };
  const attributes = { read_only: true, ...options.attributes };
  return {
    descriptor: {
      ...describe(`resource.${options.name}`, { ...options, attributes }, surface),
      input_schema: { type: 'object', properties: { uri: { type: 'string' } }, required: ['uri'] },
    },
    run: options.run as Handler<JsonObject>,
    ...secretsOf(options.name, options),
  };
}

export interface PromptOptions extends CommonOptions {
  name: string;
  arguments?: PromptArgument[];
  /** Returns `{messages: [...]}`. */
  run: Handler<Record<string, string>>;
}

/** Defines an action that MCP clients get as a prompt; read-only by nature. Its id is `prompt.<name>`. */
export function definePrompt(options: PromptOptions): ActionDefinition {
  const args = options.arguments ?? [];
  const attributes = { read_only: true, ...options.attributes };
  return {
    descriptor: {
      ...describe(
        `prompt.${options.name}`,
        { ...options, attributes },
        { kind: 'prompt', name: options.name, arguments: args },
      ),
      input_schema: {
        type: 'object',
        properties: Object.fromEntries(args.map(({ name }) => [name, { type: 'string' }])),
        required: args.filter(({ required }) => required).map(({ name }) => name),
      },
    },
    run: options.run as unknown as Handler<JsonObject>,
    ...secretsOf(options.name, options),
  };
}

const SECRET_NAME = /^[A-Za-z0-9_.-]{1,64}$/;

function secretsOf(id: string, { secrets }: CommonOptions): { secrets?: ActionSecrets } {
  if (!secrets) return {};
  for (const [name, reference] of Object.entries(secrets)) {
    if (!SECRET_NAME.test(name)) {
      throw new TypeError(`action "${id}": a name in secrets must be 1 to 64 letters, digits and _ . -`);
    }
    // What is written there may be a secret that somebody took for its place.
    const problem = SecretTexts.problemOfReference(reference);
    if (problem) throw new TypeError(`action "${id}": secrets.${name} ${problem}`);
  }
  return { secrets: { ...secrets } };
}

function describe(id: string, options: CommonOptions, surface: Surface): Omit<ActionDescriptor, 'input_schema'> {
  const { tool, method } = parseActionId(id);
  const sized = tool.length <= LIMITS.actionNameChars && method.length <= LIMITS.actionNameChars;
  if (tool === '' || actionId({ tool, method }) !== id || !sized) {
    throw new TypeError(
      `action "${id}": no part of an id is empty, and none is longer than ${LIMITS.actionNameChars} characters`,
    );
  }
  const readOnly = options.attributes?.read_only ?? false;
  const attributes = {
    destructive: !readOnly,
    idempotent: readOnly,
    open_world: true,
    ...options.attributes,
    read_only: readOnly,
  };
  const deadline = options.deadlineMs ?? DEFAULT_DEADLINE_MS;
  if (!Number.isInteger(deadline) || deadline < LIMITS.minDeadlineMs || deadline > LIMITS.maxDeadlineMs) {
    throw new TypeError(
      `action "${id}": deadlineMs must be a whole number from ${LIMITS.minDeadlineMs} to ${LIMITS.maxDeadlineMs}`,
    );
  }
  const retry: RetryPolicy = {
    max_attempts: attributes.idempotent || attributes.read_only ? 5 : 1,
    backoff_ms: 200,
    max_backoff_ms: 30_000,
    ...options.retry,
  };
  for (const [setting, least] of [
    ['max_attempts', 1],
    ['backoff_ms', 0],
    ['max_backoff_ms', 0],
  ] as const) {
    if (!Number.isInteger(retry[setting]) || retry[setting] < least) {
      throw new TypeError(`action "${id}": retry.${setting} must be a whole number, at least ${least}`);
    }
  }
  return {
    id,
    ...(options.title && { title: options.title }),
    description: options.description,
    attributes,
    deadline_ms: deadline,
    retry,
    ordering: options.ordering ?? (readOnly ? 'none' : 'principal'),
    ...(options.compensation && { compensation: options.compensation }),
    surface,
    ...(options.requiresInput && { requires_input: options.requiresInput }),
    ...(options.task && { task: options.task }),
    ...(options.onDeadLetter && { on_dead_letter: options.onDeadLetter }),
    ...(options.origin && { origin: options.origin }),
    ...(options.callerToken && { caller_token: true }),
    ...(options.longRunning && { long_running: true }),
  };
}

function toJsonSchema(schema: z.ZodType | JsonObject): JsonObject {
  return schema instanceof z.ZodType ? (z.toJSONSchema(schema, { io: 'input' }) as JsonObject) : schema;
}
