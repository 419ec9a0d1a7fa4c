/** For specs: a stack in which much can be made to fail, each thing by itself, and mended again. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { issueCertificates } from '@callboard/nats-server';
import { startStack, startTestPostgres, type TestPostgres, type TestStack } from '@callboard/testing';
import type { Scrape } from './spec-time-lapse.js';

const run = promisify(execFile);
const inRepository = (path: string) => fileURLToPath(new URL(`../../../${path}`, import.meta.url));
const CLI = inRepository('apps/cli/dist/main.js');

/** Commands of one tenant that may be open: so many that only who wants to reaches it. */
export const MOST_COMMANDS = 60;

/** Our own authority certifies for so long. */
const CERTIFIED_DAYS = 397;
/** No command of the command line takes longer. */
const COMMAND_MS = 60_000;

const QUOTAS = `default: { commands: ${MOST_COMMANDS}, event_subscriptions: 1 }\n`;
const POLICY = '@id("all")\npermit (principal, action, resource);\n';
const REDACTION = 'version: 1\npolicies: [{ name: all }]\n';
const BROKEN = 'this is none of it: [\n';

/** An action whose key stands still after a dead letter, one whose far side is closed, and one whose far side takes its time. */
const actionsOf = (farSide: string) => `
import { ActionError, ActionSet, defineAction } from '@callboard/actions';
const input = { type: 'object', properties: { fail: { type: 'boolean' } } };
const closed = () => { throw new ActionError('closed', { retryable: true }); };
export const actions = new ActionSet([
  defineAction({
    id: 'gate.pass',
    description: 'Passes, or fails for good',
    input,
    attributes: { idempotent: true },
    retry: { max_attempts: 2, backoff_ms: 10 },
    onDeadLetter: 'halt',
    run: ({ fail }) => (fail ? closed() : 'passed'),
  }),
  defineAction({
    id: 'far.ask',
    description: 'Asks a far side that is closed',
    input,
    attributes: { idempotent: true },
    retry: { max_attempts: 20, backoff_ms: 1, max_backoff_ms: 1 },
    run: closed,
  }),
  defineAction({
    id: 'far.wait',
    description: 'Waits for the answer of a far side',
    input,
    attributes: { idempotent: true },
    run: async (_, { signal }) => (await fetch('${farSide}', { signal })).text(),
  }),
]);
`;

/** A saga whose second step fails, and whose first cannot be undone. */
const SAGA = `id: stage.open
version: 1
description: Opens the stage, and cannot close it.
input: { type: object }
steps:
  - name: build
    action: demo.append
    args: { key: stage, value: built }
    compensation:
      action: demo.fail
      args: { id: '\${{ saga.id }} build', times: 100, retryable: false }
      retry: { max_attempts: 1, backoff_ms: 1, max_backoff_ms: 1 }
  - { name: light, action: demo.fail, args: { id: '\${{ saga.id }} light', times: 100, retryable: false } }
`;

/** A downstream MCP server over stdio; what its one tool says of itself is in the file of its argument, and it tells when that is another text. */
const DOWNSTREAM = `
import { readFileSync, watchFile } from 'node:fs';
import { createInterface } from 'node:readline';
const [, , file] = process.argv;
const send = (message) => process.stdout.write(JSON.stringify({ jsonrpc: '2.0', ...message }) + '\\n');
const tool = () => ({ name: 'prompt', description: readFileSync(file, 'utf8'), inputSchema: { type: 'object' } });
const answers = {
  initialize: ({ protocolVersion }) => ({
    protocolVersion,
    capabilities: { tools: { listChanged: true } },
    serverInfo: { name: 'prompter', version: '1.0.0' },
  }),
  'tools/list': () => ({ tools: [tool()] }),
  'tools/call': () => ({ content: [{ type: 'text', text: tool().description }] }),
  ping: () => ({}),
};
createInterface({ input: process.stdin }).on('line', (line) => {
  const { id, method, params } = JSON.parse(line);
  if (id === undefined) return;
  const answer = answers[method];
  send(answer ? { id, result: answer(params) } : { id, error: { code: -32601, message: 'no such method' } });
}).on('close', () => process.exit(0));
watchFile(file, { interval: 100 }, () => send({ method: 'notifications/tools/list_changed' }));
`;

/** An HTTP server of which a test says how it answers everything. */
export class Stub {
  status = 200;
  /** How long it takes over an answer. */
  delayMs = 0;

  private constructor(
    readonly url: string,
    private readonly server: Server,
  ) {}

  static async start(body: string): Promise<Stub> {
    const server = createServer((request, response) => {
      request.resume().on('end', async () => {
        if (stub.delayMs > 0) await delay(stub.delayMs);
        response.writeHead(stub.status, { 'content-type': 'application/json' }).end(stub.status === 200 ? body : '{}');
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const stub = new Stub(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, server);
    return stub;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

export interface FaultyStack {
  readonly stack: TestStack;
  /** Where its data directory is `.callboard`, and `npx callboard` runs. */
  readonly folder: string;
  /** Takes notifications. */
  readonly backstage: Stub;
  /** Takes traces. */
  readonly collector: Stub;
  /** Is waited for by `far.wait`. */
  readonly farSide: Stub;
  /** Has the ledger. */
  readonly database: TestPostgres;
  /** Files that are followed. */
  readonly files: Readonly<
    Record<'policies' | 'quotas' | 'redaction' | 'tool', { break(): Promise<void>; mend(): Promise<void> }>
  >;
  /** Renews the certificate with which a user connects to NATS, as its authority does, by one that is good for so many days. */
  certify(user: string, days: number): Promise<void>;
  /** What every process that answers tells now, with the labels that a scraper gives. */
  scrape(): Promise<Scrape>;
  /** The metrics that are told, of any type. */
  told(): Promise<Set<string>>;
  /** Runs the command line on this stack. */
  callboard(...args: string[]): Promise<string>;
  stop(): Promise<void>;
}

export async function startFaultyStack(): Promise<FaultyStack> {
  const folder = await mkdtemp(join(tmpdir(), 'callboard-faulty-'));
  const at = (name: string) => join(folder, name);
  await Promise.all([
    symlink(inRepository('node_modules'), at('node_modules')),
    mkdir(at('sagas')),
    mkdir(at('policies')),
  ]);
  const texts = {
    policies: [at('policies/all.cedar'), POLICY],
    quotas: [at('quotas.yaml'), QUOTAS],
    redaction: [at('redaction.yaml'), REDACTION],
    tool: [at('tool.txt'), 'Whispers the next line'],
  } as const;
  const file = ([path, text]: readonly [string, string]) => ({
    break: () => writeFile(path, BROKEN),
    mend: () => writeFile(path, text),
  });
  const adapters = {
    mcp_servers: [
      { name: 'prompter', stdio: { command: process.execPath, args: [at('downstream.mjs'), at('tool.txt')] } },
    ],
  };
  await Promise.all([
    ...Object.values(texts).map(([path, text]) => writeFile(path, text)),
    writeFile(at('sagas/stage.yaml'), SAGA),
    writeFile(at('downstream.mjs'), DOWNSTREAM),
    // JSON is YAML.
    writeFile(at('adapters.yaml'), JSON.stringify(adapters)),
    writeFile(at('notifications.yaml'), '{}'),
    writeFile(at('token'), 'spec'),
  ]);
  const [backstage, collector, farSide, database] = await Promise.all([
    Stub.start('[{ "id": "spec" }]'),
    Stub.start('{}'),
    Stub.start('"here"'),
    startTestPostgres(),
    run(process.execPath, [CLI, 'adapters', 'pin', '--file', at('adapters.yaml')], {
      cwd: folder,
      timeout: COMMAND_MS,
    }),
  ]);
  await writeFile(at('actions.mjs'), actionsOf(farSide.url));
  const config = {
    nats: { tls: true },
    action_modules: ['@callboard/demo-actions', at('actions.mjs')],
    adapters: at('adapters.yaml'),
    notifications: at('notifications.yaml'),
    policies: at('policies'),
    quotas: at('quotas.yaml'),
    redaction_policy: at('redaction.yaml'),
    sagas: at('sagas'),
    env: {
      // Who guesses is refused for each guess, and not for guessing too often.
      'mcp-frontend': { CALLBOARD_MAX_FAILED_AUTHENTICATIONS: '100000' },
      'pii-filter': { CALLBOARD_FILTER_WORKER_HEAP_MB: '32' },
      'audit-writer': { CALLBOARD_AUDIT_CHECKPOINT_MS: '500' },
      notifier: {
        CALLBOARD_BACKSTAGE_URL: backstage.url,
        CALLBOARD_BACKSTAGE_NOTIFICATIONS_TOKEN_FILE: at('token'),
      },
    },
  };
  const stack = await startStack({
    config,
    dataDir: at('.callboard'),
    replicas: { 'action-runner': 2, 'audit-writer': 1 },
    env: { CALLBOARD_TRACES_URL: `${collector.url}/v1/traces`, CALLBOARD_AUDIT_DATABASE_URL: database.url },
  }).catch(async (error: unknown) => {
    await Promise.all([backstage.stop(), collector.stop(), farSide.stop(), database.dispose()]);
    throw error;
  });

  const answers_ = async (): Promise<[labels: string, text: string][]> => {
    const { metrics } = await stack.readReady();
    const targets = Object.entries(metrics).flatMap(([app, urls]) =>
      urls.map((url, i) => [`app="${app}",instance="${app}-${i + 1}"`, url] as const),
    );
    const answers = await Promise.all(
      targets.map(async ([labels, url]): Promise<[string, string][]> => {
        try {
          const answer = await fetch(url, { signal: AbortSignal.timeout(2_000) });
          return [[labels, await answer.text()]];
        } catch {
          return [];
        }
      }),
    );
    return answers.flat();
  };
  return {
    ...{ stack, folder, backstage, collector, farSide, database },
    files: {
      policies: file(texts.policies),
      quotas: file(texts.quotas),
      redaction: file(texts.redaction),
      tool: file(texts.tool),
    },
    certify: async (user, days) => {
      const tls = at('.callboard/nats/tls');
      await Promise.all(['pem', 'key'].map((of) => rm(join(tls, `user-${user}.${of}`))));
      await issueCertificates(tls, [user], [], Date.now() - (CERTIFIED_DAYS - days) * 86_400_000);
    },
    scrape: async () => {
      const samples: Scrape = new Map();
      for (const [told, text] of await answers_()) {
        for (const [, name, labels, value] of text.matchAll(/^(callboard_\w+)(?:\{(.*)\})? (\S+)$/gm)) {
          samples.set(`${name}{${told}${labels ? `,${labels}` : ''}}`, Number(value));
        }
      }
      return samples;
    },
    told: async () => {
      const names = new Set<string>();
      for (const [, text] of await answers_()) {
        for (const [, name, type] of text.matchAll(/^# TYPE (\S+) (\S+)$/gm)) {
          for (const suffix of type === 'histogram' ? ['_bucket', '_count', '_sum'] : ['']) names.add(name! + suffix);
        }
      }
      return names;
    },
    callboard: async (...args) =>
      (await run(process.execPath, [CLI, ...args], { cwd: folder, timeout: COMMAND_MS })).stdout,
    stop: async () => {
      // Whatever a test has left: a process that stands still cannot stop.
      process.kill(stack.ready.supervisor_pid, 'SIGCONT');
      const stopped = stack.stop();
      await stopped.catch(() => undefined);
      await Promise.all([backstage.stop(), collector.stop(), farSide.stop(), database.dispose()]);
      await rm(folder, { recursive: true, force: true });
      await stopped;
    },
  };
}
