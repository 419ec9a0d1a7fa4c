import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { whileReporting, type OnProgress } from './progress.js';
import { runCommand } from './run-command.js';

export interface GoTool {
  /** Name of the program. */
  name: string;
  module: string;
  version: string;
  /** The package that is the program. */
  program: string;
}

export const NATS_SERVER: GoTool = {
  name: 'nats-server',
  module: 'github.com/nats-io/nats-server/v2',
  version: 'v2.15.1',
  program: 'github.com/nats-io/nats-server/v2',
};

export const NATS_CLI: GoTool = {
  name: 'nats',
  module: 'github.com/nats-io/natscli',
  version: 'v0.4.0',
  program: 'github.com/nats-io/natscli/nats',
};

/**
 * Compiles a tool with the machine's Go, which checks the sources against Go's checksum database; into the folder.
 *
 * By way of a module of its own that requires just the one version: `go install program@version` also asks for the list of all
 * versions, which not every module proxy has.
 */
export async function installWithGo(tool: GoTool, into: string, onProgress: OnProgress): Promise<void> {
  const env = { ...process.env, GOBIN: into, GOCACHE: join(into, 'build'), GOWORK: 'off' };
  const go = (timeoutMs: number, ...args: string[]) => runCommand('go', args, { cwd: into, timeoutMs, env });
  await go(60_000, 'mod', 'init', 'callboard.invalid/tool');
  await go(60_000, 'mod', 'edit', `-require=${tool.module}@${tool.version}`);
  // The source alone first: without a network this fails soon, where `go install` would keep trying.
  const source = go(60_000, 'mod', 'download', `${tool.module}@${tool.version}`);
  await whileReporting(onProgress, `fetching the source of ${tool.module}@${tool.version}`, source);
  const build = go(900_000, 'install', '-mod=mod', tool.program);
  await whileReporting(onProgress, `compiling ${tool.name}, which takes some minutes`, build);
  for (const left of ['build', 'go.mod', 'go.sum']) await rm(join(into, left), { recursive: true, force: true });
}
