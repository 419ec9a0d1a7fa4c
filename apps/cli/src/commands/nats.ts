/** `callboard nats …`: what a nats-server that is not ours must be told about the users of the topology. Needs no stack. */
import { resolve } from 'node:path';
import { DEFAULT_TOPOLOGY, declareTopology, inboxPrefix } from '@callboard/jetstream';
import { writeExternalConfig } from '@callboard/nats-server';
import { Command, Option } from 'commander';
import { Failure } from '../failure.js';
import { printJson, printTable } from '../print.js';
import { jsonOption } from '../running-stack.js';
import { readConfigFile } from '../stack-config.js';

interface ConfigOptions {
  auth: 'nkeys' | 'jwt';
  config?: string;
  tlsDir: string;
  tls: boolean;
  handshakeFirst: boolean;
  storeDir: string;
  rotate: string[];
  retire: string[];
  json: boolean;
}

export function natsCommand(): Command {
  const config = new Command('config')
    .description('write what an external nats-server needs: users, permissions, and an example of the rest')
    .argument('<dir>', 'folder to write to; written again, everybody stays who he is')
    .addOption(
      new Option('--auth <how>', 'users by nkey, or by JWT with an operator')
        .choices(['nkeys', 'jwt'])
        .default('nkeys'),
    )
    .option('--config <file>', 'configuration file of the stack, for its streams')
    .option('--tls-dir <dir>', 'where the server finds ca.crt, tls.crt and tls.key', '/etc/nats/tls')
    .option('--no-tls', 'encrypt nothing: for a network that does')
    .option('--handshake-first', "TLS before the server's first word", false)
    .option('--store-dir <dir>', 'where the server keeps its streams', '/data/jetstream')
    .addOption(namesOption('--rotate <users>', 'give users a new nkey beside the one of before; comma separated'))
    .addOption(namesOption('--retire <users>', 'let go of the nkeys of before; comma separated'))
    .addOption(jsonOption())
    .action(writeConfig);
  const users = new Command('users')
    .description('say what each user of NATS may publish and subscribe to')
    .argument('[user]', 'only this one')
    .addOption(jsonOption())
    .action(listUsers);
  return new Command('nats').description('users and permissions of NATS').addCommand(config).addCommand(users);
}

function namesOption(flags: string, description: string): Option {
  return new Option(flags, description).default([], 'none').argParser((text: string) => text.split(','));
}

async function writeConfig(dir: string, options: ConfigOptions): Promise<void> {
  const { topology } = options.config ? await readConfigFile(options.config) : { topology: DEFAULT_TOPOLOGY };
  const folder = resolve(dir);
  const file = (name: string) => `${options.tlsDir}/${name}`;
  const tls = {
    caFile: file('ca.crt'),
    certFile: file('tls.crt'),
    keyFile: file('tls.key'),
    handshakeFirst: options.handshakeFirst,
  };
  const users = await writeExternalConfig({
    folder,
    topology: declareTopology(topology),
    auth: options.auth,
    server: { storeDir: options.storeDir, ...(options.tls && { tls }) },
    rotate: options.rotate,
    retire: options.retire,
  });
  if (options.json) return printJson({ folder, users });
  printTable(
    ['USER', 'NKEY', 'SECRET'],
    users.map(({ name, nkeys, secret_file }) => [name, nkeys.join(' and ') || '-', secret_file ?? 'moved elsewhere']),
  );
  console.log(`Written to ${folder}: include accounts.conf in the server's configuration, and reload it.`);
}

function listUsers(only: string | undefined, { json }: { json: boolean }): void {
  const all = declareTopology().users;
  const users = only === undefined ? all : all.filter(({ name }) => name === only);
  if (users.length === 0) {
    throw new Failure(`There is no user ${only}. The users are ${all.map(({ name }) => name).join(', ')}.`);
  }
  const described = users.map((user) => ({ ...user, inbox_prefix: inboxPrefix(user.name) }));
  if (json) return printJson({ users: described });
  printTable(
    ['USER', 'MAY', 'SUBJECT'],
    users.flatMap(({ name, publish, subscribe, responds }) => [
      ...publish.allow.map((subject) => [name, 'publish', subject]),
      ...(publish.deny ?? []).map((subject) => [name, 'never publish', subject]),
      ...subscribe.allow.map((subject) => [name, 'subscribe', subject]),
      ...(subscribe.deny ?? []).map((subject) => [name, 'never subscribe', subject]),
      ...(responds ? [[name, 'answer', 'once, within a minute, to whoever asks']] : []),
    ]),
  );
}
