import { runCommand } from './run-command.js';

/** The oldest nats-server that has everything the topology uses: scheduled messages, pinned consumers, consumer reset. */
export const MINIMUM_VERSION = '2.14.0';

/** Asks a binary which version it is. Throws when it does not run or is no nats-server. */
export async function versionOf(binary: string): Promise<string> {
  const text = await runCommand(binary, ['--version'], { timeoutMs: 10_000 });
  const match = /nats-server:\s*v?(\d+\.\d+\.\d+)/.exec(text);
  if (!match?.[1]) throw new Error('it does not answer --version as nats-server does');
  return match[1];
}

export function isFit(version: string): boolean {
  return compareVersions(version, MINIMUM_VERSION) >= 0;
}

export function compareVersions(a: string, b: string): number {
  const [left, right] = [a.split('.').map(Number), b.split('.').map(Number)];
  for (let i = 0; i < 3; i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
