/**
 * Backstage is killed in the middle of many notifications: none is lost, none is there twice, and each recipient has them in order.
 * All are accepted before the first is waited for, so what keeps them in order is the ordering key and not their senders.
 * CALLBOARD_SPEC_OUTAGE_MS makes the outage longer: 30000 is the full size.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { BACKSTAGE, describeWith, startBackstage, waitFor, type TestBackstage } from '@callboard/testing';
import {
  connectSender,
  shownTo,
  startNotifierStack,
  to,
  type NotifierStack,
  type SpecSender,
} from './spec-notifications.js';

const OUTAGE_MS = Number(process.env['CALLBOARD_SPEC_OUTAGE_MS'] ?? 2_000);
const COUNT = 500;
const USERS = Array.from({ length: 10 }, (_, i) => `user:default/usher-${i}`);

async function resultOf({ client }: SpecSender, correlationId: string): Promise<object> {
  const args = { correlation_id: correlationId, wait_ms: 20_000 };
  for (;;) {
    const { structuredContent } = await client.callTool({ name: 'callboard.result', arguments: args });
    const result = structuredContent as { status?: string };
    if (result.status !== 'running') return result;
  }
}

describeWith([BACKSTAGE], 'Backstage that is killed in the middle of many notifications', () => {
  let folder: string;
  let backstage: TestBackstage;
  let running: NotifierStack;
  let senders: SpecSender[] = [];
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'callboard-backstage-'));
    backstage = await startBackstage({ databaseDir: folder });
    running = await startNotifierStack(backstage, {
      file: { budgets: [] },
      notifiers: 2,
      env: { CALLBOARD_SYNC_WINDOW_MS: '0' },
    });
    senders = await Promise.all(USERS.map(() => connectSender(running.stack)));
  }, 240_000);
  afterAll(async () => {
    await Promise.all(senders.map((sender) => sender.close()));
    await running?.stop();
    await backstage?.dispose();
    await rm(folder, { recursive: true, force: true });
  });

  it('leaves none out, has none twice, and each of its users has them in order', async () => {
    let done = 0;
    // The order is that of acceptance, so each client sends its next when the one before is accepted.
    const accepted = await Promise.all(
      USERS.map(async (user, u) => {
        const commands: string[] = [];
        for (let n = 0; n < COUNT / USERS.length; n++) {
          const { structuredContent } = await senders[u]!.send(
            { title: String(n), topic: 'outage', recipients: to(user) },
            { 'io.callboard/ordering_key': user, 'io.callboard/accept_async': true },
          );
          const { status, correlation_id: id } = structuredContent as { status: string; correlation_id: string };
          expect(status).toBe('accepted');
          commands.push(id);
        }
        return commands;
      }),
    );
    const sending = Promise.all(
      accepted.map(async (commands, u) => {
        for (const id of commands) {
          const result = await resultOf(senders[u]!, id);
          expect(result).toMatchObject({ status: 'sent', delivered: 1 });
          done += 1;
        }
      }),
    );
    await waitFor(() => done > COUNT / 5, { what: 'a fifth', timeoutMs: 120_000 });
    await backstage.kill();
    const before = done;
    const [notifier] = (await running.stack.readReady()).processes['notifier']!;
    await delay(OUTAGE_MS / 2);
    process.kill(notifier!, 'SIGKILL');
    await delay(OUTAGE_MS / 2);
    await backstage.start();
    await sending;
    expect(before).toBeLessThan(COUNT);

    for (const user of USERS) {
      const shown = (await shownTo(backstage, user)).sort((a, b) => Date.parse(a.created) - Date.parse(b.created));
      expect(shown.map(({ payload }) => payload.title)).toEqual(
        Array.from({ length: COUNT / USERS.length }, (_, n) => String(n)),
      );
    }
  }, 600_000);
});
