/** The commands against a nats-server that others run: it has what `callboard nats config` wrote, and no data dir of ours. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectNats, declareTopology } from '@callboard/jetstream';
import { freePort, resolveNatsServer, runServer } from '@callboard/nats-server';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { jetstreamManager } from '@nats-io/jetstream';
import { callboard, callboardWith } from './spec-callboard.js';

const CONFIG = 'streams:\n  partitions: 4\n  max_bytes: 33554432\n';

describe('a NATS that others run', () => {
  let folder: string;
  let server: { stop(): Promise<void> };
  let env: NodeJS.ProcessEnv;
  let config: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'callboard-external-'));
    config = join(folder, 'callboard.yaml');
    await writeFile(config, CONFIG);
    const nats = join(folder, 'nats');
    const store = join(folder, 'store');
    await callboard('nats', 'config', nats, '--no-tls', '--store-dir', store, '--config', config);
    const port = await freePort();
    const file = join(nats, 'spec.conf');
    await writeFile(file, `include ./server.conf\nhost: 127.0.0.1\nport: ${port}\n`);
    const { path: binary } = await resolveNatsServer();
    server = await runServer({ binary }, file);
    env = {
      CALLBOARD_NATS_URL: `nats://127.0.0.1:${port}`,
      CALLBOARD_NATS_NKEY: join(nats, 'users', 'provisioner.nk'),
    };
  });
  afterAll(async () => {
    await server?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  it('gets the streams of the configuration file, and gets them once', async () => {
    const before = await callboardWith(env, 'streams', 'check', '--external', '--config', config);
    expect(before).toMatchObject({ code: 1, stdout: expect.stringContaining('missing') });
    const first = await callboardWith(env, 'streams', 'apply', '--external', '--config', config);
    expect(first).toMatchObject({ code: 0, stderr: '' });
    const again = await callboardWith(env, 'streams', 'apply', '--external', '--config', config);
    expect(again).toMatchObject({ code: 0, stdout: 'Nothing to change: every stream is as declared.\n' });

    const nc = await connectNats({
      servers: env['CALLBOARD_NATS_URL']!,
      nkeyFile: env['CALLBOARD_NATS_NKEY']!,
      user: 'provisioner',
      name: 'spec',
    });
    try {
      const jsm = await jetstreamManager(nc, { checkAPI: false });
      const declared = declareTopology({ partitions: 4 }).streams.map(({ config }) => config.name);
      expect((await jsm.streams.names().next()).sort()).toEqual(declared.sort());
    } finally {
      await nc.close();
    }
  });

  it('is left as it is when it has other partitions than were asked for', async () => {
    const other = join(folder, 'other.yaml');
    await writeFile(other, CONFIG.replace('partitions: 4', 'partitions: 8'));
    const apply = await callboardWith(env, 'streams', 'apply', '--external', '--config', other);
    expect(apply).toMatchObject({ code: 1, stderr: expect.stringContaining('COMMANDS: subject_transform is') });
    const check = await callboardWith(env, 'streams', 'check', '--external', '--config', config);
    expect(check).toMatchObject({ code: 0 });
  });

  it('is looked at and acted on as each user that a command needs, by a file that says where it is', async () => {
    const context = join(folder, 'prod.env');
    await writeFile(context, `CALLBOARD_NATS_URL=${env['CALLBOARD_NATS_URL']}\nCALLBOARD_NATS_USERS=nats/users\n`);
    // The environment may be of another stack: it is not mixed in.
    const elsewhere = { CALLBOARD_NATS_URL: 'nats://127.0.0.1:1', CALLBOARD_NATS_NKEY: 'nowhere' };
    for (const command of [
      ['commands', 'list'],
      ['dlq', 'list'],
      ['events', 'tail'],
      ['sagas', 'list'],
      ['streams', 'check', '--config', config],
    ]) {
      const ran = await callboardWith(elsewhere, ...command, '--context', context);
      expect({ command, ...ran }).toMatchObject({ command, code: 0, stderr: '' });
    }
    const named = await callboardWith({ ...elsewhere, CALLBOARD_CONTEXT: context }, 'dlq', 'list', '--json');
    expect(named).toMatchObject({ code: 0, stdout: '[]\n' });
    const usersDir = {
      CALLBOARD_NATS_URL: env['CALLBOARD_NATS_URL'],
      CALLBOARD_NATS_USERS: join(folder, 'nats', 'users'),
    };
    expect(await callboardWith(usersDir, 'commands', 'cancel', 'c_none', '--external')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('c_none'),
    });
  });

  it('is not reached by files that are not there or contradict each other, and the message names them', async () => {
    const without = join(folder, 'empty.env');
    await writeFile(without, `CALLBOARD_NATS_URL=${env['CALLBOARD_NATS_URL']}\nCALLBOARD_NATS_USERS=nobody\n`);
    const missing = await callboard('dlq', 'list', '--context', without);
    expect(missing).toMatchObject({ code: 1, stderr: `callboard: ${join(folder, 'nobody', 'sre.nk')} is not there\n` });
    const both = await callboardWith({ ...env, CALLBOARD_NATS_USERS: folder }, 'dlq', 'list', '--external');
    expect(both).toMatchObject({ code: 1, stderr: expect.stringContaining('CALLBOARD_NATS_USERS has the files') });
    const gone = await callboard('dlq', 'list', '--context', join(folder, 'gone.env'));
    expect(gone).toMatchObject({ code: 1, stderr: expect.stringContaining('The context cannot be read') });
  });

  it('is not touched by another user, and the reason is told when the waiting ends', async () => {
    const runner = { ...env, CALLBOARD_NATS_NKEY: join(folder, 'nats', 'users', 'action-runner.nk') };
    const denied = await callboardWith(runner, 'streams', 'check', '--external', '--wait-s', '1');
    expect(denied).toMatchObject({ code: 1, stderr: expect.stringContaining('Permissions Violation') });
    const nobody = { ...env, CALLBOARD_NATS_URL: `nats://127.0.0.1:${await freePort()}` };
    const away = await callboardWith(nobody, 'streams', 'check', '--external', '--wait-s', '1');
    expect(away).toMatchObject({ code: 1, stderr: expect.stringMatching(/does not let provisioner in: .*refused/) });
  });
});
