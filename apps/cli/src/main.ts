/** The operator's command line. Exit code 0 only on success; an error is one line on stderr, with the way out. */
import { Command, CommanderError } from 'commander';
import { Failure, messageOf } from './failure.js';

/** In the order of the help. Only what is named is loaded: most commands need little, and some half of the world. */
const COMMANDS: Record<string, () => Promise<Command>> = {
  up: async () => (await import('./commands/up.js')).upCommand(),
  doctor: async () => (await import('./commands/doctor.js')).doctorCommand(),
  demo: async () => (await import('./commands/demo.js')).demoCommand(),
  actions: async () => (await import('./commands/actions.js')).actionsCommand(),
  adapters: async () => (await import('./commands/adapters.js')).adaptersCommand(),
  commands: async () => (await import('./commands/commands.js')).commandsCommand(),
  dlq: async () => (await import('./commands/dlq.js')).dlqCommand(),
  events: async () => (await import('./commands/events.js')).eventsCommand(),
  redact: async () => (await import('./commands/redact.js')).redactCommand(),
  streams: async () => (await import('./commands/streams.js')).streamsCommand(),
};

const program = new Command('callboard')
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
