/** `callboard events tail` beside a running stack. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { CALLS, RedactedEvents, startStack, waitFor, type TestStack } from '@callboard/testing';
import type { NatsConnection } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { callboard } from './spec-callboard.js';

const SLOW_MS = 180_000;

let stack: TestStack;
let nc: NatsConnection;
let stored: RedactedEvents;
beforeAll(async () => {
  stack = await startStack({ apps: CALLS });
  nc = await stack.connect('pii-filter');
  stored = new RedactedEvents(nc);
}, SLOW_MS);
afterAll(async () => {
  stored.close();
  await nc.close();
  await stack.stop();
}, SLOW_MS);

interface Line {
  cursor: string;
  tenant: string;
  name: string;
  event: { id: string };
  truncated?: boolean;
}

const tail = (...args: string[]) => callboard('events', 'tail', '--data-dir', stack.dataDir, ...args);

/** Runs a tail that must succeed, and returns what it printed. */
async function lines(...args: string[]): Promise<Line[]> {
  const { code, stdout, stderr } = await tail('--json', ...args);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line);
}

const ids = (printed: Line[]) => printed.map(({ event }) => event.id);

describe('callboard events tail', () => {
  it(
    'prints the last events, those since a time or a cursor, of a tenant, a source and a topic, and those that fulfil a filter',
    async () => {
      for (const id of ['1', '2', '3']) await stored.store({ id, subject: id });
      await stored.store({ id: '4', source: 'gitlab', tenantId: 'acme' });
      // A time has milliseconds, and event 4 may have been stored in this one.
      await delay(2);
      const since = new Date().toISOString();
      await stored.store({ id: '5', topic: 'issue', key: 'acme/api', data: { title: 'broken' } });

      const all = await lines();
      expect(ids(all)).toEqual(['1', '2', '3', '4', '5']);
      expect(all[4]).toMatchObject({
        ...{ tenant: 'default', source: 'github', topic: 'issue', key: 'acme/api' },
        name: expect.stringMatching(/^e_/),
        stored_at: expect.stringMatching(/Z$/),
        event: { specversion: '1.0', type: 'issue', data: { title: 'broken' } },
      });
      expect(ids(await lines('--since', '-2'))).toEqual(['4', '5']);
      expect(ids(await lines('--since', since))).toEqual(['5']);
      expect(ids(await lines('--since', '1h'))).toHaveLength(5);
      expect(ids(await lines('--since', all[1]!.cursor))).toEqual(['3', '4', '5']);
      expect(ids(await lines('--since', 'earliest', '--tenant', 'default', '--topic', 'push'))).toEqual([
        '1',
        '2',
        '3',
      ]);
      expect(ids(await lines('--source', 'gitlab'))).toEqual(['4']);
      expect(ids(await lines('--filter', 'subject=2'))).toEqual(['2']);
      const filter = JSON.stringify({ not: { any: [{ exact: { topic: 'issue' } }, { exact: { subject: '1' } }] } });
      expect(ids(await lines('--filter', filter, '--filter', 'type=push', '--since', '-1'))).toEqual(['4']);

      const { stdout } = await tail('--since', '-1');
      expect(stdout).toMatch(/^\S+Z {2}default {2}github\/issue {2}acme\/api {2}e_\S{43} {2}{"title":"broken"}\n$/);
    },
    SLOW_MS,
  );

  it(
    'says where events may be missing',
    async () => {
      const [truncated, ...rest] = await lines('--since', 'c1_0_7');
      expect(truncated).toEqual({ truncated: true });
      expect(rest.length).toBeGreaterThan(0);
      expect((await tail('--since', 'c1_0_7')).stdout).toMatch(/^… events are missing here/);
    },
    SLOW_MS,
  );

  it.each([
    ['a filter that is none', ['--filter', '{"regex":{}}'], /--filter\[0\] must have exactly one member/],
    [
      'a filter that is neither',
      ['--filter', 'Type:push'],
      /It must be attribute=value, or a CloudEvents filter as JSON/,
    ],
    ['too many', ['--since', '-99999'], /It must be from -1 to -10000/],
    ['no time', ['--since', 'yesterday'], /It must be a time with its zone/],
  ])('refuses %s', async (_, args, why) => {
    const refused = await tail(...args);
    expect(refused).toMatchObject({ code: 1, stdout: '', stderr: expect.stringMatching(why) });
  });

  it(
    'that follows prints each event once and in order, though nats-server is killed, and ends with 0 when it is interrupted',
    async () => {
      const main = fileURLToPath(new URL('./main.js', import.meta.url));
      const args = ['events', 'tail', '--follow', '--json', '--source', 'followed', '--data-dir', stack.dataDir];
      const child = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
      const printed: string[] = [];
      createInterface(child.stdout).on('line', (line) => printed.push((JSON.parse(line) as Line).event.id));
      const expected: string[] = [];
      const store = async (count: number) => {
        for (let i = 0; i < count; i++) {
          const id = `f${expected.length}`;
          expected.push(id);
          await stored.store({ source: 'followed', id });
        }
      };
      const caughtUp = () => waitFor(() => printed.length >= expected.length, { what: 'the events' });
      await store(3);
      await caughtUp();
      for (let round = 0; round < 2; round++) {
        const [pid] = (await stack.readReady()).processes['nats-server']!;
        process.kill(pid!, 'SIGKILL');
        await store(20);
        await caughtUp();
      }
      expect(printed).toEqual(expected);
      child.kill('SIGINT');
      expect(await once(child, 'exit')).toEqual([0, null]);
    },
    SLOW_MS * 2,
  );
});
