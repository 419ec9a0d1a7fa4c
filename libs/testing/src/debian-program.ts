/** Programs that only tests need: found, or fetched once into our cache where Debian has them. */
import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, join } from 'node:path';
import { fetchDebianPackage, type DebianProgram } from '@callboard/nats-server';

const runs = (command: string) => spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0;

/** What is on `PATH`, in the cache, or in the Debian that this is. Where there is none it says why, and is the plain name. */
export async function findProgram(program: DebianProgram): Promise<string> {
  const name = basename(program.path);
  const home = join(process.env['CALLBOARD_CACHE_DIR'] || join(homedir(), '.cache', 'callboard'), name);
  const cached = join(home, name);
  for (const candidate of [name, cached]) if (runs(candidate)) return candidate;
  await mkdir(home, { recursive: true });
  const work = await mkdtemp(join(home, 'fetching-'));
  const tell = (line: string) => process.stderr.write(`${line}\n`);
  try {
    await fetchDebianPackage(program, work, tell);
    await rename(join(work, name), cached);
    return cached;
  } catch (error) {
    tell(`no ${name}: ${(error as Error).message}`);
    return name;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}
