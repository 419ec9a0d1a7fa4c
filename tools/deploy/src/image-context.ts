/**
 * What an image is built from: the compiled app, those of our libs that it uses, and the packages that they need, as the lock file has them and as
 * they are installed here. Nothing is resolved or fetched again, so what was tested is what is packed; and the same commit gives the same bytes.
 *
 * Left out: what only development needs, sources, tests, declarations and maps of other people's packages.
 */
import { existsSync } from 'node:fs';
import { chmod, cp, lutimes, mkdir, readFile, readdir, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { arch, platform } from 'node:os';
import { runCommand } from '@callboard/nats-server';
import { inRepository } from './repository.js';

interface LockedPackage {
  /** Of a link: the folder of one of ours. */
  resolved?: string;
  link?: boolean;
  /** It may not be there: another platform has it. */
  optional?: boolean;
  dependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
  peerDependencies?: Record<string, string>;
  peerDependenciesMeta?: Record<string, { optional?: boolean }>;
}
export type Locked = Record<string, LockedPackage>;

const MODULES = 'node_modules/';

/** Folders of the repository that an app needs to run: its own, those of our libs, and those of packages. Sorted. */
export function closureOf(app: string, locked: Locked): string[] {
  const found = new Set<string>();
  const follow = (path: string) => {
    if (found.has(path)) return;
    found.add(path);
    const {
      dependencies = {},
      optionalDependencies = {},
      peerDependencies = {},
      peerDependenciesMeta = {},
    } = locked[path]!;
    const wanted = [
      ...Object.keys(dependencies).map((name) => [name, !(name in optionalDependencies)] as const),
      ...Object.keys(optionalDependencies).map((name) => [name, false] as const),
      ...Object.keys(peerDependencies).map((name) => [name, !peerDependenciesMeta[name]?.optional] as const),
    ];
    for (const [name, needed] of wanted) {
      const at = resolveFrom(path, name, locked);
      if (at === undefined && needed) throw new Error(`${path} needs ${name}, which the lock file does not have`);
      // Something optional is there because somebody asked for it, and then he brings it.
      if (at === undefined || (!needed && !(name in optionalDependencies))) continue;
      const { link, resolved } = locked[at]!;
      if (link) found.add(at);
      follow(link ? resolved! : at);
    }
  };
  follow(`apps/${app}`);
  return [...found].sort();
}

/** As Node looks for a package: beside whoever asks, and then further up. */
function resolveFrom(path: string, name: string, locked: Locked): string | undefined {
  for (let folder = path; ; folder = parentOf(folder)) {
    const at = folder === '' ? MODULES + name : `${folder}/${MODULES}${name}`;
    if (locked[at]) return at;
    if (folder === '') return undefined;
  }
}

/** The package within whose `node_modules` one is, or the repository. */
function parentOf(path: string): string {
  const i = path.lastIndexOf(MODULES);
  return i <= 0 ? '' : path.slice(0, i - 1);
}

export interface ImageContext {
  folder: string;
  version: string;
  revision: string;
  /** Of the commit, in seconds. */
  at: number;
}

/** Writes the folder anew. */
export async function writeContext(app: string, folder: string): Promise<ImageContext> {
  const lock = JSON.parse(await readFile(inRepository('package-lock.json'), 'utf8')) as {
    version: string;
    packages: Locked;
  };
  const git = (...args: string[]) => runCommand('git', args, { timeoutMs: 10_000, cwd: inRepository('.') });
  const revision = (await git('rev-parse', 'HEAD')).trim();
  const at = Number((await git('log', '-1', '--format=%ct')).trim());
  await rm(folder, { recursive: true, force: true });
  const target = join(folder, 'app');
  for (const path of closureOf(app, lock.packages)) {
    const { link, resolved, optional } = lock.packages[path]!;
    const from = inRepository(path);
    if (optional && !existsSync(from)) continue;
    if (link) await linkTo(join(target, path), resolved!);
    else if (path.startsWith(MODULES) || path.includes(`/${MODULES}`)) await copyPackage(from, join(target, path));
    else await copyOwn(from, join(target, path));
  }
  await writeFile(join(target, 'main.js'), `await import('./apps/${app}/dist/main.js');\n`);
  await writeFile(
    join(target, 'package.json'),
    `${JSON.stringify({ name: 'callboard', version: lock.version, type: 'module' }, null, 2)}\n`,
  );
  await mkdir(join(folder, 'licenses'), { recursive: true });
  await cp(inRepository('LICENSE'), join(folder, 'licenses', 'LICENSE'));
  await writeFile(join(target, 'sbom.cdx.json'), await sbomOf(app, at));
  await makeUniform(folder, at);
  return { folder, version: lock.version, revision, at };
}

async function linkTo(link: string, ours: string): Promise<void> {
  await mkdir(dirname(link), { recursive: true });
  // node_modules/@callboard/x: two up, and a third for the scope.
  await symlink(join('../..', ours), link);
}

/** Of ours: what was compiled, but for tests; and what is read at run time. */
async function copyOwn(from: string, to: string): Promise<void> {
  await copyTree(from, to, (path, isFolder) => {
    const name = basename(path);
    if (isFolder) return !['src', 'node_modules', 'spec', 'jest'].includes(name);
    return !/(\.spec\.|^spec-|\.d\.ts(\.map)?$|\.tsbuildinfo$|^tsconfig|^make-|\.md$)/.test(name);
  });
}

/** Of others: what Node may load. */
async function copyPackage(from: string, to: string): Promise<void> {
  await copyTree(from, to, (path, isFolder) => {
    const name = basename(path);
    if (isFolder) return name !== 'node_modules' && name !== '.bin';
    if (/^(licen[cs]e|notice|copying)/i.test(name)) return true;
    if (name.endsWith('.node')) refuseForeign(path);
    return !/(\.d\.[cm]?ts|\.map|\.md|\.markdown|\.flow|\.tsbuildinfo)$/i.test(name);
  });
}

/** A native module is for the machine that it was installed on. */
function refuseForeign(path: string): void {
  if (platform() !== 'linux') throw new Error(`${path} is of ${platform()} on ${arch()}: build the image on Linux`);
}

async function copyTree(from: string, to: string, takes: (path: string, isFolder: boolean) => boolean): Promise<void> {
  for (const entry of (await readdir(from, { withFileTypes: true })).sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const source = join(from, entry.name);
    if (!takes(source, entry.isDirectory())) continue;
    const target = join(to, entry.name);
    if (entry.isDirectory()) await copyTree(source, target, takes);
    else if (entry.isFile()) {
      await mkdir(to, { recursive: true });
      await cp(source, target);
    }
  }
}

/** CycloneDX, by npm. Without what is another at each run. */
async function sbomOf(app: string, at: number): Promise<string> {
  const text = await runCommand(
    'npm',
    ['sbom', '--sbom-format', 'cyclonedx', '--omit', 'dev', '--workspace', `@callboard/${app}`],
    { timeoutMs: 120_000, cwd: inRepository('.') },
  );
  const sbom = JSON.parse(text) as { serialNumber?: string; metadata: { timestamp?: string } };
  delete sbom.serialNumber;
  sbom.metadata.timestamp = new Date(at * 1_000).toISOString();
  return `${JSON.stringify(sbom, null, 2)}\n`;
}

/** One date and one set of rights, whoever has cloned the repository: what differs between two machines is nothing that counts. */
async function makeUniform(folder: string, at: number): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isSymbolicLink()) await lutimes(path, at, at);
    else if (entry.isDirectory()) await makeUniform(path, at);
    else {
      await chmod(path, (await stat(path)).mode & 0o100 ? 0o755 : 0o644);
      await utimes(path, at, at);
    }
  }
  await chmod(folder, 0o755);
  await utimes(folder, at, at);
}
