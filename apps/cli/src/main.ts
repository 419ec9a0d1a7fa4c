/** The operator's command line. Exit code 0 only on success; an error is one line on stderr, with the way out. */
import { Command, CommanderError } from 'commander';
import { actionsCommand } from './commands/actions.js';
import { adaptersCommand } from './commands/adapters.js';
import { commandsCommand } from './commands/commands.js';
import { demoCommand } from './commands/demo.js';
import { dlqCommand } from './commands/dlq.js';
import { doctorCommand } from './commands/doctor.js';
import { streamsCommand } from './commands/streams.js';
import { upCommand } from './commands/up.js';
import { Failure, messageOf } from './failure.js';

const program = new Command('callboard')
  .description('The safe, durable road between AI clients and the systems a platform team runs')
  .showHelpAfterError('(--help shows what there is)')
  .exitOverride();
for (const command of [upCommand(), doctorCommand(), demoCommand()]) program.addCommand(command);
for (const noun of [actionsCommand(), adaptersCommand(), commandsCommand(), dlqCommand(), streamsCommand()]) {
  program.addCommand(noun);
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
