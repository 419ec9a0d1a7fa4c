/**
 * The stack whose NATS others run, and to which no data dir belongs: by the variables that the apps have, from the environment or from a file
 * of them, a context. A command may need several users, which an app never does: their files are in one folder, as `callboard nats config`
 * writes them.
 */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { parseEnv } from 'node:util';
import { AppConfig, FromEnv, loadConfig } from '@callboard/config';
import { natsOptions } from '@callboard/jetstream';
import { IsOptional, IsString } from 'class-validator';
import { Failure, messageOf } from './failure.js';
import type { NatsUserFiles, StackAddress } from './running-stack.js';

/** This process is no app: it has no ports, and its name is nobody else's business. */
class CommandConfig extends AppConfig {
  override instance = 'callboard';

  @FromEnv(
    'CALLBOARD_NATS_USERS',
    'Folder with the nkeys (`USER.nk`) or the credentials (`USER.creds`) of the users that commands need',
  )
  @IsOptional()
  @IsString()
  natsUsers?: string = undefined;
}

/** Those that name files; in a context, as seen from its folder. */
const FILES = [
  'CALLBOARD_NATS_CREDS',
  'CALLBOARD_NATS_NKEY',
  'CALLBOARD_NATS_TLS_CA',
  'CALLBOARD_NATS_TLS_CERT',
  'CALLBOARD_NATS_TLS_KEY',
  'CALLBOARD_NATS_USERS',
  'CALLBOARD_ACCESS',
  'CALLBOARD_ADAPTERS',
];
export const COMMAND_USERS = ['sre', 'operator', 'eraser', 'provisioner'] as const;

/**
 * The variables that say where the stack is: those of the context, and none of the environment's, which may be of another one; without a
 * context, the environment's.
 */
export async function variablesOf(context: string | undefined): Promise<NodeJS.ProcessEnv> {
  if (context === undefined) return process.env;
  const text = await readFile(context, 'utf8').catch((error: unknown) => {
    throw new Failure(`The context cannot be read: ${messageOf(error)}`);
  });
  const variables: NodeJS.ProcessEnv = parseEnv(text);
  for (const name of FILES) if (variables[name]) variables[name] = resolve(dirname(context), variables[name]);
  return variables;
}

/** @throws Failure when the variables contradict each other. */
export function externalStack(variables: NodeJS.ProcessEnv): StackAddress {
  const config = loadConfig(CommandConfig, variables);
  const { servers, credsFile, nkeyFile, tls } = natsOptions(config);
  const one: NatsUserFiles = { ...(credsFile && { creds: credsFile }), ...(nkeyFile && { nkey: nkeyFile }) };
  if (config.natsUsers !== undefined && (credsFile ?? nkeyFile) !== undefined) {
    throw new Failure(
      'CALLBOARD_NATS_USERS has the files of all users: with it, set neither CALLBOARD_NATS_NKEY nor CALLBOARD_NATS_CREDS.',
    );
  }
  const fileOf = (user: string) => (config.natsUsers === undefined ? one : userFile(config.natsUsers, user));
  return {
    nats_url: servers,
    nats_users: Object.fromEntries(COMMAND_USERS.map((user) => [user, { ...fileOf(user), ...(tls && { tls }) }])),
  };
}

/** Where the files of more users may be than commands need. */
export function usersFolder(variables: NodeJS.ProcessEnv): string | undefined {
  return loadConfig(CommandConfig, variables).natsUsers;
}

/** Where neither file is there, the one that should be is named: whoever connects says that it is missing. */
function userFile(folder: string, user: string): NatsUserFiles {
  const creds = join(folder, `${user}.creds`);
  return existsSync(creds) ? { creds } : { nkey: join(folder, `${user}.nk`) };
}
