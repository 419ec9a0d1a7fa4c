/** `callboard events …`: events, from their sources to the clients. */
import { Command } from 'commander';
import { eraseCommand } from './events-erase.js';
import { tailCommand } from './events-tail.js';

export function eventsCommand(): Command {
  return new Command('events')
    .description('events that came from Backstage and other sources')
    .addCommand(tailCommand())
    .addCommand(eraseCommand());
}
