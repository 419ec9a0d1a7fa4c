/**
 * The adapter file: which actions live outside this process, and how each is reached. One YAML file, read once at start-up.
 *
 * A mistake is an error that names the file, the place and what belongs there. Secrets are not written into the file: `${NAME}` in
 * a header or in the environment of a child process stands for a variable of the process that reads the file, and one that is not
 * set is a mistake too.
 */
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { Ajv2020, type ErrorObject } from 'ajv/dist/2020.js';
import type { ActionAttributes, Ordering, RetryPolicy } from '@callboard/actions';
import type { JsonObject } from '@callboard/envelope';
import { parseDocument } from 'yaml';

/** What the author of the file may say about an action, whatever its far side is. */
export interface ActionSettings {
  title?: string;
  attributes?: Partial<ActionAttributes>;
  deadline_ms?: number;
  retry?: Partial<RetryPolicy>;
  ordering?: Ordering;
}

export interface HttpTarget {
  url: string;
  /** Sent with every request; `${NAME}` is replaced. */
  headers: Record<string, string>;
  /** `callback`: the far side answers later, at the results endpoint. `response`: its HTTP response is the result. */
  answer: 'callback' | 'response';
  /** How long the far side may take to take the command, or to answer it when its response is the result. */
  timeout_ms: number;
  /** Statuses that say that the far side has done nothing. */
  retryable_statuses: number[];
}

/** An action that a far side does which knows nothing of Callboard's registry. */
export interface RemoteAction extends ActionSettings {
  id: string;
  description: string;
  input: JsonObject;
  output?: JsonObject;
  http?: HttpTarget;
  /** Name of the queue in the stream DISPATCH from which the far side takes its commands. */
  queue?: string;
}

export interface McpServer {
  /** Name of the server in logs and metrics, and of its tools unless `prefix` is given. */
  name: string;
  /** First part of the ids of its actions. */
  prefix: string;
  stdio?: { command: string; args: string[]; env: Record<string, string>; cwd?: string };
  http?: { url: string; headers: Record<string, string> };
  /** Names of tools, with `*` for any text. */
  include: string[];
  exclude: string[];
  /** Path of the pin file. */
  pin: string;
  on_drift: 'warn' | 'refuse';
  connect_timeout_ms: number;
  deadline_ms?: number;
  /** What the operator decides about single tools. */
  tools: Record<string, ActionSettings>;
}

export interface AdapterFile {
  path: string;
  actions: RemoteAction[];
  mcp_servers: McpServer[];
}

/** What is wrong with the adapter file. */
export class AdapterFileError extends Error {
  override readonly name = 'AdapterFileError';
}

const count = (minimum: number) => ({ type: 'integer', minimum });
const texts = { type: 'object', default: {}, additionalProperties: { type: 'string' } };
const url = { type: 'string', pattern: '^https?://' };
const toolNames = { type: 'array', items: { type: 'string', minLength: 1 } };

function record(properties: JsonObject, required: string[] = []): JsonObject {
  return { type: 'object', properties, required, additionalProperties: false };
}

const settings = {
  title: { type: 'string' },
  attributes: record({
    read_only: { type: 'boolean' },
    destructive: { type: 'boolean' },
    idempotent: { type: 'boolean' },
    open_world: { type: 'boolean' },
  }),
  deadline_ms: count(1),
  retry: record({ max_attempts: count(1), backoff_ms: count(0), max_backoff_ms: count(0) }),
  ordering: {
    if: { type: 'string' },
    then: { enum: ['principal', 'none'] },
    else: record({ argument: { type: 'string', minLength: 1 } }, ['argument']),
  },
};

const SCHEMA = record({
  actions: {
    type: 'array',
    default: [],
    items: record(
      {
        id: { type: 'string' },
        description: { type: 'string', minLength: 1 },
        ...settings,
        input: { type: 'object' },
        output: { type: 'object' },
        http: record(
          {
            url,
            headers: texts,
            answer: { enum: ['callback', 'response'], default: 'callback' },
            timeout_ms: { ...count(1), default: 10_000 },
            retryable_statuses: {
              type: 'array',
              items: { type: 'integer', minimum: 400, maximum: 599 },
              default: [429, 503],
            },
          },
          ['url'],
        ),
        queue: { type: 'string', pattern: '^[A-Za-z0-9_-]{1,64}$' },
      },
      ['id', 'description', 'input'],
    ),
  },
  mcp_servers: {
    type: 'array',
    default: [],
    items: record(
      {
        name: { type: 'string', pattern: '^[A-Za-z0-9_-]{1,32}$' },
        prefix: { type: 'string', pattern: '^[A-Za-z0-9_-]{1,32}$' },
        stdio: record(
          {
            command: { type: 'string', minLength: 1 },
            args: { type: 'array', items: { type: 'string' }, default: [] },
            env: texts,
            cwd: { type: 'string' },
          },
          ['command'],
        ),
        http: record({ url, headers: texts }, ['url']),
        include: { ...toolNames, default: ['*'] },
        exclude: { ...toolNames, default: [] },
        pin: { type: 'string', minLength: 1 },
        on_drift: { enum: ['warn', 'refuse'], default: 'warn' },
        connect_timeout_ms: { ...count(100), default: 10_000 },
        deadline_ms: count(1),
        tools: { type: 'object', default: {}, additionalProperties: record(settings) },
      },
      ['name'],
    ),
  },
});

const validate = new Ajv2020({ allErrors: false, useDefaults: true, strict: false, verbose: true }).compile<
  Omit<AdapterFile, 'path'>
>(SCHEMA);

/** @throws AdapterFileError when the file cannot be read or used. */
export async function readAdapterFile(path: string, env: NodeJS.ProcessEnv): Promise<AdapterFile> {
  const text = await readFile(path, 'utf8').catch((error: Error) => {
    throw new AdapterFileError(`The adapter file cannot be read: ${error.message}`);
  });
  return parseAdapterFile(text, path, env);
}

export function parseAdapterFile(text: string, path: string, env: NodeJS.ProcessEnv): AdapterFile {
  const wrong = (place: string, what: string) => new AdapterFileError(`${path}: ${place}${what}`);
  const document = parseDocument(text);
  const [mistake] = document.errors;
  if (mistake) throw wrong('', mistake.message.split('\n', 1)[0]!.replace(/:$/, ''));
  const file: unknown = document.toJS() ?? {};
  if (!validate(file)) throw wrong('', describe(validate.errors![0]!));

  const folder = dirname(resolve(path));
  file.actions.forEach((action, i) => {
    const place = `actions[${i}] (${action.id})`;
    if ((action.http === undefined) === (action.queue === undefined)) {
      throw wrong(place, ' must have one of http and queue: how the far side gets its commands');
    }
    if (action.http) fillIn(action.http.headers, env, (name, what) => wrong(`${place}.http.headers.${name}`, what));
  });
  file.mcp_servers.forEach((server, i) => {
    const place = `mcp_servers[${i}] (${server.name})`;
    if ((server.stdio === undefined) === (server.http === undefined)) {
      throw wrong(place, ' must have one of stdio and http: how the server is reached');
    }
    if (file.mcp_servers.findIndex(({ name }) => name === server.name) !== i) {
      throw wrong(place, ' has a name that another server has already');
    }
    if (server.stdio) {
      fillIn(server.stdio.env, env, (name, what) => wrong(`${place}.stdio.env.${name}`, what));
      server.stdio.cwd = resolve(folder, server.stdio.cwd ?? '.');
    }
    if (server.http) fillIn(server.http.headers, env, (name, what) => wrong(`${place}.http.headers.${name}`, what));
    server.prefix ??= server.name;
    server.pin = resolve(folder, server.pin ?? `${server.name}.pin.json`);
  });
  return { ...file, path };
}

/** Replaces each `${NAME}` in the values of a map. */
function fillIn(
  values: Record<string, string>,
  env: NodeJS.ProcessEnv,
  wrong: (name: string, what: string) => Error,
): void {
  for (const [name, value] of Object.entries(values)) {
    values[name] = value.replaceAll(/\$\{(\w+)\}/g, (_, variable: string) => {
      const found = env[variable];
      if (!found) throw wrong(name, ` needs the environment variable ${variable}, which is not set`);
      return found;
    });
  }
}

/** One mistake in words: the place as it is in the file, what must be there, and never what is. */
function describe(error: ErrorObject): string {
  const place = error.instancePath
    .split('/')
    .slice(1)
    .map((part) => (/^\d+$/.test(part) ? `[${part}]` : `.${part.replaceAll('~1', '/').replaceAll('~0', '~')}`))
    .join('')
    .replace(/^\./, '');
  const at = place === '' ? 'the file' : place;
  const params = error.params as Record<string, unknown>;
  switch (error.keyword) {
    case 'additionalProperties': {
      const known = Object.keys((error.parentSchema as { properties: JsonObject }).properties).join(', ');
      return `${at} has a key ${String(params['additionalProperty'])} that is not known; known keys: ${known}`;
    }
    case 'required':
      return `${at} must have ${String(params['missingProperty'])}`;
    case 'enum':
      return `${at} must be one of ${(params['allowedValues'] as string[]).join(', ')}`;
    case 'pattern':
      return params['pattern'] === url.pattern
        ? `${at} must be an http or https URL`
        : `${at} must match ${String(params['pattern'])}`;
    default:
      return `${at} ${error.message ?? 'is not valid'}`;
  }
}
