/**
 * examples/event-driven-ansible with the real thing: ansible-playbook and ansible-rulebook, installed by the example's own script. It takes
 * Python, Java and git; without them these tests are skipped, and say so.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { freePort } from '@callboard/nats-server';
import {
  CALLS,
  GIT,
  JAVA,
  PYTHON_WITH_VENV,
  describeWith,
  startStack,
  telling,
  waitFor,
  type TestStack,
} from '@callboard/testing';
import { parse, stringify } from 'yaml';
import { connectClient, type SpecClient } from '../spec-client.js';

const EXAMPLE = fileURLToPath(new URL('../../../../examples/event-driven-ansible/', import.meta.url));
const TOKEN = 'token-of-the-webhook';
const run = promisify(execFile);

let venv: string;
let folder: string;
let repository: string;
let commit: string;
let stack: TestStack;
let client: SpecClient;
let webhookPort: number;
let rulebook: { process: ChildProcess; dies: Promise<never> } | undefined;

async function git(...args: string[]): Promise<string> {
  return (await run('git', args, { cwd: repository })).stdout;
}

function ansibleEnv(): NodeJS.ProcessEnv {
  return {
    ...process.env,
    PATH: `${join(venv, 'bin')}:${process.env['PATH']}`,
    CALLBOARD_WORKSPACE: join(folder, 'workspace'),
    ANSIBLE_HOME: join(folder, 'ansible'),
    CALLBOARD_NATS_URL: stack.ready.nats_url,
    CALLBOARD_NATS_CREDS: stack.ready.nats_users['eda']!.creds,
    EDA_WEBHOOK_PORT: String(webhookPort),
    EDA_WEBHOOK_TOKEN: TOKEN,
  };
}

async function startRulebook(name: string, variables: string[]): Promise<void> {
  const child = spawn(
    join(venv, 'bin', 'ansible-rulebook'),
    [
      ...['--rulebook', name, '--inventory', 'inventory.yml', '--verbose'],
      ...['--source-dir', 'event_source', '--filter-dir', 'event_filter', '--env-vars', variables.join(',')],
    ],
    { cwd: EXAMPLE, env: ansibleEnv(), stdio: ['ignore', 'pipe', 'pipe'], detached: true },
  );
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (said += text));
  const dies = once(child, 'close').then(([code]) => {
    throw new Error(`ansible-rulebook ended with ${code}:\n${said}`);
  });
  dies.catch(() => undefined);
  rulebook = { process: child, dies };
  const ready = waitFor(() => said.includes('Waiting for events'), { what: 'the rulebook' });
  await Promise.race([ready, dies]);
}

/** A call while the rulebook lives. */
function call(name: string): ReturnType<SpecClient['call']> {
  return Promise.race([client.call(name, { repository }), rulebook!.dies]);
}

const expected = () => ({ commit, path: expect.stringContaining(join(folder, 'workspace')), host: 'build_host' });
const progress = () => [
  { progress: 10, total: 100, message: `clone: from ${repository}` },
  { progress: 90, total: 100, message: `clone: at ${commit}` },
];
const errorOf = (result: { structuredContent?: unknown }) =>
  (result.structuredContent as { error: { code: string; message: string } }).error;

describeWith([PYTHON_WITH_VENV, JAVA, GIT], 'examples/event-driven-ansible', () => {
  beforeAll(async () => {
    const { stdout } = await telling('installing Ansible and ansible-rulebook (once)', () =>
      run(join(EXAMPLE, 'install.sh')),
    );
    venv = stdout.trim();
    folder = await mkdtemp(join(tmpdir(), 'callboard-ansible-'));
    repository = join(folder, 'stage');
    await mkdir(repository);
    await git('init', '--quiet');
    await writeFile(join(repository, 'script.txt'), 'Places, please.\n');
    await git('add', '.');
    await git('-c', 'user.name=spec', '-c', 'user.email=spec@example.com', 'commit', '--quiet', '-m', 'The first');
    commit = (await git('rev-parse', 'HEAD')).trim();

    webhookPort = await freePort();
    const file = join(folder, 'adapters.yaml');
    const adapters = parse(await readFile(join(EXAMPLE, 'adapters.yaml'), 'utf8')) as {
      actions: { id: string; http?: { url: string } }[];
    };
    adapters.actions.find(({ id }) => id === 'webhook.clone')!.http!.url = `http://127.0.0.1:${webhookPort}/callboard`;
    await writeFile(file, stringify(adapters));
    stack = await startStack({ apps: CALLS, env: { CALLBOARD_ADAPTERS: file, EDA_WEBHOOK_TOKEN: TOKEN } });
    client = await connectClient(stack.ready);
  }, 600_000);
  beforeEach(() => void (client.heard.length = 0));
  afterEach(async () => {
    const child = rulebook?.process;
    rulebook = undefined;
    if (!child || child.exitCode !== null) return;
    const closed = once(child, 'close');
    // Its whole group: playbooks that still run are with it.
    process.kill(-child.pid!, 'SIGTERM');
    await closed;
  });
  afterAll(async () => {
    await client?.close();
    await stack?.stop();
    if (folder) await rm(folder, { recursive: true, force: true });
  });

  describe('a playbook that a far side runs for a command', () => {
    /** A webhook that runs ansible-playbook, as small as can be. */
    async function serveWebhook(): Promise<() => Promise<void>> {
      const server = createServer((req, res) => {
        let text = '';
        req.on('data', (chunk: Buffer) => (text += chunk.toString()));
        req.on('end', () => {
          res.writeHead(202).end();
          const variables = join(folder, 'command.json');
          void writeFile(variables, `{"ansible_eda": {"event": ${text}}}`).then(() =>
            run('ansible-playbook', ['-i', 'inventory.yml', 'playbooks/clone.yml', '-e', `@${variables}`], {
              cwd: EXAMPLE,
              env: ansibleEnv(),
            }).catch((error: { stdout: string }) => process.stderr.write(error.stdout)),
          );
        });
      });
      await new Promise<void>((resolve) => server.listen(webhookPort, '127.0.0.1', resolve));
      expect((server.address() as AddressInfo).port).toBe(webhookPort);
      return () => new Promise((resolve) => server.close(() => resolve()));
    }

    it('reports progress and the result, which reach the caller', async () => {
      const stop = await serveWebhook();
      try {
        const result = await client.call('webhook.clone', { repository });
        expect(result.structuredContent).toEqual(expected());
        expect(client.heard).toEqual(progress());
        const { path } = result.structuredContent as { path: string };
        expect(await readFile(join(path, 'script.txt'), 'utf8')).toBe('Places, please.\n');

        const failed = await client.call('webhook.clone', { repository: '/there/is/none' });
        expect(errorOf(failed)).toMatchObject({ code: 'playbook_failed', message: expect.stringMatching(/^Clone: /) });
      } finally {
        await stop();
      }
    });

    it('is not run with arguments that Ansible could take for a template', async () => {
      const result = await client.call('git.clone', { repository: "{{ lookup('pipe', 'id') }}" });
      expect(errorOf(result).code).toBe('invalid_arguments');
    });
  });

  describe('a rulebook', () => {
    it('takes commands from JetStream as events, and its playbook answers the caller', async () => {
      await startRulebook('rulebook-jetstream.yml', ['CALLBOARD_NATS_URL', 'CALLBOARD_NATS_CREDS']);
      const result = await call('git.clone');
      expect(result.structuredContent).toEqual(expected());
      expect(client.heard).toEqual(progress());
    });

    it('takes commands by webhook, and its playbook answers the caller', async () => {
      await startRulebook('rulebook-webhook.yml', ['EDA_WEBHOOK_PORT', 'EDA_WEBHOOK_TOKEN']);
      const result = await call('webhook.clone');
      expect(result.structuredContent).toEqual(expected());
      expect(client.heard).toEqual(progress());
    });
  });
});
