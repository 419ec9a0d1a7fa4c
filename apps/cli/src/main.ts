/** The operator's command line. Exit code 0 only on success; an error is one line on stderr, with the way out. */
import { readFile } from 'node:fs/promises';
import { Command, CommanderError } from 'commander';
import { Failure, messageOf } from './failure.js';

/** In the order of the help. Only what is named is loaded: most commands need little, and some half of the world. */
const COMMANDS: Record<string, () => Promise<Command>> = {
  up: async () => (await import('./commands/up.js')).upCommand(),
  doctor: async () => (await import('./commands/doctor.js')).doctorCommand(),
  demo: async () => (await import('./commands/demo.js')).demoCommand(),
  access: async () => (await import('./commands/access.js')).accessCommand(),
  actions: async () => (await import('./commands/actions.js')).actionsCommand(),
  adapters: async () => (await import('./commands/adapters.js')).adaptersCommand(),
  commands: async () => (await import('./commands/commands.js')).commandsCommand(),
  audit: async () => (await import('./commands/audit.js')).auditCommand(),
  deploy: async () => (await import('./commands/deploy.js')).deployCommand(),
  dlq: async () => (await import('./commands/dlq.js')).dlqCommand(),
  events: async () => (await import('./commands/events.js')).eventsCommand(),
  nats: async () => (await import('./commands/nats.js')).natsCommand(),
  login: async () => (await import('./commands/login.js')).loginCommand(),
  logout: async () => (await import('./commands/login.js')).logoutCommand(),
  ping: async () => (await import('./commands/ping.js')).pingCommand(),
  redact: async () => (await import('./commands/redact.js')).redactCommand(),
  sagas: async () => (await import('./commands/sagas.js')).sagasCommand(),
  streams: async () => (await import('./commands/streams.js')).streamsCommand(),
  tenants: async () => (await import('./commands/tenants.js')).tenantsCommand(),
  token: async () => (await import('./commands/login.js')).tokenCommand(),
};

const { version } = JSON.parse(await readFile(new URL('../package.json', import.meta.url), 'utf8')) as {
  version: string;
};
const program = new Command('callboard')
  .version(version)
  .description('The safe, durable road between AI clients and the systems a platform team runs')
  .showHelpAfterError('(--help shows what there is)')
  .exitOverride();
const [named = ''] = process.argv.slice(2);
for (const name of Object.hasOwn(COMMANDS, named) ? [named] : Object.keys(COMMANDS)) {
  program.addCommand(await COMMANDS[name]!());
}

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) process.exit(error.exitCode);
  process.stderr.write(`callboard: ${messageOf(error)}\n`);
  // Not expected: whoever looks into it wants to know where it came from.
  if (!(error instanceof Failure) && error instanceof Error && process.env['CALLBOARD_LOG_LEVEL'] === 'debug') {
    process.stderr.write(`${error.stack}\n`);
  }
  process.exit(1);
}
