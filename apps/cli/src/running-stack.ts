/** How the other commands find the stack that `up` has started, and talk to it as one of its users. */
import { connectNats } from '@callboard/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { Option } from 'commander';
import { pathsOf } from './data-dir.js';
import { Failure } from './failure.js';
import { readReadyFile, type ReadyFile } from './ready-file.js';

const CONNECT_MS = 5_000;

export const dataDirOption = () => new Option('--data-dir <dir>', 'data dir of the stack').default('.callboard');
export const jsonOption = () => new Option('--json', 'print JSON').default(false);

export interface StackCommandOptions {
  dataDir: string;
  json: boolean;
}

/** @throws Failure when no stack is ready there. */
export async function findStack(dataDir: string): Promise<ReadyFile> {
  const paths = pathsOf(dataDir);
  const ready = await readReadyFile(paths.ready);
  if (!ready) {
    throw new Failure(
      `No stack is ready in ${paths.path}. Start one with npm start, or name its folder with --data-dir.`,
    );
  }
  return ready;
}

/** Connects to a stack's nats-server as one of the users that `ready.json` names, for as long as `use` runs. */
export async function asUser<T>(
  ready: ReadyFile,
  user: 'sre' | 'operator' | 'provisioner',
  use: (nc: NatsConnection) => Promise<T>,
): Promise<T> {
  const connecting = connectNats({
    servers: ready.nats_url,
    user,
    credsFile: ready.nats_users[user]!.creds,
    name: 'callboard',
  });
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const failure = new Failure(`nats-server does not answer at ${ready.nats_url}. Does the stack still run?`);
    timer = setTimeout(() => reject(failure), CONNECT_MS);
  });
  const nc = await Promise.race([connecting, late]).finally(() => clearTimeout(timer));
  try {
    return await use(nc);
  } finally {
    await nc.close();
  }
}
