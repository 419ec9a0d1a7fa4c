import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { whileReporting, type OnProgress } from './progress.js';
import { runCommand } from './run-command.js';

const MODULE = 'github.com/nats-io/nats-server/v2@v2.15.1';

/** Compiles nats-server with the machine's Go, which checks the sources against Go's checksum database; into the folder. */
export async function installWithGo(into: string, onProgress: OnProgress): Promise<void> {
  const env = { ...process.env, GOBIN: into, GOCACHE: join(into, 'build') };
  // The source alone first: without a network this fails soon, where `go install` would keep trying.
  const source = runCommand('go', ['mod', 'download', MODULE], { cwd: into, timeoutMs: 60_000, env });
  await whileReporting(onProgress, `fetching the source of ${MODULE}`, source);
  const build = runCommand('go', ['install', MODULE], { cwd: into, timeoutMs: 900_000, env });
  await whileReporting(onProgress, 'compiling nats-server, which takes some minutes', build);
  await rm(join(into, 'build'), { recursive: true, force: true });
}
