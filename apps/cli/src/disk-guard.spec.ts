import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { waitFor } from '@callboard/testing';
import { afterEach, describe, expect, it } from '@jest/globals';
import { DiskGuard } from './disk-guard.js';

const MORE_THAN_ANY_DISK = 2 ** 60;
const BROKEN =
  '[7] 2026/11/20 16:41:34.878806 [ERR] Filestore [COMMANDS] Critical write error: no space left on device';
const READY = '[7] 2026/11/20 16:41:34.878806 [INF] Server is ready';

let folder: string;
let guard: DiskGuard;
afterEach(async () => {
  guard.stop();
  await rm(folder, { recursive: true, force: true });
});

async function watching(reserveBytes: number) {
  folder = await mkdtemp(join(tmpdir(), 'callboard-guard-'));
  const seen = { said: [] as string[], scarce: [] as boolean[], restarts: 0 };
  guard = new DiskGuard(folder, reserveBytes, {
    say: (line) => seen.said.push(line),
    onScarce: (scarce) => seen.scarce.push(scarce),
    restart: () => (seen.restarts += 1),
  });
  guard.start();
  return seen;
}
const aWhile = () => new Promise((resolve) => setTimeout(resolve, 1_200));

describe('the guard of the disk', () => {
  it('says once that the reserve is touched', async () => {
    const seen = await watching(MORE_THAN_ANY_DISK);
    await waitFor(() => guard.scarce, { what: 'a scarce disk' });
    await aWhile();
    expect(seen).toMatchObject({ scarce: [true], restarts: 0 });
    expect(seen.said).toEqual([expect.stringMatching(/^only \d+ MiB are free .*: new calls are refused below/)]);
  });

  it('has nats-server started anew once for all that it could not write, when there is room', async () => {
    const seen = await watching(0);
    for (let i = 0; i < 3; i++) guard.heard(BROKEN);
    await waitFor(() => seen.restarts > 0, { what: 'a restart' });
    await aWhile();
    expect(seen).toMatchObject({ scarce: [], restarts: 1 });
    expect(seen.said).toEqual(['nats-server cannot write to its disk; it is started anew as soon as there is room']);
  });

  it('leaves it alone while there is no room, and when it was started anew by itself', async () => {
    const seen = await watching(MORE_THAN_ANY_DISK);
    guard.heard(BROKEN);
    await aWhile();
    expect(seen.restarts).toBe(0);
    guard.stop();

    const later = await watching(0);
    guard.heard(BROKEN);
    guard.heard(READY);
    await aWhile();
    expect(later.restarts).toBe(0);
  });
});
