/**
 * The redaction policies of a file, read again whenever it changes, and at SIGHUP. One that cannot be read or is not valid changes
 * nothing: what was valid before stays in force, and the mistake is told with its place.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { FollowedFile } from '@callboard/config';
import { PolicyError, parsePolicies, type PolicySet } from '@callboard/redaction';

export interface Policies {
  /** Absent without a file: all detectors for every source. */
  policies?: PolicySet;
  /** SHA-256 of the file, in hexadecimal digits. */
  digest: string;
}

export interface PolicyEvents {
  changed(policies: Policies): void;
  /** What is wrong with the file, each with its place; policies hold nothing of an event. */
  broken(problems: readonly string[]): void;
}

const BUILT_IN: Policies = { digest: 'built-in' };

export class PolicyFile {
  private constructor(private readonly file: FollowedFile<Policies> | undefined) {}

  /** @throws PolicyError, or the error of reading it, when the file cannot be used as it is now. */
  static async open(path: string | undefined, events: PolicyEvents): Promise<PolicyFile> {
    if (path === undefined) return new PolicyFile(undefined);
    const read = async () => {
      const text = await readFile(path, 'utf8');
      return { text, says: parse(text) };
    };
    const file = await FollowedFile.open(path, read, {
      changed: (policies) => events.changed(policies),
      broken: (error) => events.broken(error instanceof PolicyError ? error.problems : [error.message]),
    });
    return new PolicyFile(file);
  }

  get current(): Policies {
    return this.file?.current ?? BUILT_IN;
  }

  /** Is the file as it is now not the one in force? */
  get broken(): boolean {
    return this.file?.broken ?? false;
  }

  close(): void {
    this.file?.close();
  }
}

function parse(text: string): Policies {
  return { policies: parsePolicies(text), digest: createHash('sha256').update(text).digest('hex') };
}
