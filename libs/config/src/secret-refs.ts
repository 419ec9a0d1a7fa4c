/**
 * Secrets of a configuration file are not written into it. `{ env: NAME }`, `{ file: PATH }` or `{ vault: { path, key } }` says where one
 * is; one that is not there is a mistake like any other.
 */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { VaultClient, VaultError, type VaultRef } from './vault.js';
import type { YamlFile } from './yaml-file.js';

export type SecretRef = { env: string } | { file: string } | { vault: VaultRef };

const text = { type: 'string', minLength: 1 };

/** The schema of a reference. */
export const secretRef = {
  type: 'object',
  properties: {
    env: text,
    file: text,
    vault: {
      type: 'object',
      properties: { path: { ...text, pattern: '^[^/.][^?#]*$' }, key: text },
      required: ['path', 'key'],
      additionalProperties: false,
    },
  },
  additionalProperties: false,
};

type Place = readonly (string | number)[];

/** Finds what a file only names. Paths are relative to `folder`. */
export class SecretReader {
  constructor(
    private readonly yaml: YamlFile,
    private readonly folder: string,
    private readonly env: NodeJS.ProcessEnv,
    private readonly vault: VaultClient | undefined = VaultClient.fromEnv(env),
  ) {}

  all(place: Place, refs: SecretRef | SecretRef[]): Promise<string[]> {
    return Promise.all(
      Array.isArray(refs) ? refs.map((ref, i) => this.one([...place, i], ref)) : [this.one(place, refs)],
    );
  }

  async one(place: Place, ref: SecretRef): Promise<string> {
    if (Object.keys(ref).length !== 1) {
      throw this.yaml.mistake(place, 'must have one of env, file and vault: where the secret is');
    }
    if ('env' in ref) {
      const value = this.env[ref.env];
      if (value) return value;
      throw this.yaml.mistake([...place, 'env'], 'names an environment variable that is not set');
    }
    if ('vault' in ref) return this.#ofVault([...place, 'vault'], ref.vault);
    let value: string;
    try {
      value = readFileSync(resolve(this.folder, ref.file), 'utf8').trim();
    } catch {
      throw this.yaml.mistake([...place, 'file'], 'names a file that cannot be read');
    }
    if (value !== '') return value;
    throw this.yaml.mistake([...place, 'file'], 'names a file that is empty');
  }

  async #ofVault(place: Place, ref: VaultRef): Promise<string> {
    if (!this.vault) throw this.yaml.mistake(place, 'needs CALLBOARD_VAULT_URL, which is not set');
    try {
      return await this.vault.read(ref);
    } catch (error) {
      if (!(error instanceof VaultError)) throw error;
      throw this.yaml.mistake(place, `leads to nothing: ${error.message}`);
    }
  }
}
