import { spawnSync } from 'node:child_process';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { withLock } from './install-lock.js';

describe('the lock of an installation', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'callboard-lock-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it('lets one in at a time, and leaves nothing behind, also of work that fails', async () => {
    let inside = 0;
    let most = 0;
    const work = async () => {
      most = Math.max(most, ++inside);
      await new Promise(setImmediate);
      inside -= 1;
      throw new Error('spec');
    };
    const fates = await Promise.allSettled([1, 2, 3].map(() => withLock(join(folder, 'one'), work)));
    expect(fates.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
    expect(most).toBe(1);
    expect(await readdir(folder)).toEqual([]);
  });

  it('is not held by a process that has died', async () => {
    const { pid } = spawnSync(process.execPath, ['--version']);
    await writeFile(join(folder, 'dead'), String(pid));
    await expect(withLock(join(folder, 'dead'), () => Promise.resolve('done'))).resolves.toBe('done');
  });
});
