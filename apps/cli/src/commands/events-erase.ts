/** `callboard events erase`: has the privacy filter forget an event, wherever it is kept. */
import { FilterControl, type ErasedEvents, type FilterVerbs } from '@callboard/jetstream';
import { Command } from 'commander';
import { Failure } from '../failure.js';
import { printJson, printTable } from '../print.js';
import { StackCommand, asOperator, findStack, type StackCommandOptions } from '../running-stack.js';

interface EraseOptions extends StackCommandOptions {
  tenant: string;
  source?: string;
  id?: string;
}

const EVENT_NAME = /^e_[\w-]{43}$/;

export function eraseCommand(): Command {
  return new StackCommand('erase')
    .description('erase an event wherever it is kept: as it came, held back, as clients see it, and its dead letter')
    .argument('[event]', 'its name, e_…, as dlq list and clients show it')
    .option('--source <name>', 'or: the configured source that it came from …')
    .option('--id <id>', '… and the id that the source gave it')
    .option('--tenant <id>', 'of this tenant', 'default')
    .action(erase);
}

async function erase(event: string | undefined, { json, ...options }: EraseOptions): Promise<void> {
  const asked = askedFor(event, options);
  const ready = await findStack(options);
  const doing = {
    what: 'erase',
    tenantId: options.tenant,
    details: { what: 'event' },
    target: event ?? `${options.source} ${options.id}`,
  };
  const erased = await asOperator(ready, doing, (nc) => new FilterControl(nc).ask('erase', asked));
  if (json) printJson(erased);
  else if (erased.names.length > 0) show(erased);
  if (erased.names.length === 0) {
    throw new Failure('No such event is kept. It was erased before, is too old, or is known by another id.');
  }
}

function askedFor(event: string | undefined, { tenant, source, id }: Omit<EraseOptions, keyof StackCommandOptions>) {
  if (event !== undefined && source === undefined && id === undefined) {
    if (EVENT_NAME.test(event)) return { event };
    throw new Failure(
      'An event is named e_ and 43 characters. With --source and --id it is found by what its source calls it.',
    );
  }
  if (event === undefined && source !== undefined && id !== undefined) {
    return { tenant, source, id } satisfies FilterVerbs['erase']['asked'];
  }
  throw new Failure('Say which: the name of an event, or both --source and --id.');
}

function show({ names, raw, held, events, letters }: ErasedEvents): void {
  printTable(
    ['ERASED FROM', 'MESSAGES'],
    [
      ['EVENTS_RAW', String(raw)],
      ['EVENTS_HELD', String(held)],
      ['EVENTS', String(events)],
      ['DEAD_LETTERS', String(letters)],
    ],
  );
  console.log(names.join('\n'));
}
