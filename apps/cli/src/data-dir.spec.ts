import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { DataDir } from './data-dir.js';
import { Failure } from './failure.js';
import { identify, isRunning } from './process-identity.js';
import { keepSecrets } from './secrets.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'callboard-data-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const open = (path: string, fresh = false) => DataDir.open(path, { fresh });

describe('the data dir', () => {
  it('is made when it is not there, and given back when it is closed', async () => {
    const path = join(folder, 'a', 'b');
    const dir = await open(path);
    await expect(readdir(path)).resolves.toEqual(['callboard.lock', 'demo', 'logs', 'nats']);
    await dir.close();
    await (await open(path)).close();
  });

  it('is held by one supervisor at a time, and the other one is told which', async () => {
    const dir = await open(folder);
    await expect(open(folder)).rejects.toThrow(Failure);
    await expect(open(folder)).rejects.toThrow(`Another supervisor (process ${process.pid}) holds ${folder}`);
    await dir.close();
    await expect(readdir(folder)).resolves.not.toContain('callboard.lock');
  });

  it('is taken over from a supervisor that was killed, whose processes are ended first', async () => {
    const orphan = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
    const exited = once(orphan, 'exit');
    const lock = { holder: { pid: orphan.pid, since: 'long ago' }, children: [identify(orphan.pid!)] };
    await writeFile(join(folder, 'callboard.lock'), JSON.stringify(lock));
    await writeFile(join(folder, 'ready.json'), '{}');

    const dir = await open(folder);
    expect(await exited).toEqual([null, 'SIGTERM']);
    await expect(readdir(folder)).resolves.not.toContain('ready.json');
    await dir.close();
  });

  it('does not end a stranger who was given the process id of a dead child', async () => {
    const lock = { holder: { pid: 1, since: 'long ago' }, children: [{ pid: process.pid, since: 'long ago' }] };
    await writeFile(join(folder, 'callboard.lock'), JSON.stringify(lock));
    await (await open(folder)).close();
    expect(isRunning(identify(process.pid))).toBe(true);
  });

  it('notes every process for the next supervisor', async () => {
    const dir = await open(folder);
    dir.noteChild('action-runner-1', process.pid);
    dir.noteChild('action-runner-1', process.ppid);
    dir.noteChild('nats-server', process.pid);
    await dir.close();
    // Closing removes the lock; what was noted is seen by opening without closing.
    const again = await open(folder);
    again.noteChild('action-runner-1', process.ppid);
    const seen = async () =>
      JSON.parse(await readFile(join(folder, 'callboard.lock'), 'utf8')) as { children: unknown };
    while (JSON.stringify((await seen()).children) === '[]') await new Promise(setImmediate);
    expect(await seen()).toEqual({ holder: identify(process.pid), children: [identify(process.ppid)] });
    await again.close();
  });

  it('is emptied when asked to, unless it is not ours', async () => {
    await (await open(folder)).close();
    await writeFile(join(folder, 'secrets.json'), '{}');
    await writeFile(join(folder, 'nats', 'old'), '');
    const dir = await open(folder, true);
    await expect(readdir(join(folder, 'nats'))).resolves.toEqual([]);
    await expect(readdir(folder)).resolves.not.toContain('secrets.json');
    await dir.close();

    const home = join(folder, 'home');
    await mkdir(home);
    await writeFile(join(home, 'thesis.txt'), 'years of work');
    await expect(open(home, true)).rejects.toThrow(/--fresh would delete everything in .*no data dir of Callboard/);
    await expect(readdir(home)).resolves.toEqual(['thesis.txt']);
  });
});

describe('the secrets', () => {
  it('are made once, and the front end learns the token by its hash', async () => {
    const dir = await open(folder);
    const first = await keepSecrets(dir.paths);
    await expect(keepSecrets(dir.paths)).resolves.toEqual(first);
    expect(Buffer.from(first.requestStateKey, 'base64')).toHaveLength(32);
    const tokens = await readFile(dir.paths.tokens, 'utf8');
    expect(JSON.parse(tokens)).toEqual([
      {
        sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
        tenant_id: 'default',
        user_id: 'user:local/operator',
        allow_unrestricted: true,
      },
    ]);
    expect(tokens).not.toContain(first.token);
    await dir.close();
  });

  it('leave the tokens that someone has added', async () => {
    const dir = await open(folder);
    const other = { sha256: 'a'.repeat(64), tenant_id: 'acme', user_id: 'user:acme/ci' };
    await writeFile(dir.paths.tokens, JSON.stringify([other]));
    await keepSecrets(dir.paths);
    const tokens = JSON.parse(await readFile(dir.paths.tokens, 'utf8')) as unknown[];
    expect(tokens).toHaveLength(2);
    expect(tokens[0]).toEqual(other);
    await dir.close();
  });
});
