/**
 * A stack whose disk runs full, on a small file system of its own. Needs the right to mount one, in a name space that nobody else
 * sees: Linux with `unshare`, as root or where users may make name spaces.
 */
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, open, readFile, rm, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectNats } from '@callboard/jetstream';
import { CALLS, startStack, waitFor, type TestStack } from '@callboard/testing';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from './spec-callboard.js';

const SLOW_MS = 180_000;
const MIB = 1024 ** 2;
const DISK_MIB = 192;
const RESERVE_MIB = 64;

/** How to run something that may mount; undefined where nobody lets us. */
function mounting(): string[] | undefined {
  for (const flags of ['-m', '-Urm']) {
    try {
      execFileSync('unshare', [flags, 'sh', '-c', 'mount -t tmpfs -o size=1m tmpfs /mnt'], { stdio: 'ignore' });
      return ['unshare', flags];
    } catch {
      // The next way, or none.
    }
  }
  return undefined;
}

const unshare = mounting();
if (!unshare) {
  process.stderr.write(
    'SKIPPED: what happens on a full disk was not tested: no small file system can be mounted here\n',
  );
}

(unshare ? describe : describe.skip)('a stack whose disk runs full', () => {
  let folder: string;
  let stack: TestStack;
  /** The folder of nats-server, as it is seen from outside. */
  let inside: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'callboard-full-'));
    const dataDir = join(folder, 'data');
    await mkdir(join(dataDir, 'nats'), { recursive: true });
    const config = join(folder, 'config.yaml');
    await writeFile(config, `nats: { min_free_bytes: ${RESERVE_MIB * MIB} }\n`);
    const mount = `mount -t tmpfs -o size=${DISK_MIB}m tmpfs "$0" && exec "$@"`;
    stack = await startStack({
      apps: CALLS,
      dataDir,
      args: ['--config', config],
      within: [...unshare!, 'sh', '-c', mount, join(dataDir, 'nats')],
    });
    inside = join(`/proc/${stack.ready.supervisor_pid}/root`, dataDir, 'nats');
  }, SLOW_MS);
  afterAll(async () => {
    await stack.stop();
    await rm(folder, { recursive: true, force: true });
  }, SLOW_MS);

  /** Fills the disk up to what is left free. */
  async function fill(leaveMib: number): Promise<void> {
    const { bavail, bsize } = await statfs(inside);
    const file = await open(join(inside, 'filler'), 'a');
    try {
      for (let left = bavail * bsize - leaveMib * MIB; left > 0; left -= MIB) {
        await file.write(Buffer.alloc(Math.min(MIB, left)));
      }
    } catch (error) {
      expect(error).toMatchObject({ code: 'ENOSPC' });
    } finally {
      await file.close();
    }
  }
  const makeRoom = () => rm(join(inside, 'filler'));

  interface Answer {
    key: string;
    error?: { code: string; retryable: boolean; retry_after_ms?: number };
    correlationId: string;
    tookMs: number;
  }

  /** One call with an idempotency key, which is also what it appends. */
  async function append(key: string): Promise<Answer> {
    const from = performance.now();
    const client = await connect(stack.ready.mcp_url, stack.ready.token);
    try {
      const result = await client.callTool({
        name: 'demo.append',
        arguments: { key: `k${key.length % 3}`, value: key },
        _meta: { 'io.callboard/idempotency_key': key },
      });
      const { error } = (result.structuredContent ?? {}) as { error?: Answer['error'] };
      return {
        key,
        ...(error && { error }),
        correlationId: String(result._meta?.['io.callboard/correlation_id']),
        tookMs: performance.now() - from,
      };
    } finally {
      await client.close();
    }
  }

  const says = (text: string) => waitFor(() => stack.output().includes(text), { what: text });
  const appended = async () =>
    (await readFile(join(stack.dataDir, 'demo/append.log'), 'utf8'))
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { value: string }).value);

  it(
    'refuses new calls while the reserve is touched, lets accepted ones end, and goes on when there is room again',
    async () => {
      const { processes } = await stack.readReady();
      const client = await connect(stack.ready.mcp_url, stack.ready.token);
      const running = client.callTool({ name: 'demo.sleep', arguments: { ms: 5_000 } });
      expect(await append('before')).not.toHaveProperty('error');

      await fill(RESERVE_MIB / 2);
      await says('new calls are refused');
      const refused = await append('meanwhile');
      expect(refused.error).toMatchObject({ code: 'overloaded', retryable: true, retry_after_ms: 5_000 });
      expect(refused.tookMs).toBeLessThan(20_000);
      // Its caller sends it again, and joins what has ended.
      expect(await append('before')).not.toHaveProperty('error');
      expect(await running).not.toHaveProperty('isError', true);
      await client.close();

      await makeRoom();
      await says('calls are accepted');
      expect(await append('meanwhile')).not.toHaveProperty('error');
      expect(await appended()).toEqual(['before', 'meanwhile']);
      expect((await stack.readReady()).processes).toEqual(processes);
    },
    SLOW_MS,
  );

  it(
    'loses nothing that it had accepted when not a byte is left, and comes back by itself when there is room',
    async () => {
      const before = (await stack.readReady()).processes;
      const answers: Promise<Answer>[] = [];
      let refused = 0;
      const calling = setInterval(() => {
        const answer = append(`call-${answers.length}`);
        answers.push(answer);
        void answer.then(({ error }) => (refused += error ? 1 : 0));
      }, 50);
      await waitFor(() => answers.length > 10, { what: 'calls under way' });
      await fill(0);
      await says('nats-server cannot write to its disk');
      await waitFor(() => refused > 20, { what: 'calls to the full stack' });
      clearInterval(calling);
      await makeRoom();
      await says('nats-server is back');

      // Who was accepted has a result by now or gets it now; everybody else was told to come again.
      const first = await Promise.all(answers);
      const refusals = first.flatMap(({ error }) => error ?? []);
      for (const error of refusals) {
        expect(error).toMatchObject({ code: 'overloaded', retryable: true, retry_after_ms: expect.any(Number) });
      }

      // Everybody asks again: who had a result gets the same, who had none gets one.
      const again = await Promise.all(first.map(({ key }) => append(key)));
      expect(again.filter(({ error }) => error)).toEqual([]);
      for (const [i, { error, correlationId }] of first.entries()) {
        if (!error) expect(again[i]!.correlationId).toBe(correlationId);
      }
      const values = await appended();
      for (const { key } of first) expect(values).toContain(key);

      const after = await stack.readReady();
      expect(after.processes['mcp-frontend']).toEqual(before['mcp-frontend']);
      expect(after.processes['action-runner']).toEqual(before['action-runner']);
      expect(after.processes['nats-server']).not.toEqual(before['nats-server']);

      const nc = await connectNats({
        servers: after.nats_url,
        user: 'sre',
        credsFile: `/proc/${after.supervisor_pid}/root${after.nats_users['sre']!.creds}`,
        name: 'spec',
      });
      try {
        const jsm = await jetstreamManager(nc);
        for (const { correlationId } of again) {
          for (const [stream, last_by_subj] of [
            ['COMMANDS', `cmd.*.*.*.*.*.${correlationId}`],
            ['OUTCOMES', `out.*.${correlationId}`],
          ] as const) {
            expect(await jsm.streams.getMessage(stream, { last_by_subj })).not.toBeNull();
          }
        }
      } finally {
        await nc.close();
      }
    },
    SLOW_MS,
  );
});
