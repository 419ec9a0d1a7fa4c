/** A stack whose command stream is full: callers are told to come again, and are served when there is room, by the same processes. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { applyTopology, connectNats, declareTopology } from '@callboard/jetstream';
import { CALLS, startStack, waitFor, type TestStack } from '@callboard/testing';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { connect } from './spec-callboard.js';

const SLOW_MS = 180_000;
const MIB = 1024 ** 2;

let folder: string;
let stack: TestStack;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'callboard-stream-full-'));
  const config = join(folder, 'config.yaml');
  await writeFile(config, `streams: { max_bytes: ${2 * MIB} }\n`);
  stack = await startStack({ apps: CALLS, dataDir: join(folder, 'data'), args: ['--config', config] });
}, SLOW_MS);
afterAll(async () => {
  await stack.stop();
  await rm(folder, { recursive: true, force: true });
}, SLOW_MS);

interface Answer {
  error?: { code: string; retryable: boolean; retry_after_ms?: number };
  correlationId: string;
  replayed: boolean;
}

/** Calls demo.echo under an idempotency key, with so much text that the streams fill soon. */
async function echo(key: string): Promise<Answer> {
  const client = await connect(stack.ready.mcp_url, stack.ready.token);
  try {
    const result = await client.callTool({
      name: 'demo.echo',
      arguments: { text: 'x'.repeat(50_000) },
      _meta: { 'io.callboard/idempotency_key': key },
    });
    const { error } = (result.structuredContent ?? {}) as Pick<Answer, 'error'>;
    return {
      ...(error && { error }),
      correlationId: String(result._meta?.['io.callboard/correlation_id']),
      replayed: result._meta?.['io.callboard/replayed'] === true,
    };
  } finally {
    await client.close();
  }
}

/** Sets the limit of the streams, as `callboard up` does when it is given another. */
async function limit(maxBytes: number): Promise<void> {
  const nc = await connectNats({
    servers: stack.ready.nats_url,
    user: 'provisioner',
    credsFile: stack.ready.nats_users['provisioner']!.creds,
    name: 'spec',
  });
  await applyTopology(nc, declareTopology({ maxBytes }));
  await nc.close();
}

describe('a stack whose streams are full', () => {
  it(
    'answers overloaded, keeps every result, and serves again when it is given room',
    async () => {
      const before = (await stack.readReady()).processes;
      const results = new Map<string, Answer>();
      const refused: string[] = [];
      for (let i = 0; refused.length < 3; i++) {
        expect(i).toBeLessThan(100);
        const answer = await echo(`call-${i}`);
        if (!answer.error) results.set(`call-${i}`, answer);
        else {
          expect(answer.error).toMatchObject({
            code: 'overloaded',
            retryable: true,
            retry_after_ms: expect.any(Number),
          });
          refused.push(`call-${i}`);
        }
      }
      expect(results.size).toBeGreaterThan(10);
      // Who has a result can ask for it all the same.
      const [[key, first]] = [...results] as [[string, Answer]];
      expect(await echo(key)).toEqual({ correlationId: first.correlationId, replayed: true });

      await limit(64 * MIB);
      await waitFor(async () => !(await echo(refused[0]!)).error, {
        what: 'a call that is accepted',
      });
      for (const again of refused) expect(await echo(again)).not.toHaveProperty('error');
      for (const [key, { correlationId }] of results) {
        expect(await echo(key)).toEqual({ correlationId, replayed: true });
      }
      expect((await stack.readReady()).processes).toEqual(before);
    },
    SLOW_MS,
  );
});
