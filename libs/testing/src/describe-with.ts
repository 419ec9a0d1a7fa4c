import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { describe as Describe } from '@jest/globals';

/** Something that neither Node nor the workspaces bring, and how to ask whether it is there and fit. */
export interface Program {
  name: string;
  /** Ends with 0 when it is there. */
  probe: readonly [command: string, ...args: string[]];
  /** Whether it is fit, by what it printed. */
  fits?(said: string): boolean;
  /** The probe takes long, or says itself what is wrong: its stderr is shown. */
  tells?: boolean;
}

export const PYTHON: Program = {
  name: 'Python 3.11 or newer',
  probe: ['python3', '-c', 'import sys; sys.exit(sys.version_info < (3, 11))'],
};
export const PYTHON_WITH_VENV: Program = {
  name: 'Python 3.11 or newer with venv',
  probe: ['python3', '-c', 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))'],
};
export const JAVA: Program = {
  name: 'Java 17 or newer',
  probe: ['java', '--version'],
  fits: (said) => Number(/\d+/.exec(said)?.[0]) >= 17,
};
export const GIT: Program = { name: 'git', probe: ['git', '--version'] };
/** Installed where it is not; only where that is impossible it is missing. */
const INSTALL_BACKSTAGE = fileURLToPath(new URL('../../backstage-server/dist/install-main.js', import.meta.url));
export const BACKSTAGE: Program = {
  name: 'Backstage',
  probe: [process.execPath, INSTALL_BACKSTAGE],
  tells: true,
};
export const SCAFFOLDER_BACKSTAGE: Program = {
  name: 'Backstage with the scaffolder',
  probe: [process.execPath, INSTALL_BACKSTAGE, 'scaffolder'],
  tells: true,
};

/**
 * `describe` for tests that need programs which Node and npm do not bring. Where one is missing they are skipped, are counted as skipped,
 * and say so.
 */
export function describeWith(programs: readonly Program[], name: string, tests: () => void): void {
  // Jest's own, not imported: programs that are no tests start stacks with this lib too.
  const { describe } = globalThis as unknown as { describe: typeof Describe };
  const missing = programs.filter(({ probe: [command, ...args], fits, tells }) => {
    const { status, stdout } = spawnSync(command, args, {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', tells ? 'inherit' : 'ignore'],
    });
    return status !== 0 || fits?.(stdout) === false;
  });
  if (missing.length === 0) return describe(name, tests);
  const names = missing.map((program) => program.name).join(', ');
  process.stderr.write(`SKIPPED: ${name}: not tested, because this is not there: ${names}\n`);
  describe.skip(name, tests);
}
