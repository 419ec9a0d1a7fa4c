import { existsSync } from 'node:fs';
import { mkdtemp, readFile, readdir, rm, stat, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { waitFor } from '@callboard/testing';
import { Echo, worthEchoing } from './echo.js';
import { LogFile } from './log-file.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'callboard-log-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe('the log of a process', () => {
  it('goes on where it ended', async () => {
    const path = join(folder, 'a.log');
    for (const line of ['one', 'two']) {
      const log = new LogFile(path);
      log.write(line);
      await log.close();
    }
    await expect(readFile(path, 'utf8')).resolves.toBe('one\ntwo\n');
  });

  it('never takes more than twice its limit, and loses the oldest lines only', async () => {
    const path = join(folder, 'a.log');
    const log = new LogFile(path, 1_000);
    for (let i = 0; i < 500; i++) {
      if (!log.write(`line ${i}`)) await log.drained();
      if (i % 50 === 0) await new Promise(setImmediate);
    }
    await log.close();
    await expect(readdir(folder)).resolves.toEqual(['a.log', 'a.log.1']);
    for (const name of ['a.log', 'a.log.1']) expect((await stat(join(folder, name))).size).toBeLessThan(1_100);
    const kept = `${await readFile(`${path}.1`, 'utf8')}${await readFile(path, 'utf8')}`.trim().split('\n');
    expect(kept).toEqual(Array.from({ length: kept.length }, (_, i) => `line ${500 - kept.length + i}`));
  });
});

(existsSync('/dev/full') ? describe : describe.skip)('the log of a process, on a full disk', () => {
  it('loses lines, and goes on when there is room again', async () => {
    const path = join(folder, 'a.log');
    await symlink('/dev/full', path);
    const log = new LogFile(path);
    log.write('lost');
    await rm(path);
    // The file is there once it has heard of the full disk, and opens it again.
    const keeps = () => {
      log.write('kept');
      return existsSync(path);
    };
    await waitFor(keeps, { what: 'a new file' });
    await log.close();
    await expect(readFile(path, 'utf8')).resolves.toBe('kept\n');
  });
});

describe('what is repeated at the terminal', () => {
  it.each([
    ['{"level":"info","message":"running"}', undefined],
    ['{"level":"warn","message":"lost the server"}', 'lost the server'],
    ['{"level":"error","message":"gave up","err":{"name":"TypeError","message":"x"}}', 'gave up: TypeError: x'],
    ['[13] 2026/11/20 13:47:36.2 [INF] Server is ready', undefined],
    ['[13] 2026/11/20 13:47:36.2 [WRN] slow consumer', 'slow consumer'],
    ['    at somewhere (file.js:1:1)', '    at somewhere (file.js:1:1)'],
    ['', undefined],
  ])('%s', (line, expected) => {
    expect(worthEchoing(line)).toBe(expected);
  });

  it('is bounded, and says where the rest is', () => {
    const said: string[] = [];
    const echo = new Echo('action-runner-1', 'logs/action-runner-1.log', (line) => said.push(line));
    for (let i = 0; i < 100; i++) echo.line(`trouble ${i}`);
    expect(said).toHaveLength(11);
    expect(said[0]).toBe('[action-runner-1] trouble 0');
    expect(said[10]).toBe('[action-runner-1] more in logs/action-runner-1.log');
  });
});
