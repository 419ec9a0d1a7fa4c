/**
 * Secrets of a configuration file are not written into it. `{ env: NAME }` or `{ file: PATH }` says where one is; one that is not there
 * is a mistake like any other.
 */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { YamlFile } from './yaml-file.js';

export type SecretRef = { env: string } | { file: string };

const text = { type: 'string', minLength: 1 };

/** The schema of a reference. */
export const secretRef = { type: 'object', properties: { env: text, file: text }, additionalProperties: false };

type Place = readonly (string | number)[];

/** Finds what a file only names. Paths are relative to `folder`. */
export class SecretReader {
  constructor(
    private readonly yaml: YamlFile,
    private readonly folder: string,
    private readonly env: NodeJS.ProcessEnv,
  ) {}

  all(place: Place, refs: SecretRef | SecretRef[]): string[] {
    return Array.isArray(refs) ? refs.map((ref, i) => this.one([...place, i], ref)) : [this.one(place, refs)];
  }

  one(place: Place, ref: SecretRef): string {
    if ('env' in ref === 'file' in ref) {
      throw this.yaml.mistake(place, 'must have one of env and file: where the secret is');
    }
    if ('env' in ref) {
      const value = this.env[ref.env];
      if (value) return value;
      throw this.yaml.mistake([...place, 'env'], 'names an environment variable that is not set');
    }
    let value: string;
    try {
      value = readFileSync(resolve(this.folder, ref.file), 'utf8').trim();
    } catch {
      throw this.yaml.mistake([...place, 'file'], 'names a file that cannot be read');
    }
    if (value !== '') return value;
    throw this.yaml.mistake([...place, 'file'], 'names a file that is empty');
  }
}
