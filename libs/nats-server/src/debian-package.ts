/**
 * Programs from Debian's packages, for a Debian that has them not installed: nats-server from the newer suite, since a Debian's own has an older
 * one or none; what else only tests need from its own.
 *
 * Uses the system's own mirror, proxy and archive keys through a private apt configuration: lists and caches live in the given
 * folder, the package is unpacked and not installed, and nothing of the system changes, so no root is needed. apt verifies the
 * signatures as always.
 */
import { mkdir, readFile, readdir, rename, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { whileReporting, type OnProgress } from './progress.js';
import { runCommand } from './run-command.js';

const APT_LIMIT_MS = 300_000;

export interface DebianProgram {
  /** The package. */
  name: string;
  /** Where it has the program. */
  path: string;
  /** Default: the one that this Debian is of. */
  suite?: string;
}

export const NATS_SERVER_PACKAGE: DebianProgram = { name: 'nats-server', path: 'usr/sbin/nats-server', suite: 'forky' };

/** Puts the program into the folder, under its own name. */
export async function fetchDebianPackage(program: DebianProgram, into: string, onProgress: OnProgress): Promise<void> {
  const osRelease = await readFile('/etc/os-release', 'utf8').catch(() => '');
  if (!/^ID=debian$/m.test(osRelease)) throw new Error('this is not Debian');
  const archive = debianArchive(await readSources('/etc/apt'));
  if (!archive) throw new Error('no Debian archive is configured in /etc/apt');

  for (const folder of ['state/lists/partial', 'cache/archives/partial']) {
    await mkdir(join(into, folder), { recursive: true });
  }
  const suite = program.suite ?? archive.suites[0]!;
  const signedBy = archive.signedBy ? ` signed-by=${archive.signedBy}` : '';
  await writeFile(join(into, 'sources.list'), `deb [target=Packages${signedBy}] ${archive.uri} ${suite} main\n`);
  const configuration = join(into, 'apt.conf');
  await writeFile(configuration, aptConfiguration(into));
  // -c is read after the system's configuration: the machine's proxy stays, and its hooks can be cleared.
  const apt = (...args: string[]) =>
    runCommand('apt-get', ['-q', '-c', configuration, ...args], {
      cwd: into,
      timeoutMs: APT_LIMIT_MS,
      env: { ...process.env, LC_ALL: 'C' },
    });

  await whileReporting(onProgress, `reading the package list of Debian ${suite} (${archive.uri})`, apt('update'));
  await whileReporting(onProgress, `downloading ${program.name} of Debian ${suite}`, apt('download', program.name));
  const deb = (await readdir(into)).find((name) => name.endsWith('.deb'));
  if (!deb) throw new Error('apt-get brought no package');
  await runCommand('dpkg', ['-x', deb, 'unpacked'], { cwd: into, timeoutMs: 60_000 });
  await rename(join(into, 'unpacked', program.path), join(into, basename(program.path)));
}

function aptConfiguration(folder: string): string {
  return [
    `Dir::State "${folder}/state";`,
    `Dir::Cache "${folder}/cache";`,
    `Dir::Etc::sourcelist "${folder}/sources.list";`,
    'Dir::Etc::sourceparts "/dev/null";',
    'Dir::Etc::preferencesparts "/dev/null";',
    'Dir::State::status "/var/lib/dpkg/status";',
    '#clear APT::Update::Pre-Invoke;',
    '#clear APT::Update::Post-Invoke;',
    '#clear APT::Update::Post-Invoke-Success;',
    // apt takes a list that it could not fetch for a warning otherwise, and complains later that there is no such package.
    'APT::Update::Error-Mode "any";',
    // As root, apt would download as a user that may not read this folder.
    'APT::Sandbox::User "root";',
    'Acquire::Languages "none";',
    'Acquire::Retries "0";',
    'Acquire::http::Timeout "10";',
    'Acquire::https::Timeout "10";',
    '',
  ].join('\n');
}

export interface AptSource {
  uri: string;
  suites: string[];
  signedBy?: string;
}

/** The mirror that this machine gets Debian itself from: not the security archive, not a third party's. */
export function debianArchive(sources: AptSource[]): AptSource | undefined {
  return sources.find(({ uri, suites }) => /\/debian\/?$/.test(uri) && !suites.some((s) => s.includes('-security')));
}

async function readSources(etc: string): Promise<AptSource[]> {
  const parts = (await readdir(join(etc, 'sources.list.d')).catch(() => [])).sort();
  const sources: AptSource[] = [];
  for (const file of ['sources.list', ...parts.map((name) => join('sources.list.d', name))]) {
    const text = await readFile(join(etc, file), 'utf8').catch(() => '');
    if (file.endsWith('.list')) sources.push(...parseOneLineSources(text));
    else if (file.endsWith('.sources')) sources.push(...parseDeb822Sources(text));
  }
  return sources;
}

/** `deb [signed-by=FILE] URI SUITE COMPONENT…`, one a line. */
export function parseOneLineSources(text: string): AptSource[] {
  const sources: AptSource[] = [];
  for (const line of text.split('\n')) {
    const match = /^\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)/.exec(line);
    if (!match?.[2] || !match[3]) continue;
    const signedBy = /(?:^|\s)signed-by=(\S+)/.exec(match[1] ?? '')?.[1];
    sources.push({ uri: match[2], suites: [match[3]], ...(signedBy && { signedBy }) });
  }
  return sources;
}

/** Paragraphs of `Field: value`; a value goes on in lines that begin with a space. */
export function parseDeb822Sources(text: string): AptSource[] {
  const sources: AptSource[] = [];
  for (const paragraph of text.replace(/^#.*\n?/gm, '').split(/\n\s*\n/)) {
    const fields = new Map<string, string>();
    for (const [, name, value] of paragraph.matchAll(/^([A-Za-z-]+):[ \t]*((?:.*)(?:\n[ \t].*)*)/gm)) {
      fields.set((name ?? '').toLowerCase(), (value ?? '').trim());
    }
    const words = (name: string) => (fields.get(name) ?? '').split(/\s+/).filter((word) => word !== '');
    if (!words('types').includes('deb') || fields.get('enabled')?.toLowerCase() === 'no') continue;
    // A key may also be written out in the file itself; only one in a file of its own can be named again.
    const signedBy = words('signed-by').find((word) => word.startsWith('/'));
    for (const uri of words('uris')) sources.push({ uri, suites: words('suites'), ...(signedBy && { signedBy }) });
  }
  return sources;
}
