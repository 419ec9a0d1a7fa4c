import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { startApp, type RunningApp } from './app-process.js';
import { Member, type MemberHooks } from './member.js';

/**
 * What an app is to the supervisor: it answers its readiness check, says so, and drains at SIGTERM. The stand-in does just that,
 * and as its environment tells it: BROKEN ends at once, SLOW_MS is how long draining takes.
 */
const STAND_IN = `
  import { createServer } from 'node:http';
  if (process.env.BROKEN) throw new RangeError('this port is taken');
  let ready = false;
  const ops = createServer((request, response) => {
    response.writeHead(ready || request.url !== '/readyz' ? 200 : 503).end();
    ready = true;
  });
  ops.listen(0, '127.0.0.1', () => {
    console.error('listening');
    process.send({ type: 'ready', ports: { ops: ops.address().port, http: 1 } });
  });
  process.on('SIGTERM', () => setTimeout(() => process.exit(0), Number(process.env.SLOW_MS ?? 0)));
  process.on('disconnect', () => process.exit(0));
`;

let folder: string;
let main: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'callboard-member-'));
  main = join(folder, 'stand-in.mjs');
  await writeFile(main, STAND_IN);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

interface Deaths {
  told: [how: string, pauseMs: number][];
  failures: string[];
  onFailure?: () => void;
  /** Settles at the next replacement. */
  replaced(): Promise<void>;
}

const members: Member<RunningApp>[] = [];
afterEach(() => Promise.all(members.splice(0).map((member) => member.stop())));

function memberOf(
  env: NodeJS.ProcessEnv,
  drainMs = 5_000,
): { member: Member<RunningApp>; deaths: Deaths; pids: number[] } {
  const pids: number[] = [];
  let onReplaced = () => {};
  const deaths: Deaths = {
    told: [],
    failures: [],
    replaced: () => new Promise((resolve) => (onReplaced = resolve)),
  };
  const hooks: MemberHooks = {
    onDeath: (how, pauseMs) => deaths.told.push([how, pauseMs]),
    onStartFailed: (error) => {
      deaths.failures.push((error as Error).message);
      deaths.onFailure?.();
    },
    onReplaced: () => onReplaced(),
  };
  const member = new Member(
    (signal) =>
      startApp(
        { instance: 'stand-in-1', main, env, drainMs },
        { onLine: () => undefined, onSpawn: (pid) => pids.push(pid), signal },
      ),
    hooks,
  );
  members.push(member);
  return { member, deaths, pids };
}

describe('a place in the stack', () => {
  it('has a process once the readiness check answers, and the process is told to drain at the end', async () => {
    const { member, pids } = memberOf({});
    await member.begin();
    expect(member.running).toMatchObject({ pid: pids[0], ports: { http: 1 } });
    await member.stop();
    await expect(member.running!.exited).resolves.toBe('exit code 0');
  });

  it('replaces a process that was killed, says how it died, and waits longer when it dies again', async () => {
    const { member, deaths, pids } = memberOf({});
    await member.begin();
    for (const round of [0, 1]) {
      const replaced = deaths.replaced();
      process.kill(member.running!.pid, 'SIGKILL');
      await replaced;
      expect(member.running!.pid).toBe(pids[round + 1]);
    }
    expect(deaths.told).toEqual([
      ['signal SIGKILL', 100],
      ['signal SIGKILL', 200],
    ]);
  });

  it('fails at once, with its last words, when the first start fails', async () => {
    const { member, pids } = memberOf({ BROKEN: '1' });
    await expect(member.begin()).rejects.toThrow(
      'stand-in-1 did not start (exit code 1): RangeError: this port is taken',
    );
    expect(pids).toHaveLength(1);
  });

  it('goes on trying when a later start fails', async () => {
    const env: NodeJS.ProcessEnv = {};
    const { member, deaths } = memberOf(env);
    await member.begin();
    const replaced = deaths.replaced();
    env['BROKEN'] = '1';
    deaths.onFailure = () => delete env['BROKEN'];
    process.kill(member.running!.pid, 'SIGKILL');
    await replaced;
    expect(deaths.failures).toEqual([expect.stringContaining('this port is taken')]);
  });

  it('is not filled again once it is stopped', async () => {
    const { member, deaths, pids } = memberOf({});
    await member.begin();
    process.kill(member.running!.pid, 'SIGKILL');
    await member.running!.exited;
    await member.stop();
    expect(pids).toHaveLength(1);
    expect(deaths.failures).toEqual([]);
  });

  it('kills a process that does not drain in time', async () => {
    const { member } = memberOf({ SLOW_MS: '60000' }, 100);
    await member.begin();
    await member.stop();
    await expect(member.running!.exited).resolves.toBe('signal SIGKILL');
  });

  it('ends a process that is still starting when the stack is stopped', async () => {
    const { member, pids } = memberOf({});
    const beginning = member.begin();
    const outcome = expect(beginning).rejects.toThrow('stand-in-1 did not start (signal SIGKILL)');
    await member.stop();
    await outcome;
    expect(pids).toHaveLength(1);
  });
});
