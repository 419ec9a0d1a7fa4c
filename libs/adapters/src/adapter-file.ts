/**
 * The adapter file: which actions live outside this process, and how each is reached. One YAML file, read once at start-up.
 *
 * A mistake is an error that names the file, the line, the place and what belongs there. Secrets are not written into the file: `${NAME}` in
 * a header or in the environment of a child process stands for a variable of the process that reads the file, and one that is not
 * set is a mistake too.
 */
import { isLoopback } from '@callboard/access';
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { SecretTexts, YamlFile, httpUrl as url, record, shapeOf } from '@callboard/config';
import type { JsonObject } from '@callboard/envelope';
import { count, nameRules, settings, texts, type ActionSettings } from './action-settings.js';
import { SITE, type BackstageSite } from './backstage/site.js';
import type { NameRules } from './name-rules.js';
import type { TokenExchangeConfig } from './remote/exchanged-token.js';

export interface HttpTarget {
  url: string;
  /** Sent with every request; `${NAME}` is replaced. */
  headers: Record<string, string>;
  /** The far side is called with a token of the caller's, that this issuer gives for it. */
  token_exchange?: TokenExchangeConfig;
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

export interface McpServer extends NameRules {
  /** Name of the server in logs and metrics, and of its tools unless `prefix` is given. */
  name: string;
  /** First part of the ids of its actions. */
  prefix: string;
  stdio?: { command: string; args: string[]; env: Record<string, string>; cwd?: string };
  http?: { url: string; headers: Record<string, string> };
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
  backstages: BackstageSite[];
}

/** What is wrong with the adapter file. */
export class AdapterFileError extends Error {
  override readonly name = 'AdapterFileError';
}

const FILE = shapeOf<Omit<AdapterFile, 'path'>>(
  record({
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
              token_exchange: record(
                {
                  issuer: url,
                  client_id: { type: 'string', minLength: 1 },
                  client_secret: { type: 'string' },
                  audience: { type: 'string', minLength: 1 },
                  resource: url,
                  scopes: { type: 'array', items: { type: 'string', pattern: '^[!#-\\[\\]-~]+$' }, default: [] },
                },
                ['issuer', 'client_id', 'client_secret'],
              ),
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
          ...nameRules,
          pin: { type: 'string', minLength: 1 },
          on_drift: { enum: ['warn', 'refuse'], default: 'warn' },
          connect_timeout_ms: { ...count(100), default: 10_000 },
          deadline_ms: count(1),
          tools: { type: 'object', default: {}, additionalProperties: record(settings) },
        },
        ['name'],
      ),
    },
    backstages: { type: 'array', default: [], items: SITE },
  }),
);

/** @throws AdapterFileError when the file cannot be read or used. */
export async function readAdapterFile(path: string, env: NodeJS.ProcessEnv): Promise<AdapterFile> {
  const text = await readFile(path, 'utf8').catch((error: Error) => {
    throw new AdapterFileError(`The adapter file cannot be read: ${error.message}`);
  });
  return parseAdapterFile(text, path, env);
}

export function parseAdapterFile(text: string, path: string, env: NodeJS.ProcessEnv): AdapterFile {
  const yaml = YamlFile.parse(text, path, AdapterFileError);
  const file = yaml.check(FILE);
  const folder = dirname(resolve(path));
  file.actions.forEach((action, i) => {
    const place = ['actions', i];
    if ((action.http === undefined) === (action.queue === undefined)) {
      throw yaml.mistake(place, 'must have one of http and queue: how the far side gets its commands');
    }
    if (!action.http) return;
    fillIn(yaml, [...place, 'http', 'headers'], action.http.headers, env);
    const { token_exchange: exchange, headers } = action.http;
    if (exchange) checkExchange(yaml, [...place, 'http', 'token_exchange'], exchange, headers, env);
  });
  file.mcp_servers.forEach((server, i) => {
    const place = ['mcp_servers', i];
    if ((server.stdio === undefined) === (server.http === undefined)) {
      throw yaml.mistake(place, 'must have one of stdio and http: how the server is reached');
    }
    if (file.mcp_servers.findIndex(({ name }) => name === server.name) !== i) {
      throw yaml.mistake([...place, 'name'], 'is the name of another server already');
    }
    if (server.stdio) {
      fillIn(yaml, [...place, 'stdio', 'env'], server.stdio.env, env);
      server.stdio.cwd = resolve(folder, server.stdio.cwd ?? '.');
    }
    if (server.http) fillIn(yaml, [...place, 'http', 'headers'], server.http.headers, env);
    server.prefix ??= server.name;
    server.pin = resolve(folder, server.pin ?? `${server.name}.pin.json`);
  });
  file.backstages.forEach((site, i) => {
    const place = ['backstages', i];
    site.namespace ??= site.name;
    for (const member of ['name', 'namespace', 'entities', 'docs'] as const) {
      if (site[member] === undefined || file.backstages.findIndex((other) => other[member] === site[member]) === i)
        continue;
      throw yaml.mistake([...place, member], 'is that of another Backstage already');
    }
    if (!REFERENCE.test(site.token)) {
      throw yaml.mistake([...place, 'token'], 'must be ${NAME}, ${file:PATH} or ${vault:PATH#KEY}: where the token is');
    }
    site.token = replaced(yaml, [...place, 'token'], site.token, env);
    for (const [id, { secrets }] of Object.entries(site.actions)) {
      if (!site.plugins.includes(id.split(':', 1)[0]!)) {
        throw yaml.mistake(
          [...place, 'actions', id],
          'must begin with one of plugins, as in catalog:get-catalog-entity',
        );
      }
      fillIn(yaml, [...place, 'actions', id, 'secrets'], secrets, env);
    }
    site.url = site.url.replace(/\/+$/, '');
  });
  return { ...file, path };
}

function checkExchange(
  yaml: YamlFile,
  place: (string | number)[],
  exchange: TokenExchangeConfig,
  headers: Record<string, string>,
  env: NodeJS.ProcessEnv,
): void {
  const { protocol, hostname } = new URL(exchange.issuer);
  if (protocol !== 'https:' && !isLoopback(hostname)) {
    throw yaml.mistake([...place, 'issuer'], 'must be https, but on this machine: it is sent a secret');
  }
  if (Object.keys(headers).some((name) => name.toLowerCase() === 'authorization')) {
    throw yaml.mistake(place, 'and the header Authorization exclude each other: leave one of them out');
  }
  const secret = [...place, 'client_secret'];
  if (!REFERENCE.test(exchange.client_secret)) {
    throw yaml.mistake(secret, 'must be ${NAME}, ${file:PATH} or ${vault:PATH#KEY}: where the secret is');
  }
  exchange.client_secret = replaced(yaml, secret, exchange.client_secret, env);
}

const REFERENCE = /^\$\{(\w+|file:[^}]+|vault:[^}#]+#[^}]+)\}$/;

/** Replaces each `${NAME}` in the values of the map at a place; what is in a file or in Vault is read when it is used, by `SecretTexts`. */
function fillIn(
  yaml: YamlFile,
  place: (string | number)[],
  values: Record<string, string>,
  env: NodeJS.ProcessEnv,
): void {
  for (const [name, value] of Object.entries(values)) values[name] = replaced(yaml, [...place, name], value, env);
}

function replaced(yaml: YamlFile, place: (string | number)[], text: string, env: NodeJS.ProcessEnv): string {
  const problem = SecretTexts.problemOf(text, env);
  if (problem) throw yaml.mistake(place, problem);
  return text.replaceAll(/\$\{(\w+)\}/g, (_, variable: string) => {
    const found = env[variable];
    if (!found) throw yaml.mistake(place, `needs the environment variable ${variable}, which is not set`);
    return found;
  });
}
