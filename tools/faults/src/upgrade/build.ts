/** A build of another commit, made once and kept in the cache: its sources as git has them, its own packages, compiled. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const MAX_OUTPUT = 64 * 1024 * 1024;
/** Written last, so a build that was interrupted is made anew. */
const BUILT = '.built';

export interface Build {
  name: string;
  folder: string;
}

/** What runs now. */
export const THIS_BUILD: Build = { name: 'new', folder: fileURLToPath(new URL('../../../../', import.meta.url)) };

/** @throws Error when git knows no such commit here, or it does not build. */
export async function buildOf(ref: string, say: (line: string) => void): Promise<Build> {
  const { stdout } = await run('git', ['rev-parse', '--verify', `${ref}^{commit}`], { cwd: THIS_BUILD.folder });
  const commit = stdout.trim();
  const cache = process.env['CALLBOARD_CACHE_DIR'] || join(homedir(), '.cache', 'callboard');
  const folder = join(cache, 'builds', commit);
  const name = `old (${commit.slice(0, 7)})`;
  if (existsSync(join(folder, BUILT))) return { name, folder };
  say(`building ${commit} in ${folder}, once`);
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  const archive = `${folder}.tar`;
  await run('git', ['archive', '--output', archive, commit], { cwd: THIS_BUILD.folder });
  await run('tar', ['-xf', archive, '-C', folder]);
  await rm(archive);
  for (const args of [
    ['ci', '--no-audit', '--no-fund'],
    ['run', 'build'],
  ]) {
    await run('npm', args, { cwd: folder, maxBuffer: MAX_OUTPUT });
  }
  await writeFile(join(folder, BUILT), '');
  return { name, folder };
}
