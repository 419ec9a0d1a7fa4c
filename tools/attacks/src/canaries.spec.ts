/**
 * Secrets that a stack knows or is told, each another text, looked for in everything that it keeps, prints and answers: files of streams and
 * database, logs, metrics, answers over HTTP. Exempt is nothing but the files whose purpose is to hold them.
 */
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startStack, waitFor, type TestStack } from '@callboard/testing';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { jetstreamManager } from '@nats-io/jetstream';
import { REVISION } from './attack.js';

const SLOW_MS = 180_000;
/** Of the data directory: where the stack's own secrets are. */
const HOLDS_SECRETS = /^(secrets\.json|ready\.json|nats\/(keys\.json|creds\/|tls\/))/;
/** Whose files may hold what no filter has seen. */
const RAW = /^nats\/store\/.*\/streams\/EVENTS_(RAW|HELD)\//;

const canary = () => `canary${randomBytes(12).toString('hex')}`;
const CANARIES = {
  'the token of a source': canary(),
  'the secret of a webhook': canary(),
  'a header of a far side, from a file': canary(),
  'a header of a far side, from the environment': canary(),
  'a secret of an action, from a file': canary(),
  'a secret of an action, from the environment': canary(),
  'a token that is not known': canary(),
  'a token at the ingestor that is not known': canary(),
  'an authority in a URL': canary(),
  'a variable of the runner that nothing names': canary(),
};
/** Tells all it knows, in every way that an action has. */
const TELLTALE = (folder: string) => `
import { ActionError, ActionSet, defineAction } from '@callboard/actions';
const secrets = { env: 'env:OWN_TOKEN', file: 'file:${folder}/own-token' };
const input = { type: 'object', properties: { how: { type: 'string' } } };
const run = async ({ how }, context) => {
  const said = [await context.secret('env'), await context.secret('file')];
  context.progress(1, 2, said.join());
  context.log('error', { said, [said[0]]: 1 }, said[1]);
  if (how === 'error') throw new ActionError(said.join(), { code: said[0] });
  if (how === 'fault') throw Object.assign(new Error(said.join('\\n at ')), { name: said[0] });
  return { said, lengths: said.map(({ length }) => length), [said[0]]: true };
};
export const actions = new ActionSet([defineAction({ id: 'own.tell', description: 'tells', input, secrets, run })]);
`;
/** Redacted, and so allowed in raw events until they are gone. */
const PRIVATE = `${canary()}@example.org`;

let folder: string;
let farSide: Server;
let stack: TestStack;
const answers: string[] = [];
const reached: string[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'callboard-canaries-'));
  farSide = createServer((request, response) => {
    reached.push(`${request.headers.authorization} ${request.headers['x-key']}`);
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ said: request.headers.authorization }));
  });
  await new Promise<void>((resolve) => farSide.listen(0, '127.0.0.1', resolve));
  const write = async (name: string, content: unknown) => {
    const path = join(folder, name);
    await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content));
    return path;
  };
  await write('far-token', CANARIES['a header of a far side, from a file']);
  await write('own-token', CANARIES['a secret of an action, from a file']);
  await symlink(fileURLToPath(new URL('../../../node_modules', import.meta.url)), join(folder, 'node_modules'));
  const { port } = farSide.address() as AddressInfo;
  const echo = {
    id: 'far.echo',
    description: 'tells what it was sent',
    input: { type: 'object' },
    http: {
      url: `http://127.0.0.1:${port}/`,
      answer: 'response',
      headers: { Authorization: 'Bearer ${file:far-token}', 'X-Key': '${FAR_KEY}' },
    },
  };
  const config = await write('callboard.yaml', {
    action_modules: [await write('own-actions.mjs', TELLTALE(folder))],
    adapters: await write('adapters.yaml', { actions: [echo] }),
    sources: await write('sources.yaml', {
      sources: [
        { name: 'ci', type: 'cloudevents', token: { env: 'CI_TOKEN' } },
        { name: 'hub', type: 'webhook', scheme: 'github', secret: { env: 'HUB_SECRET' } },
      ],
    }),
    env: {
      'action-runner': {
        OWN_TOKEN: CANARIES['a secret of an action, from the environment'],
        FAR_KEY: CANARIES['a header of a far side, from the environment'],
        UNNAMED: CANARIES['a variable of the runner that nothing names'],
        CALLBOARD_LOG_LEVEL: 'debug',
      },
      'event-ingestor': {
        CI_TOKEN: CANARIES['the token of a source'],
        HUB_SECRET: CANARIES['the secret of a webhook'],
        CALLBOARD_LOG_LEVEL: 'debug',
      },
      'mcp-frontend': { CALLBOARD_LOG_LEVEL: 'debug' },
      'pii-filter': { CALLBOARD_LOG_LEVEL: 'debug' },
    },
  });
  stack = await startStack({ args: ['--config', config] });
}, SLOW_MS);
afterAll(async () => {
  await stack?.stop();
  await new Promise((resolve) => farSide.close(resolve));
  await rm(folder, { recursive: true, force: true });
}, SLOW_MS);

async function ask(
  url: string,
  token: string,
  body: object,
  type = 'application/json',
  name = 'far.echo',
): Promise<string> {
  const response = await fetch(url, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${token}`,
      'content-type': type,
      accept: 'application/json, text/event-stream',
      ...(type === 'application/json' && { ...MCP_HEADERS, 'mcp-name': name }),
    },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  answers.push(`${response.status} ${JSON.stringify([...response.headers])} ${text}`);
  return text;
}

const MCP_HEADERS = {
  'mcp-protocol-version': REVISION,
  'mcp-method': 'tools/call',
};

const CALL = {
  jsonrpc: '2.0',
  id: 1,
  method: 'tools/call',
  params: {
    name: 'far.echo',
    arguments: {},
    _meta: {
      'io.modelcontextprotocol/protocolVersion': REVISION,
      'io.modelcontextprotocol/clientInfo': { name: 'spec', version: '1' },
      'io.modelcontextprotocol/clientCapabilities': {},
    },
  },
};

const tell = (how: string) =>
  ask(
    stack.ready.mcp_url,
    stack.ready.token,
    { ...CALL, params: { ...CALL.params, name: 'own.tell', arguments: { how } } },
    'application/json',
    'own.tell',
  );

const event = (id: string) => ({
  ...{ specversion: '1.0', id, source: '/spec', type: 'com.example.spec' },
  data: { mail: PRIVATE },
});

/** Every file below a folder, by its path from there. */
async function filesBelow(path: string): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>();
  for (const entry of await readdir(path, { recursive: true, withFileTypes: true })) {
    const file = join(entry.parentPath, entry.name);
    // Files come and go while the stack runs.
    if (entry.isFile()) files.set(relative(path, file), await readFile(file).catch(() => Buffer.alloc(0)));
  }
  return files;
}

const forms = (secret: string) => [secret, Buffer.from(secret).toString('base64').replace(/=+$/, '').slice(0, -1)];
const holds = (content: Buffer | string, secret: string) => forms(secret).some((form) => content.includes(form));

describe('no secret is found in what a stack keeps, prints and answers', () => {
  it(
    'after each was used, or was tried in vain',
    async () => {
      const { ready } = stack;
      expect(await ask(ready.mcp_url, ready.token, CALL)).toContain('Bearer [secret]');
      // They were sent, so the rest is no accident.
      expect(reached[0]).toBe(
        `Bearer ${CANARIES['a header of a far side, from a file']} ${CANARIES['a header of a far side, from the environment']}`,
      );
      const length = CANARIES['a secret of an action, from a file'].length;
      expect(await tell('result')).toContain(
        JSON.stringify({ said: ['[secret]', '[secret]'], lengths: [length, length], '[secret]': true }),
      );
      expect(await tell('error')).toContain('[secret],[secret]');
      expect(await tell('fault')).toContain('action_failed');
      await ask(ready.mcp_url, CANARIES['a token that is not known'], CALL);
      await ask(`${ready.mcp_url}?token=${CANARIES['an authority in a URL']}`, ready.token, CALL);
      const events = `${ready.ingest_url}/events/ci`;
      const cloudEvents = 'application/cloudevents+json';
      await ask(events, CANARIES['a token at the ingestor that is not known'], event('e1'), cloudEvents);
      await ask(events, CANARIES['the token of a source'], event('e2'), cloudEvents);
      await ask(`${ready.ingest_url}/webhooks/hub`, CANARIES['the secret of a webhook'], { a: 1 });

      const nc = await stack.connect('sre');
      const jsm = await jetstreamManager(nc, { checkAPI: false });
      await waitFor(async () => (await jsm.streams.info('EVENTS')).state.messages > 0, {
        what: 'the event',
      });
      await nc.close();
      for (const url of Object.values(ready.metrics).flat()) answers.push(await (await fetch(url)).text());

      const own = JSON.parse(await readFile(join(stack.dataDir, 'secrets.json'), 'utf8')) as Record<string, string>;
      const creds = await filesBelow(join(stack.dataDir, 'nats', 'creds'));
      const seeds = [...creds].map(([name, text]) => [
        `the seed of ${name}`,
        /SU[A-Z0-9]{56}/.exec(text.toString())![0],
      ]);
      const secrets = Object.entries({ ...CANARIES, ...own, ...Object.fromEntries(seeds) }) as [string, string][];

      const places = new Map<string, Buffer | string>(await filesBelow(stack.dataDir));
      places.set('what was printed', stack.output().replaceAll(own['token']!, ''));
      answers.forEach((answer, i) => places.set(`answer ${i}`, answer));
      const found: string[] = [];
      for (const [place, content] of places) {
        if (HOLDS_SECRETS.test(place)) continue;
        for (const [name, secret] of secrets) if (holds(content, secret)) found.push(`${name} in ${place}`);
        if (!RAW.test(place) && holds(content, PRIVATE)) found.push(`what is private in ${place}`);
      }
      expect(found).toEqual([]);
      // It would have been found.
      expect(
        [...places].filter(([place, content]) => HOLDS_SECRETS.test(place) && holds(content, own['token']!)),
      ).not.toEqual([]);
      expect([...places.keys()].some((place) => place.includes('/streams/EVENTS/'))).toBe(true);
    },
    SLOW_MS,
  );
});
