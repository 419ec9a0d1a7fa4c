/** The text of policies: one `*.cedar` file, or all of a folder with its file of sets. */
import { createHash } from 'node:crypto';
import { readFile, readdir, stat } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { basename, join } from 'node:path';
import { PoliciesError } from './policies-error.js';
import { SETS_FILE } from './sets.js';

export interface PolicyTexts {
  /** By the path of the file; in the order of their names. */
  policies: ReadonlyMap<string, string>;
  sets?: { path: string; text: string };
  /** SHA-256 of all of it, in hexadecimal digits. */
  digest: string;
}

const MOST_BYTES = 1024 * 1024;
const MOST_FILES = 256;
const DEFAULT_POLICIES = fileURLToPath(new URL('../../cedar/default.cedar', import.meta.url));

/**
 * @param path of a file or a folder; empty for the policies that are there without one
 * @throws PoliciesError when there is nothing to read
 */
export async function readPolicyTexts(path: string): Promise<PolicyTexts> {
  const files = await filesOf(path === '' ? DEFAULT_POLICIES : path);
  const digest = createHash('sha256');
  const policies = new Map<string, string>();
  let sets: PolicyTexts['sets'];
  let bytes = 0;
  for (const file of files) {
    const text = await readFile(file, 'utf8').catch(() => {
      throw new PoliciesError(`${file}: cannot be read`);
    });
    bytes += Buffer.byteLength(text);
    if (bytes > MOST_BYTES) throw new PoliciesError(`${path}: more than ${MOST_BYTES} bytes of policies`);
    digest.update(JSON.stringify([basename(file), text]));
    if (file.endsWith('.cedar')) policies.set(file, text);
    else sets = { path: file, text };
  }
  return { policies, ...(sets && { sets }), digest: digest.digest('hex') };
}

/** What tells cheaply that a file has changed; also one that is replaced through a link, as those of a mounted ConfigMap are. */
export async function signatureOf(path: string): Promise<string> {
  const files = await filesOf(path);
  const stats = await Promise.all(files.map((file) => stat(file)));
  return files.map((file, i) => [file, stats[i]!.mtimeMs, stats[i]!.size, stats[i]!.ino].join(':')).join('\n');
}

async function filesOf(path: string): Promise<string[]> {
  const found = await stat(path).catch(() => {
    throw new PoliciesError(`${path}: there is no such file or folder`);
  });
  if (!found.isDirectory()) return [path];
  const names = (await readdir(path)).filter((name) => !name.startsWith('.'));
  const policies = names.filter((name) => name.endsWith('.cedar')).sort();
  if (policies.length === 0) throw new PoliciesError(`${path}: holds no *.cedar file`);
  if (policies.length > MOST_FILES) throw new PoliciesError(`${path}: holds more than ${MOST_FILES} *.cedar files`);
  return [...policies, ...names.filter((name) => name === SETS_FILE)].map((name) => join(path, name));
}
