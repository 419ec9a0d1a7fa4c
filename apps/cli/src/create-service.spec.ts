/** `examples/sagas/create-service.yaml` against a real Backstage, which reads what it registers from the repositories that the saga makes. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Client } from '@modelcontextprotocol/client';
import { CALLS, BACKSTAGE, describeWith, startStack, waitFor, type TestStack } from '@callboard/testing';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { callboard, connect } from './spec-callboard.js';

const WAIT = { timeoutMs: 60_000 };
const ADA = 'user:default/ada';
const EXAMPLES = fileURLToPath(new URL('../../../examples/sagas', import.meta.url));
/** An owner to the catalog, which takes it for a group; no recipient to a notification, which is refused. */
const REFUSED = 'stagehands';

const run = promisify(execFile);

/** What a Git host does: the file as it is in the repository. */
function serve(repositories: string): Promise<Server> {
  const server = createServer((request, response) => {
    const [, name = '', file = ''] = (request.url ?? '').split('/');
    run('git', ['--git-dir', join(repositories, `${name}.git`), 'show', `main:${file}`]).then(
      ({ stdout }) => response.end(stdout),
      () => response.writeHead(404).end(),
    );
  });
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}

describeWith([BACKSTAGE], 'a saga that creates a service in Backstage', () => {
  let repositories: string;
  let server: Server;
  let url: string;
  let stack: TestStack;
  let client: Client;
  beforeAll(async () => {
    repositories = await mkdtemp(join(tmpdir(), 'callboard-repositories-'));
    server = await serve(repositories);
    const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    url = `http://${host}`;
    stack = await startStack({
      apps: [...CALLS, 'notifier', 'saga-orchestrator'],
      args: ['--backstage'],
      env: {
        CALLBOARD_SAGAS: join(EXAMPLES, 'create-service.yaml'),
        CALLBOARD_ACTION_MODULES: join(EXAMPLES, 'actions.mjs'),
        REPOSITORIES_DIR: repositories,
        REPOSITORIES_URL: url,
        APP_CONFIG_backend_reading_allow: JSON.stringify([{ host }]),
      },
      readyWithinMs: 240_000,
    });
    client = await connect(stack.ready.mcp_url, stack.ready.token);
    const isServed = async () => (await client.listTools()).tools.some(({ name }) => name === 'services.create');
    await waitFor(isServed, { what: 'the tool of the saga', ...WAIT });
  }, 300_000);
  afterAll(async () => {
    await client?.close();
    await stack?.stop();
    server?.close();
    await rm(repositories, { recursive: true, force: true });
  });

  const create = (name: string, owner: string) =>
    client.callTool({ name: 'services.create', arguments: { name, owner } });
  const backstage = async <T>(path: string) => {
    const answer = await fetch(`${stack.ready.backstage_url}/api/${path}`, {
      headers: { authorization: `Bearer ${stack.ready.backstage_users![ADA]}` },
    });
    return { status: answer.status, body: (await answer.json()) as T };
  };
  const entity = (name: string) => backstage<{ spec?: object }>(`catalog/entities/by-name/component/default/${name}`);
  const locations = async () => {
    const { body } = await backstage<{ data: { target: string } }[]>('catalog/locations');
    return body.map(({ data }) => data.target);
  };
  const titles = async () => {
    const { body } = await backstage<{ notifications: { payload: { title: string } }[] }>(
      'notifications/notifications',
    );
    return body.notifications.map(({ payload }) => payload.title);
  };

  it('makes the repository, has its component in the catalog, and its owner is told', async () => {
    const result = await create('fly-loft', ADA);
    const catalogInfo = `${url}/fly-loft/catalog-info.yaml`;
    expect(result.structuredContent).toEqual({ name: 'fly-loft', catalog_info: catalogInfo });
    expect(await locations()).toContain(catalogInfo);
    expect(await titles()).toContain('fly-loft is there');
    const { body } = await waitFor(
      async () => {
        const found = await entity('fly-loft');
        return found.status === 200 && found;
      },
      { what: 'the component', ...WAIT },
    );
    expect(body.spec).toMatchObject({ type: 'service', owner: ADA });
  });

  it('unregisters the component and deletes the repository when its owner cannot be told', async () => {
    const result = await create('trap-room', REFUSED);
    expect(result).toMatchObject({ isError: true, structuredContent: { error: { code: 'saga_compensated' } } });
    const id = String(result._meta?.['io.callboard/correlation_id']);
    const { stdout } = await callboard('sagas', 'show', id, '--json', '--data-dir', stack.dataDir);
    expect(JSON.parse(stdout)).toMatchObject({
      phase: 'compensated',
      steps: [
        { step: 'repository', undone: 'undone' },
        { step: 'register', undone: 'undone' },
        { step: 'tell', status: 'failed' },
      ],
    });
    expect(await locations()).not.toContain(`${url}/trap-room/catalog-info.yaml`);
    expect((await entity('trap-room')).status).toBe(404);
    expect(existsSync(join(repositories, 'trap-room.git'))).toBe(false);
  });

  it('leaves a repository alone that was there before', async () => {
    await create('green-room', ADA);
    const again = await create('green-room', ADA);
    const error = { code: 'saga_compensated', message: expect.stringContaining('repository_exists') };
    expect(again).toMatchObject({ isError: true, structuredContent: { error } });
    expect(existsSync(join(repositories, 'green-room.git'))).toBe(true);
    expect(await locations()).toContain(`${url}/green-room/catalog-info.yaml`);
  });
});
