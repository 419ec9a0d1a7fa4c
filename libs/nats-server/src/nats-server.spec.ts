import { cp, mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { applyTopology, connectNats, declareTopology, inboxPrefix } from '@callboard/jetstream';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { PermissionViolationError, connect, credsAuthenticator, type NatsConnection } from '@nats-io/transport-node';
import { startNatsServer, type RunningNatsServer } from './nats-server.js';
import { resolveNatsServer } from './resolve-nats-server.js';
import { runCommand } from './run-command.js';

const topology = declareTopology({ partitions: 2, maxBytes: 64 * 1024 ** 2 });
const NOTHING = new Uint8Array();

let binary: string;
let folder: string;
beforeAll(async () => {
  binary = (await resolveNatsServer()).path;
  folder = await mkdtemp(join(tmpdir(), 'callboard-nats-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** A data dir with the keys that every test server starts from: signing new ones takes seconds inside Jest's sandbox. */
async function withKeys(name: string): Promise<string> {
  const dataDir = join(folder, name);
  const keys = process.env['CALLBOARD_TEST_KEYS'];
  if (keys) await cp(keys, dataDir, { recursive: true });
  return dataDir;
}

describe('the users of the topology', () => {
  let server: RunningNatsServer;
  const connections: NatsConnection[] = [];

  const connectAs = async (user: string): Promise<NatsConnection> => {
    const nc = await connectNats({ servers: server.url, user, credsFile: server.credsFile(user), name: 'spec' });
    connections.push(nc);
    return nc;
  };

  beforeAll(async () => {
    server = await startNatsServer({ binary, dataDir: await withKeys('users'), topology });
    await applyTopology(await connectAs('provisioner'), topology);
  });
  afterEach(async () => {
    for (const nc of connections.splice(0)) await nc.close();
  });
  afterAll(() => server.stop());

  /** What the server refuses of that which `act` does. */
  async function refused(nc: NatsConnection, act: () => void): Promise<string[]> {
    const refusals: string[] = [];
    const statuses = nc.status();
    const reading = (async () => {
      for await (const status of statuses) {
        if (status.type === 'error' && status.error instanceof PermissionViolationError) {
          refusals.push(`${status.error.operation} ${status.error.subject}`);
        }
      }
    })();
    act();
    // The server answers in order, so every refusal comes before the answer to a ping.
    await nc.flush();
    (statuses as unknown as { stop(): void }).stop();
    await reading;
    return refusals;
  }

  const subscribing = (nc: NatsConnection, subject: string) => () =>
    void nc.subscribe(subject, { callback: () => undefined });

  it('let the front end publish commands and hear outcomes, and not say that an attempt began or read commands', async () => {
    const nc = await connectAs('mcp-frontend');
    const ack = await jetstream(nc).publish('cmd.tenant.tool.method.key.c_1', '{}');
    expect(ack).toMatchObject({ stream: 'COMMANDS', seq: 1 });
    await expect(refused(nc, subscribing(nc, 'live.>'))).resolves.toEqual([]);
    await expect(refused(nc, () => nc.publish('attempt.tenant.c_1.1.begun', NOTHING))).resolves.toEqual([
      'publish attempt.tenant.c_1.1.begun',
    ]);
    await expect(refused(nc, () => nc.publish('$JS.API.STREAM.DELETE.COMMANDS', NOTHING))).resolves.toEqual([
      'publish $JS.API.STREAM.DELETE.COMMANDS',
    ]);
    await expect(refused(nc, subscribing(nc, 'cmd.>'))).resolves.toEqual(['subscription cmd.>']);
  });

  it('let the runner read commands and write outcomes, and not publish commands', async () => {
    const nc = await connectAs('action-runner');
    await expect(jetstream(nc).publish('out.tenant.c_1', '{}')).resolves.toMatchObject({ stream: 'OUTCOMES' });
    const jsm = await jetstreamManager(nc, { checkAPI: false });
    await expect(jsm.consumers.add('COMMANDS', { name: 'partition-0' })).resolves.toMatchObject({
      name: 'partition-0',
    });
    const command = 'cmd.tenant.tool.method.key.c_2';
    await expect(refused(nc, () => nc.publish(command, NOTHING))).resolves.toEqual([`publish ${command}`]);
    await expect(refused(nc, subscribing(nc, 'live.>'))).resolves.toEqual(['subscription live.>']);
    await expect(refused(nc, () => nc.publish('$JS.API.STREAM.UPDATE.COMMANDS', NOTHING))).resolves.toEqual([
      'publish $JS.API.STREAM.UPDATE.COMMANDS',
    ]);
  });

  it('let the provisioner change streams and see no message', async () => {
    const nc = await connectAs('provisioner');
    await expect(applyTopology(nc, topology)).resolves.toEqual([]);
    await expect(refused(nc, subscribing(nc, '>'))).resolves.toEqual(['subscription >']);
    for (const subject of [
      '$JS.API.CONSUMER.MSG.NEXT.COMMANDS.partition-0',
      '$JS.API.STREAM.MSG.GET.COMMANDS',
      '$JS.API.STREAM.DELETE.COMMANDS',
      'cmd.tenant.tool.method.key.c_3',
    ]) {
      await expect(refused(nc, () => nc.publish(subject, NOTHING))).resolves.toEqual([`publish ${subject}`]);
    }
  });

  it('let an SRE read everything, and not delete or change a stream or forge an outcome', async () => {
    const nc = await connectAs('sre');
    const jsm = await jetstreamManager(nc, { checkAPI: false });
    const stored = await jsm.streams.getMessage('COMMANDS', { last_by_subj: 'cmd.*.*.*.*.*.c_1' });
    expect(stored?.subject).toMatch(/^cmd\.[01]\.tenant\.tool\.method\.key\.c_1$/);
    await expect(refused(nc, subscribing(nc, '>'))).resolves.toEqual([]);
    for (const subject of [
      '$JS.API.STREAM.DELETE.COMMANDS',
      '$JS.API.STREAM.PURGE.COMMANDS',
      '$JS.API.STREAM.UPDATE.COMMANDS',
      'out.tenant.c_9',
    ]) {
      await expect(refused(nc, () => nc.publish(subject, NOTHING))).resolves.toEqual([`publish ${subject}`]);
    }
  });

  it("keep every app out of another's replies", async () => {
    for (const { name } of topology.users.filter(({ name }) => name !== 'sre')) {
      const nc = await connectAs(name);
      const other = name === 'mcp-frontend' ? 'action-runner' : 'mcp-frontend';
      const subject = `${inboxPrefix(other)}.>`;
      await expect(refused(nc, subscribing(nc, subject))).resolves.toEqual([`subscription ${subject}`]);
    }
  });

  it('are the only ones who get in', async () => {
    await expect(connect({ servers: server.url })).rejects.toThrow(/authorization violation/i);
    const stranger = await startNatsServer({ binary, dataDir: join(folder, 'stranger'), topology });
    try {
      const authenticator = credsAuthenticator(await readFile(stranger.credsFile('sre')));
      await expect(connect({ servers: server.url, authenticator })).rejects.toThrow(/authorization violation/i);
    } finally {
      await stranger.stop();
    }
  });
});

describe('a nats-server of our own', () => {
  it('keeps credentials and what was stored when it starts again, at the port that it is told', async () => {
    const dataDir = await withKeys('again');
    const first = await startNatsServer({ binary, dataDir, topology });
    const creds = await readFile(first.credsFile('sre'), 'utf8');
    const nc = await connectNats({
      servers: first.url,
      user: 'provisioner',
      credsFile: first.credsFile('provisioner'),
      name: 'spec',
    });
    await applyTopology(nc, topology);
    await nc.close();
    await first.stop();
    await first.exited;

    const second = await startNatsServer({ binary, dataDir, topology, port: first.port });
    try {
      expect(second.url).toBe(first.url);
      await expect(readFile(second.credsFile('sre'), 'utf8')).resolves.toBe(creds);
      const sre = await connectNats({
        servers: second.url,
        user: 'sre',
        credsFile: second.credsFile('sre'),
        name: 'spec',
      });
      const jsm = await jetstreamManager(sre, { checkAPI: false });
      await expect(jsm.streams.info('COMMANDS')).resolves.toMatchObject({ config: { name: 'COMMANDS' } });
      await sre.close();
    } finally {
      await second.stop();
    }
  });

  it('gives a user what the topology grants now, with the credentials of before', async () => {
    const dataDir = await withKeys('granted');
    const first = await startNatsServer({ binary, dataDir, topology });
    await first.stop();
    const grown = {
      ...topology,
      users: topology.users.map((user) =>
        user.name === 'action-runner' ? { ...user, publish: { allow: ['granted.later'] } } : user,
      ),
    };
    const second = await startNatsServer({ binary, dataDir, topology: grown });
    try {
      const runner = await connectNats({
        servers: second.url,
        user: 'action-runner',
        credsFile: first.credsFile('action-runner'),
        name: 'spec',
      });
      const sre = await connectNats({
        servers: second.url,
        user: 'sre',
        credsFile: second.credsFile('sre'),
        name: 'spec',
      });
      const heard = new Promise<string>((resolve) => {
        sre.subscribe('granted.later', { callback: (_, message) => resolve(message.string()) });
      });
      await sre.flush();
      runner.publish('granted.later', 'yes');
      await expect(heard).resolves.toBe('yes');
      await runner.close();
      await sre.close();
    } finally {
      await second.stop();
    }
  });

  it('writes a configuration that nats-server finds valid, with files that only the owner may read', async () => {
    const dataDir = join(folder, 'again');
    await expect(
      runCommand(binary, ['-t', '-c', join(dataDir, 'server.conf')], { timeoutMs: 10_000 }),
    ).resolves.toBeDefined();
    await expect(readFile(join(dataDir, 'server.conf'), 'utf8')).resolves.toContain('sync_interval: always');
    for (const file of ['server.conf', 'keys.json', 'creds/sre.creds', 'creds/action-runner.creds']) {
      expect((await stat(join(dataDir, file))).mode & 0o777).toBe(0o600);
    }
  });

  it('refuses to start on a store whose keys are gone', async () => {
    const dataDir = join(folder, 'again');
    await rm(join(dataDir, 'keys.json'));
    await expect(startNatsServer({ binary, dataDir, topology })).rejects.toThrow(/keys\.json is missing/);
  });

  it('says why it did not come up', async () => {
    const holder = await startNatsServer({ binary, dataDir: join(folder, 'holder'), topology, auth: 'none' });
    try {
      await expect(
        startNatsServer({ binary, dataDir: await withKeys('late'), topology, port: holder.port }),
      ).rejects.toThrow(/nats-server did not start: .*address already in use/);
      await expect(startNatsServer({ binary: '/nowhere', dataDir: await withKeys('none'), topology })).rejects.toThrow(
        /cannot be run/,
      );
    } finally {
      await holder.stop();
    }
  });

  it('asks for no credentials when told so', async () => {
    const server = await startNatsServer({ binary, dataDir: join(folder, 'open'), topology, auth: 'none' });
    try {
      expect(server.credsFile('sre')).toBe('');
      const nc = await connectNats({ servers: server.url, user: 'sre', credsFile: '', name: 'spec' });
      await expect(applyTopology(nc, topology)).resolves.not.toEqual([]);
      await nc.close();
    } finally {
      await server.stop();
    }
  });
});
