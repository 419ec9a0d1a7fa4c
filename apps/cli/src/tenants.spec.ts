/** `callboard tenants forget`, on a real stack. */
import { STREAM, readSubject } from '@callboard/jetstream';
import { startStack, waitFor, type TestStack } from '@callboard/testing';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { callboard, echo } from './spec-callboard.js';

const SLOW_MS = 180_000;
const USER = 'user:local/operator';

let stack: TestStack;
let nc: NatsConnection;
beforeAll(async () => {
  stack = await startStack({ apps: ['mcp-frontend', 'action-runner', 'event-ingestor', 'pii-filter', 'audit-writer'] });
  nc = await stack.connect('sre');
}, SLOW_MS);
afterAll(async () => {
  await nc?.close();
  await stack?.stop();
}, SLOW_MS);

const run = (...args: string[]) => callboard(...args, '--data-dir', stack.dataDir);

/** Who the ledger says has made a call; nobody, where it cannot be read any more. */
async function callers(): Promise<string[]> {
  const { stdout } = await run('audit', 'search', '--tenant', 'default', '--kind', 'call', '--json');
  const entries = stdout.split('\n').filter((line) => line !== '');
  return entries.map((line) => (JSON.parse(line) as { personal?: { user_id: string } }).personal?.user_id ?? 'nobody');
}

/** What an event with an address in it has become. */
async function pseudonymised(id: string): Promise<string> {
  const event = { specversion: '1.0', id, source: '/spec', type: 'spec.played', data: { who: 'jane.doe@example.org' } };
  const answer = await fetch(stack.ready.ingest_url!, {
    method: 'POST',
    headers: { authorization: `Bearer ${stack.ready.token}`, 'content-type': 'application/cloudevents+json' },
    body: JSON.stringify(event),
  });
  expect(answer.status).toBe(202);
  const jsm = await jetstreamManager(nc);
  const find = async () => {
    const events = await readSubject(jsm, STREAM.events, 'evt.>', 0);
    return events.find(({ header }) => header.get('ce-id') === id)?.string();
  };
  return waitFor(find, { what: `event ${id}` });
}

describe('callboard tenants forget', () => {
  it(
    'destroys what tells who is who, before and after apart, and the ledger is verified as before',
    async () => {
      await echo(stack.ready.mcp_url, stack.ready.token);
      const before = await pseudonymised('1');
      expect(await pseudonymised('2')).toBe(before);
      await waitFor(async () => (await callers()).includes(USER), { what: 'the call in the ledger' });

      const unsure = await run('tenants', 'forget', 'default', '--confirm', 'acme');
      expect([unsure.code, unsure.stderr]).toEqual([
        1,
        'callboard: --confirm must be the name of the tenant: nothing was destroyed.\n',
      ]);
      expect(await callers()).toContain(USER);

      const forgotten = await run('tenants', 'forget', 'default', '--confirm', 'default', '--json');
      expect(JSON.parse(forgotten.stdout)).toEqual({
        tenant: 'default',
        pseudonym_keys: 1,
        ledger_keys: expect.any(Number),
      });
      const now = await callers();
      expect(now.length).toBeGreaterThan(0);
      expect(new Set(now)).toEqual(new Set(['nobody']));
      expect(await pseudonymised('3')).not.toBe(before);
      expect(JSON.parse((await run('audit', 'verify', '--json')).stdout)).toMatchObject({ ok: true, findings: [] });
      const { stdout } = await run('audit', 'search', '--kind', 'operator', '--json');
      expect(stdout).toContain('"what":"forget"');

      // Who calls after it is somebody again.
      await echo(stack.ready.mcp_url, stack.ready.token);
      await waitFor(async () => (await callers()).includes(USER), { what: 'the next call in the ledger' });
      const one = await run('tenants', 'forget', 'default', '--user', USER, '--confirm', 'default', '--json');
      expect(JSON.parse(one.stdout)).toEqual({ tenant: 'default', ledger_keys: 1 });
      expect(await callers()).not.toContain(USER);
    },
    SLOW_MS,
  );
});
