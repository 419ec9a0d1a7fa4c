/** promtool, of Prometheus: what proves rules, and reads PromQL as Prometheus does. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findProgram, type Program } from '@callboard/testing';

/** Nothing that is asked of it takes so long; and while it is waited for no test can time out. */
const LONGEST_MS = 120_000;
const COMMAND = process.env['PROMTOOL'] ?? (await findProgram({ name: 'prometheus', path: 'usr/bin/promtool' }));

export const PROMTOOL: Program = {
  name: 'promtool (PROMTOOL, or Prometheus installed)',
  probe: [COMMAND, '--version'],
};

/** Runs it in a folder with these files; `what` it says of them is all that it prints. */
export function promtool(
  args: readonly string[],
  files: Readonly<Record<string, string>>,
): { ok: boolean; what: string } {
  const folder = mkdtempSync(join(tmpdir(), 'callboard-promtool-'));
  try {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
    const { status, stdout, stderr, error } = spawnSync(COMMAND, args, {
      cwd: folder,
      encoding: 'utf8',
      timeout: LONGEST_MS,
    });
    return { ok: status === 0, what: `${stdout}${stderr}${error ? error.message : ''}` };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
