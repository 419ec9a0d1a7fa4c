/**
 * Runs the fault test on a copy of the product that has a fault built in, to show that the checker would find it. The copy is of the
 * compiled files; the sources and what was compiled from them stay as they are.
 */
import { spawn } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Mutation } from './mutations.js';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const WORKSPACES = ['apps', 'libs', 'tools'];
const OWN = '@callboard';
/** Seeds that a fault may take to show. */
const SEEDS = 3;
const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/**
 * `names`, comma separated, or `all`. `rules` are what findings are of. Returns the exit code: 0 when the fault of each was found.
 * @throws TypeError when there is none of a name
 */
export async function runMutations(
  mutations: readonly Mutation[],
  rules: readonly string[],
  names: string,
  options: string[],
  say: (line: string) => void,
): Promise<number> {
  const wanted = names === 'all' ? mutations.map(({ name }) => name) : names.split(',');
  const chosen = wanted.map((name) => {
    const mutation = mutations.find((each) => each.name === name);
    if (!mutation) throw new TypeError(`there is no mutation "${name}"`);
    return mutation;
  });
  const missed: string[] = [];
  for (const mutation of chosen) {
    const found = await runMutation(mutation, rules, options, say);
    say(`${mutation.name}: ${found ?? 'NOT FOUND'}`);
    if (found === undefined) missed.push(mutation.name);
  }
  say(
    missed.length === 0 ? `${chosen.length} of ${chosen.length} faults were found` : `NOT FOUND: ${missed.join(', ')}`,
  );
  return missed.length === 0 ? 0 : 1;
}

/** Returns the rules that were broken, if any. */
async function runMutation(
  mutation: Mutation,
  among: readonly string[],
  options: string[],
  say: (line: string) => void,
): Promise<string | undefined> {
  const copy = await mkdtemp(join(tmpdir(), 'callboard-mutation-'));
  try {
    await copyProduct(copy);
    await mutate(copy, mutation);
    for (let tried = 0; tried < SEEDS; tried++) {
      const seed = ['--seed', String(1 + tried)];
      const { code, output } = await run(join(copy, 'tools', 'faults', 'dist', 'main.js'), [...options, ...seed]);
      const rules = /^rules broken: (.*)$/m.exec(output)?.[1];
      if (code === 1 && rules !== undefined) {
        for (const line of findingsIn(output, among)) say(`  ${line}`);
        return `seed ${1 + tried}: ${rules}`;
      }
      if (code !== 0) throw new Error(`the run of ${mutation.name} ended with ${code}:\n${output.slice(-4_000)}`);
      say(`${mutation.name}: nothing found with seed ${1 + tried}`);
    }
    return undefined;
  } finally {
    await rm(copy, { recursive: true, force: true });
  }
}

/** The first findings of a report, one of each rule. */
function findingsIn(output: string, rules: readonly string[]): string[] {
  const found = new Map<string, string>();
  for (const line of output.split('\n')) {
    const rule = rules.find((each) => line.startsWith(`${each} (`) || line.startsWith(`${each}: `));
    if (rule && !found.has(rule)) found.set(rule, line);
  }
  return [...found.values()];
}

/** What is in the workspaces but for their sources, and links to everything that they import. */
async function copyProduct(to: string): Promise<void> {
  const names = new Map<string, string>();
  await cp(join(ROOT, 'package.json'), join(to, 'package.json'));
  for (const folder of WORKSPACES) {
    for (const project of await readdir(join(ROOT, folder))) {
      const from = join(ROOT, folder, project);
      const target = join(to, folder, project);
      const manifest = await readFile(join(from, 'package.json'), 'utf8').catch(() => undefined);
      if (manifest === undefined) continue;
      const isCopied = (path: string) => ![join(from, 'src'), join(from, 'node_modules')].includes(path);
      await cp(from, target, { recursive: true, filter: isCopied });
      await linkAll(join(from, 'node_modules'), join(target, 'node_modules')).catch(ifAbsent);
      names.set((JSON.parse(manifest) as { name: string }).name, target);
    }
  }
  await linkAll(join(ROOT, 'node_modules'), join(to, 'node_modules'));
  for (const [name, target] of names) {
    const link = join(to, 'node_modules', name);
    await mkdir(dirname(link), { recursive: true });
    await symlink(target, link);
  }
}

/** Links to all that is in a folder, but for what is copied. */
async function linkAll(from: string, to: string): Promise<void> {
  const entries = await readdir(from);
  await mkdir(to, { recursive: true });
  for (const entry of entries) if (entry !== OWN) await symlink(join(from, entry), join(to, entry));
}

function ifAbsent(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error;
}

/** @throws Error when the text is not there exactly once: the code has changed since, and the mutation with it. */
async function mutate(copy: string, { name, file, find, replace }: Mutation): Promise<void> {
  const path = join(copy, file);
  const text = await readFile(path, 'utf8');
  const parts = text.split(find);
  if (parts.length !== 2) throw new Error(`${name}: its text is ${parts.length - 1} times in ${file}: write it anew`);
  await writeFile(path, parts.join(replace));
}

function run(program: string, options: string[]): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve, reject) => {
    const started = spawn(process.execPath, [program, ...options], { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [started.stdout, started.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => (output += text));
    }
    const stop = () => void started.kill('SIGTERM');
    for (const signal of SIGNALS) process.on(signal, stop);
    started.once('error', reject).once('close', (code) => {
      for (const signal of SIGNALS) process.off(signal, stop);
      resolve({ code, output });
    });
  });
}
