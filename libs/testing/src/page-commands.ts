/** The blocks of commands in a page, run as they stand there, against what the page says that they print. */
import { execFile } from 'node:child_process';
import { resolveNatsCli } from '@callboard/nats-server';

export interface Step {
  heading: string;
  /** `denied`: it fails, for want of permission. `cluster`: against three servers. */
  kind: '' | 'denied' | 'cluster';
  commands: string;
  /** Lines that are printed, in this order, each with `…` for anything. */
  expected: string[];
}

/** Each block of commands, with the block of what to expect that follows it. */
export function stepsOf(page: string): Step[] {
  const steps: Step[] = [];
  for (const part of page.split(/^(?=## )/m)) {
    const heading = part.split('\n', 1)[0]!.replace(/^## /, '');
    const blocks = part.matchAll(/^```sh ?(\w*)\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?/gms);
    for (const [, kind, commands, expected = ''] of blocks) {
      steps.push({
        heading,
        kind: kind as Step['kind'],
        commands: commands!,
        expected: expected.split('\n').filter((line) => line !== ''),
      });
    }
  }
  return steps;
}

/** The first expected line that was not printed after those before it. */
export function missing(expected: string[], printed: string): string | undefined {
  let lines = printed.split('\n');
  for (const line of expected) {
    const pattern = new RegExp(`^${line.split('…').map(escaped).join('.*')}`);
    const at = lines.findIndex((each) => pattern.test(each));
    if (at < 0) return line;
    lines = lines.slice(at + 1);
  }
  return undefined;
}

const escaped = (text: string) => text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');

/** How a block of commands ended, and everything that it printed. */
export interface Ran {
  code: number;
  printed: string;
}

export function bash(commands: string, cwd: string, env: NodeJS.ProcessEnv): Promise<Ran> {
  return new Promise((resolve) => {
    const options = { cwd, env, timeout: 100_000, encoding: 'utf8' } as const;
    const child = execFile('bash', ['-c', `set -euo pipefail\nexec 2>&1\n${commands}`], options, (error, stdout) => {
      resolve({ code: error ? Number(error.code ?? -1) : 0, printed: stdout });
    });
    // Without a terminal the CLI would wait for one to say yes on.
    child.stdin!.end();
  });
}

/** What the commands of pages for operators need: the path of the stock `nats` CLI, or in words what is not there. */
export async function operatorTools(): Promise<string | { nats: string }> {
  for (const program of ['bash', 'curl', 'jq', 'openssl']) {
    const { code } = await bash(`command -v ${program}`, '/', process.env).catch(() => ({ code: -1 }));
    if (code !== 0) return `${program} is not installed`;
  }
  try {
    return { nats: await resolveNatsCli((line) => process.stderr.write(`${line}\n`)) };
  } catch (error) {
    return (error as Error).message;
  }
}
