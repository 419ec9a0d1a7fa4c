/** A real published MCP server, over stdio and over HTTP, as a person connects it: pinned first, then called. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer, request } from 'node:http';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { ActionDefinition } from '@callboard/actions';
import { freePort } from '@callboard/nats-server';
import { metrics, type Logger } from '@callboard/telemetry';
import { installLocked, waitFor } from '@callboard/testing';
import { stringify } from 'yaml';
import { openAdapters, pinServers, type AdapterDependencies, type Adapters } from '../adapters.js';
import { specContext } from '../spec-context.js';
import type { Pin } from './pin.js';

const SERVERS = fileURLToPath(new URL('../../../../tools/mcp-servers/', import.meta.url));
const EVERYTHING = join(SERVERS, 'node_modules/@modelcontextprotocol/server-everything/dist/index.js');
const PINNED = ['echo', 'get-env', 'get-structured-content', 'get-sum', 'trigger-long-running-operation'];

let folder: string;
let http: { url: string; process: ChildProcess };
let logged: { level: string; fields: object; text: string }[];
let open: Adapters | undefined;

const log = Object.fromEntries(
  ['debug', 'info', 'warn', 'error'].map((level) => [
    level,
    (fields: object, text: string) => logged.push({ level, fields, text }),
  ]),
) as unknown as Logger;

beforeAll(async () => {
  await installLocked(SERVERS);
  folder = await mkdtemp(join(tmpdir(), 'callboard-adapters-'));
  http = await serveHttp(await freePort());
}, 300_000);
afterAll(async () => {
  await end(http.process);
  await rm(folder, { recursive: true, force: true });
});
afterEach(async () => {
  await open?.close();
  open = undefined;
});

async function serveHttp(port: number) {
  const child = spawn(process.execPath, [EVERYTHING, 'streamableHttp'], {
    env: { ...process.env, PORT: String(port) },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
  await waitFor(() => said.includes('listening'), { what: 'the HTTP server' });
  return { url: `http://127.0.0.1:${port}/mcp`, process: child };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const closed = once(child, 'close');
  child.kill('SIGKILL');
  await closed;
}

function server(transport: 'stdio' | 'http', more: object = {}) {
  const reached =
    transport === 'stdio'
      ? { stdio: { command: process.execPath, args: [EVERYTHING, 'stdio'], env: { TOLD: '${SPEC_SECRET}' } } }
      : { http: { url: http.url, headers: { Authorization: 'Bearer ${SPEC_SECRET}' } } };
  return { name: transport, prefix: 'every', include: PINNED, ...reached, ...more };
}

async function write(...servers: object[]): Promise<string> {
  const path = join(folder, 'adapters.yaml');
  await writeFile(path, stringify({ mcp_servers: servers }));
  return path;
}

const env = { SPEC_SECRET: 'hunter2' };
/** MCP servers need nothing of the rest. */
const deps = { env, log } as Partial<AdapterDependencies> as AdapterDependencies;

/** Pins a server, changes the pin file as the spec wants, and opens its actions. */
async function pinned(config: { name: string }, change: (pin: Pin) => void = () => undefined): Promise<Adapters> {
  logged = [];
  const path = await write(config);
  await pinServers(path, env, log, { write: true });
  const file = join(folder, `${config.name}.pin.json`);
  const pin = JSON.parse(await readFile(file, 'utf8')) as Pin;
  change(pin);
  await writeFile(file, JSON.stringify(pin));
  return (open = await openAdapters(path, deps));
}

function action(adapters: Adapters, name: string): ActionDefinition {
  const found = adapters.actions.get(`every.${name}`);
  if (!found) throw new Error(`no action every.${name}`);
  return found;
}

const run = (definition: ActionDefinition, args: object, { context } = specContext()) =>
  Promise.resolve(definition.run(args as never, context));

describe.each(['stdio', 'http'] as const)('the tools of a downstream MCP server over %s', (transport) => {
  it('are actions with the schema and the hints that were pinned, and nothing is connected for that', async () => {
    const adapters = await pinned(server(transport));
    expect([...adapters.actions].map(({ descriptor }) => descriptor.id)).toEqual(PINNED.map((name) => `every.${name}`));
    const { descriptor } = action(adapters, 'get-sum');
    expect(descriptor).toMatchObject({
      input_schema: { type: 'object', required: ['a', 'b'] },
      attributes: { read_only: true, destructive: false, idempotent: true, open_world: false },
      ordering: 'none',
    });
    expect(descriptor.input_schema).not.toHaveProperty('$schema');
    await end(http.process);
    try {
      await openAdapters(join(folder, 'adapters.yaml'), deps);
    } finally {
      http = await serveHttp(Number(new URL(http.url).port));
    }
  });

  it('are called, and their content and structured content come back', async () => {
    const adapters = await pinned(server(transport));
    expect(await run(action(adapters, 'echo'), { message: 'Places, please.' })).toEqual({
      content: [{ type: 'text', text: 'Echo: Places, please.' }],
    });
    expect(await run(action(adapters, 'get-structured-content'), { location: 'Chicago' })).toMatchObject({
      structuredContent: { temperature: expect.any(Number) },
    });
  });

  it('report their progress', async () => {
    const adapters = await pinned(server(transport));
    const attempt = specContext();
    await run(action(adapters, 'trigger-long-running-operation'), { duration: 0.3, steps: 3 }, attempt);
    expect(attempt.heard.map(([progress, total]) => [progress, total])).toEqual([
      [1, 3],
      [2, 3],
      [3, 3],
    ]);
  });

  it('are cancelled with their command, and the connection is good for the next call', async () => {
    const adapters = await pinned(server(transport));
    const attempt = specContext();
    const running = run(action(adapters, 'trigger-long-running-operation'), { duration: 60, steps: 600 }, attempt);
    await waitFor(() => attempt.heard.length > 0, { what: 'progress' });
    attempt.abort(new Error('cancelled'));
    await expect(running).rejects.toThrow('cancelled');
    const heard = attempt.heard.length;
    await run(action(adapters, 'echo'), { message: 'on' });
    expect(attempt.heard).toHaveLength(heard);
  });

  it('that fail end the attempt with what the server said, and are not tried again', async () => {
    const adapters = await pinned(server(transport));
    await expect(run(action(adapters, 'get-sum'), { a: 'one', b: 2 })).rejects.toMatchObject({
      name: 'ActionError',
      code: 'action_failed',
      retryable: false,
      message: expect.stringContaining('expected number'),
    });
  });

  it('that are not as pinned are reported, by log and metric, and refused where the configuration says so', async () => {
    const change = (pin: Pin) => {
      pin.tools.find(({ name }) => name === 'echo')!.description = 'Harmless';
      pin.tools.push({ name: 'left', input_schema: { type: 'object' } });
    };
    const lenient = await pinned(server(transport), change);
    expect(await run(action(lenient, 'echo'), { message: 'a' })).toBeDefined();
    expect(logged).toContainEqual({
      level: 'warn',
      fields: { server: transport, changed: ['echo'], gone: ['left'], added: [] },
      text: 'a downstream MCP server is not as it was pinned',
    });
    expect(await metrics.metrics()).toContain(`callboard_mcp_server_drift{server="${transport}"} 2`);
    await lenient.close();

    const strict = await pinned(server(transport, { on_drift: 'refuse' }), change);
    const refused = { code: 'schema_drift', retryable: false };
    await expect(run(action(strict, 'echo'), { message: 'a' })).rejects.toMatchObject(refused);
    await expect(run(action(strict, 'left'), {})).rejects.toMatchObject(refused);
    expect(await run(action(strict, 'get-sum'), { a: 1, b: 2 })).toBeDefined();
  });
});

describe('a downstream MCP server', () => {
  it('over HTTP gets the credentials of the configuration, and a call that it does not let in is not tried again', async () => {
    const proxy = createServer((req, res) => {
      if (req.headers.authorization !== 'Bearer hunter2') return res.writeHead(401).end();
      const { method, headers } = req;
      const behind = request(http.url, { method, headers }, (answer) =>
        answer.pipe(res.writeHead(answer.statusCode!, answer.headers)),
      );
      return req.pipe(behind);
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    try {
      const url = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}/mcp`;
      const headers = { Authorization: 'Bearer ${SPEC_SECRET}' };
      const adapters = await pinned(server('http', { http: { url, headers } }));
      expect(await run(action(adapters, 'echo'), { message: 'in' })).toBeDefined();
      await adapters.close();

      const strangers = await openAdapters(join(folder, 'adapters.yaml'), { ...deps, env: { SPEC_SECRET: 'wrong' } });
      await expect(run(action(strangers, 'echo'), { message: 'a' })).rejects.toMatchObject({
        message: 'MCP server http does not accept our credentials',
        retryable: false,
      });
      await strangers.close();
    } finally {
      proxy.closeAllConnections();
      await new Promise((resolve) => proxy.close(resolve));
    }
  });

  it('over stdio sees the environment that it was given, and none of the runner', async () => {
    process.env['SPEC_OF_THE_RUNNER'] = 'secret';
    const adapters = await pinned(server('stdio'));
    const { content } = (await run(action(adapters, 'get-env'), {})) as { content: { text: string }[] };
    const seen = JSON.parse(content[0]!.text) as Record<string, string>;
    expect(seen).toMatchObject({ TOLD: 'hunter2' });
    expect(seen).not.toHaveProperty('SPEC_OF_THE_RUNNER');
  });

  it('that dies during a call leaves a harmless call to be tried again, and any other in doubt', async () => {
    for (const [readOnly, ending] of [
      [true, { code: 'action_failed', retryable: true }],
      [false, { code: 'in_doubt', retryable: false }],
    ] as const) {
      const attributes = { read_only: readOnly, idempotent: readOnly };
      const adapters = await pinned(server('http', { tools: { 'trigger-long-running-operation': { attributes } } }));
      const attempt = specContext();
      const running = run(action(adapters, 'trigger-long-running-operation'), { duration: 60, steps: 600 }, attempt);
      running.catch(() => undefined);
      await waitFor(() => attempt.heard.length > 0, { what: 'progress' });
      await end(http.process);
      await expect(running).rejects.toMatchObject({ name: 'ActionError', ...ending });
      http = await serveHttp(Number(new URL(http.url).port));
      await adapters.close();
    }
  });

  it('that is away has done nothing, so any call may be tried again; and it is found when it is back', async () => {
    const adapters = await pinned(server('http', { tools: { echo: { attributes: { read_only: false } } } }));
    const echo = action(adapters, 'echo');
    expect(echo.descriptor).toMatchObject({ ordering: 'principal', retry: { max_attempts: 5 } });
    await end(http.process);
    await expect(run(echo, { message: 'a' })).rejects.toMatchObject({ name: 'ActionError', retryable: true });
    http = await serveHttp(Number(new URL(http.url).port));
    const result = await waitFor(() => run(echo, { message: 'back' }).catch(() => undefined), {
      what: 'the connection',
    });
    expect(result).toEqual({ content: [{ type: 'text', text: 'Echo: back' }] });

    // The connection that is kept now is one to a process that is killed, and then to one that does not know it.
    await end(http.process);
    await expect(run(echo, { message: 'a' })).rejects.toMatchObject({ name: 'ActionError', retryable: true });
    http = await serveHttp(Number(new URL(http.url).port));
    expect(
      await waitFor(() => run(echo, { message: 'again' }).catch(() => undefined), { what: 'the connection' }),
    ).toEqual({ content: [{ type: 'text', text: 'Echo: again' }] });
    // Once more, without a call in between that could have noticed.
    await end(http.process);
    http = await serveHttp(Number(new URL(http.url).port));
    await expect(run(echo, { message: 'a' })).rejects.toMatchObject({ name: 'ActionError', retryable: true });
    expect(await waitFor(() => run(echo, { message: 'well' }).catch(() => undefined), { what: 'the session' })).toEqual(
      {
        content: [{ type: 'text', text: 'Echo: well' }],
      },
    );
  });
});

describe('a pin', () => {
  it('holds every tool that is included, and says what has changed since', async () => {
    logged = [];
    const path = await write(server('stdio', { include: ['*'], exclude: ['trigger-*', 'toggle-*'], pin: 'all.json' }));
    const [first] = await pinServers(path, env, log, { write: true });
    expect(first).toMatchObject({ server: 'stdio', drift: { changed: [], gone: [] } });
    expect(first!.drift.added).toHaveLength(first!.tools);
    expect(first!.drift.added).toContain('echo');
    expect(first!.drift.added.filter((name) => name.startsWith('t'))).toEqual([]);
    const [second] = await pinServers(path, env, log, { write: false });
    expect(second!.drift).toEqual({ changed: [], gone: [], added: [] });
  });

  it('that gives two servers one tool keeps the runner from starting', async () => {
    await pinned(server('http'));
    const path = await write(server('http'), server('http', { name: 'other', pin: 'http.pin.json' }));
    await expect(openAdapters(path, deps)).rejects.toThrow(`${path}: another action is called every.echo already`);
  });

  it('of a second adapter file serves its tools beside those of the first, and takes no name from it', async () => {
    await pinned(server('http'));
    const more = (name: string, servers: object[]) => {
      const path = join(folder, name);
      return writeFile(path, JSON.stringify({ mcp_servers: servers })).then(() => path);
    };
    const first = await write(server('http'));
    const second = await more('second.yaml', [
      server('http', { name: 'other', prefix: 'other', pin: 'http.pin.json' }),
    ]);
    const both = await openAdapters(`${first}, ${second}`, deps);
    expect([both.actions.get('every.echo'), both.actions.get('other.echo')]).toEqual([
      expect.anything(),
      expect.anything(),
    ]);
    await both.close();
    const taken = await more('taken.yaml', [server('http', { name: 'other', pin: 'http.pin.json' })]);
    await expect(openAdapters(`${first},${taken}`, deps)).rejects.toThrow(
      `${taken}: another action is called every.echo already`,
    );
  });

  it('that is missing keeps the runner from starting, with the way out', async () => {
    const path = await write(server('stdio', { pin: 'missing.json' }));
    await expect(openAdapters(path, deps)).rejects.toThrow('run "callboard adapters pin"');
  });
});
