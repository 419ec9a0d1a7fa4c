import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { jetstreamManager } from '@nats-io/jetstream';
import { startTestNats, testCommand as command, waitFor, type TestNats } from '@callboard/testing';
import type { Line } from './spec/consumer-process.js';
import { store } from './spec/commands.js';
import { STREAM } from './topology.js';

const PROGRAM = new URL('./spec/consumer-process.js', import.meta.url);
const KEYS = Array.from({ length: 10 }, (_, k) => `k${k}`);

let nats: TestNats;
let folder: string;
let children: ChildProcess[];

beforeEach(async () => {
  nats = await startTestNats({ topology: { partitions: 2 } });
  folder = await mkdtemp(join(tmpdir(), 'callboard-frozen-'));
  children = [];
});
afterEach(async () => {
  await Promise.all(
    children.map(async (child) => {
      const gone = once(child, 'exit');
      if (child.exitCode === null && child.kill('SIGKILL')) await gone;
    }),
  );
  await nats.dispose();
  await rm(folder, { recursive: true, force: true });
});

async function start(instance: string): Promise<ChildProcess> {
  const args = [nats.url, nats.credsFile('action-runner'), instance, join(folder, 'lines')];
  const child = fork(PROGRAM, args, { execArgv: [] });
  children.push(child);
  await once(child, 'message');
  return child;
}

async function lines(): Promise<Line[]> {
  const text = await readFile(join(folder, 'lines'), 'utf8').catch(() => '');
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Line);
}

describe('an owner that was frozen for so long that its lease ran out', () => {
  it('begins nothing more of what it was given before, and does not disturb the new owner', async () => {
    const frontend = await nats.connect('mcp-frontend');
    const jsm = await jetstreamManager(await nats.connect('sre'));
    const append = (from: number, to: number) => {
      const numbers = Array.from({ length: to - from }, (_, i) => from + i);
      return numbers.flatMap((n) => KEYS.map((key) => command(key, { n })));
    };
    const outcomes = (count: number) =>
      waitFor(async () => (await jsm.streams.info(STREAM.outcomes)).state.messages >= count, {
        what: `${count} outcomes`,
      });
    const a = await start('a');
    await store(frontend, append(0, 5));
    await outcomes(50);
    await store(frontend, [command('slow', { n: 0 }), command('slow', { n: 1 })]);
    await waitFor(async () => (await lines()).some(({ key }) => key === 'slow'), { what: 'the slow one begun' });
    a.kill('SIGSTOP');
    // This still reaches the frozen process, which will find it when it wakes up.
    await store(frontend, append(5, 10));

    await start('b');
    await outcomes(102);
    a.kill('SIGCONT');
    await store(frontend, append(10, 15));
    await outcomes(152);

    const all = await lines();
    for (const key of KEYS) {
      const ofKey = all.filter((line) => line.key === key);
      const fences = ofKey.map(({ fence }) => fence);
      expect(fences).toEqual([...fences].sort((x, y) => x - y));
      expect(ofKey.map(({ n }) => n)).toEqual(Array.from({ length: 15 }, (_, n) => n));
    }
    const slow = all.filter(({ key }) => key === 'slow').map(({ by, n, mayHaveBegun }) => [by, n, mayHaveBegun]);
    expect(slow).toEqual([
      ['a', 0, false],
      ['b', 0, true],
      ['b', 1, false],
    ]);
  });
});
