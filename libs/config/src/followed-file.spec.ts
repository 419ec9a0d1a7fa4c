/** What is told of a file that governs a process: each content once, by its digest, whether it is in force or refused. */
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { onFileReading, type FileReading } from './file-readings.js';
import { FollowedFile } from './followed-file.js';

let folder: string;
let path: string;
let file: FollowedFile<number>;
let told: FileReading[];
let next: () => Promise<unknown>;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'callboard-followed-'));
  path = join(folder, 'limit.txt');
  await writeFile(path, '1');
  let heard: (event: unknown) => void = () => undefined;
  const read = async () => {
    const text = await readFile(path, 'utf8');
    if (!/^\d+$/.test(text)) throw new Error('no number');
    return { text, says: Number(text) };
  };
  file = await FollowedFile.open(path, read, { changed: (now) => heard(now), broken: () => heard('broken') });
  next = () =>
    new Promise((resolve) => {
      heard = resolve;
      process.emit('SIGHUP');
    });
  told = [];
  onFileReading((reading) => told.push(reading));
});
afterEach(async () => {
  file.close();
  onFileReading(() => undefined);
  await rm(folder, { recursive: true, force: true });
});

const of = (what: FileReading['what'], content: string): FileReading => ({
  file: path,
  what,
  digest: createHash('sha256').update(content).digest('hex'),
});

it('is told to whoever comes later than the file, and then at each change, with its digest and nothing of it', async () => {
  expect(told).toEqual([of('read', '1')]);
  await writeFile(path, '2');
  expect(await next()).toBe(2);
  expect(told.slice(1)).toEqual([of('reloaded', '2')]);
  onFileReading((reading) => told.push(reading));
  expect(told.at(-1)).toEqual(of('read', '2'));
});

it('is told as refused once for each content that cannot be used, and again when what was in force is back', async () => {
  for (const content of ['x', 'x', 'y']) {
    await writeFile(path, content);
    expect(await next()).toBe('broken');
  }
  expect(file.current).toBe(1);
  await unlink(path);
  expect(await next()).toBe('broken');
  await writeFile(path, '1');
  // Nothing is another: `changed` is not heard.
  void next();
  while (told.at(-1)?.what !== 'reloaded') await new Promise(setImmediate);
  expect(told.slice(1)).toEqual([
    of('refused', 'x'),
    of('refused', 'y'),
    { file: path, what: 'refused' },
    of('reloaded', '1'),
  ]);
});

it('is told no more when nobody follows it', () => {
  file.close();
  const later: FileReading[] = [];
  onFileReading((reading) => later.push(reading));
  expect(later).toEqual([]);
});
