/**
 * Texts of a configuration that hold a place for a secret: `Bearer ${vault:team/ci#token}`, `${file:/run/secrets/token}`; and references to one,
 * which are such a place and nothing else: `env:NAME`, `file:PATH`, `vault:PATH#KEY`. The secret is read whenever it is used, so one that was changed
 * where it is kept counts from the next use, and nobody keeps it meanwhile.
 */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { VaultClient } from './vault.js';

/** One place: `file:PATH` or `vault:PATH#KEY`. */
const PLACE = /\$\{(file|vault):([^}]*)\}/g;
const VAULT = /^([^/.?#][^?#]*)#([^#]+)$/;
const REFERENCE = /^(env|file|vault):(.+)$/s;
/** Shorter ones would be found everywhere; no secret is that short. */
export const LEAST_CUT = 6;
const CUT = '[secret]';

/** Where a secret is. */
export type SecretReference = `env:${string}` | `file:${string}` | `vault:${string}`;

type Kind = 'env' | 'file' | 'vault';

/** What a text became, and the secrets that are now in it. */
export interface Filled<T> {
  value: T;
  secrets: readonly string[];
}

export class SecretTexts {
  /** Paths of files are relative to `folder`. */
  constructor(
    private readonly folder: string,
    private readonly vault: VaultClient | undefined,
    private readonly env: NodeJS.ProcessEnv = process.env,
  ) {}

  /** What is wrong with the places in a text, as it can be known before any is used. */
  static problemOf(text: string, env: NodeJS.ProcessEnv): string | undefined {
    for (const [, kind, where] of text.matchAll(PLACE)) {
      if (where === '') return `has a place for a secret without ${kind === 'file' ? 'a path' : 'PATH#KEY'}`;
      if (kind === 'file') continue;
      if (!VAULT.test(where!)) return 'has a place for a secret of Vault that is not ${vault:PATH#KEY}';
      if (!env['CALLBOARD_VAULT_URL']) return 'needs CALLBOARD_VAULT_URL, which is not set';
    }
    return undefined;
  }

  /** What is wrong with a reference, as it can be known before it is used. */
  static problemOfReference(reference: string): string | undefined {
    const [, kind, where = ''] = REFERENCE.exec(reference) ?? [];
    if (kind === undefined) return 'must be env:NAME, file:PATH or vault:PATH#KEY';
    return kind === 'vault' && !VAULT.test(where) ? 'must be vault:PATH#KEY' : undefined;
  }

  /**
   * The secret of now.
   * @throws Error with where it should be, and nothing of what is there.
   */
  read(reference: SecretReference): Promise<string> {
    const [, kind, where] = REFERENCE.exec(reference)!;
    return this.#read(kind as Kind, where!);
  }

  /** @throws Error with where the secret should be, and nothing of what is there. */
  async fill(text: string): Promise<Filled<string>> {
    const secrets: string[] = [];
    let value = '';
    let end = 0;
    for (const match of text.matchAll(PLACE)) {
      const secret = await this.#read(match[1] as Kind, match[2]!);
      secrets.push(secret);
      value += text.slice(end, match.index) + secret;
      end = match.index + match[0].length;
    }
    return { value: value + text.slice(end), secrets };
  }

  async fillAll(texts: Readonly<Record<string, string>>): Promise<Filled<Record<string, string>>> {
    const filled = await Promise.all(
      Object.entries(texts).map(async ([name, text]) => [name, await this.fill(text)] as const),
    );
    return {
      value: Object.fromEntries(filled.map(([name, { value }]) => [name, value])),
      secrets: filled.flatMap(([, { secrets }]) => secrets),
    };
  }

  async #read(kind: Kind, where: string): Promise<string> {
    if (kind === 'env') {
      const secret = this.env[where];
      if (secret) return secret;
      throw new Error(`the variable ${where} is not set`);
    }
    if (kind === 'file') {
      const secret = (await readFile(resolve(this.folder, where), 'utf8').catch(() => '')).trim();
      if (secret !== '') return secret;
      throw new Error(`${where} cannot be read, or is empty`);
    }
    const [, path, key] = VAULT.exec(where) ?? [];
    if (!this.vault || !path || !key) throw new Error('no Vault is configured');
    return this.vault.read({ path, key });
  }
}

/** What somebody says who knows these secrets, without them: as they are, and as JSON writes them. */
export function withoutSecrets(text: string, secrets: readonly string[]): string {
  return secrets
    .filter(({ length }) => length >= LEAST_CUT)
    .reduce((said, secret) => said.replaceAll(secret, CUT).replaceAll(JSON.stringify(secret).slice(1, -1), CUT), text);
}
