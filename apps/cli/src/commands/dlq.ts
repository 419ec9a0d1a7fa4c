/** `callboard dlq list|show|redrive|discard`: what gave up, and what becomes of it. */
import { CallboardError } from '@callboard/envelope';
import {
  CommandClient,
  DeadLetterBox,
  Halts,
  redriveAll,
  redrivenCommand,
  type HeldEvent,
  type KeptLetter,
  type LetterFilter,
  type Redrive,
} from '@callboard/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { Argument, Command, Option } from 'commander';
import { Failure, messageOf } from '../failure.js';
import { printJson, printTable } from '../print.js';
import {
  StackCommand,
  asOperator,
  asUser,
  findStack,
  operatorFact,
  type StackCommandOptions,
} from '../running-stack.js';
import { ageOf, parseCount, parseWhen } from '../when.js';

interface FilterOptions extends StackCommandOptions {
  tenant?: string;
  action?: string;
  key?: string;
  reason?: string;
  since?: number;
  until?: number;
  limit?: number;
}

interface BulkOptions extends FilterOptions {
  all: boolean;
  dryRun: boolean;
}

interface RedriveOptions extends BulkOptions {
  rate?: number;
}

const LISTED = 100;

export function dlqCommand(): Command {
  const list = filtered(new StackCommand('list'))
    .description('the dead letters, oldest first')
    .addOption(new Option('--limit <n>', 'show at most so many').argParser(parseCount).default(LISTED))
    .action(listLetters);
  const show = new StackCommand('show')
    .description('one dead letter with its whole envelope; of a held event, nothing that it says')
    .addArgument(sequence())
    .action(showLetter);
  const redrive = bulk(new StackCommand('redrive'))
    .description('run the command of dead letters again, under the same ordering keys; filter held events again')
    .addOption(new Option('--rate <n>', 'begin at most so many a second').argParser(parseCount))
    .action(redriveLetters);
  const discard = bulk(new StackCommand('discard'))
    .description('delete dead letters, and the events held with them, for good')
    .action(discardLetters);
  return new Command('dlq')
    .description('dead letters: what gave up')
    .addCommand(list)
    .addCommand(show)
    .addCommand(redrive)
    .addCommand(discard);
}

const sequence = () => new Argument('<sequence>', 'of the letter, as list shows it').argParser(parseCount);

function filtered(command: Command): Command {
  return command
    .option('--tenant <id>', 'of this tenant')
    .option('--action <id>', 'of this action, such as git.clone')
    .option('--key <key>', 'of this ordering key')
    .option('--reason <code>', 'that gave up for this reason')
    .addOption(new Option('--since <when>', 'gave up since: a time, or 2h for two hours ago').argParser(parseWhen))
    .addOption(new Option('--until <when>', 'gave up before').argParser(parseWhen));
}

function bulk(command: Command): Command {
  return filtered(
    command.addArgument(
      new Argument('[sequence...]', 'of the letters, as list shows them').argParser(
        (text: string, before?: number[]) => [...(before ?? []), parseCount(text)],
      ),
    ),
  )
    .option('--all', 'every letter, where neither a sequence nor a filter says which', false)
    .addOption(new Option('--limit <n>', 'at most so many, the oldest ones').argParser(parseCount))
    .option('--dry-run', 'only say what would be done', false);
}

async function listLetters({ json, limit = LISTED, ...options }: FilterOptions): Promise<void> {
  const ready = await findStack(options);
  const { letters, halting } = await asUser(ready, 'sre', async (nc) => {
    const box = await DeadLetterBox.open(nc);
    // One more tells that there are more.
    return { letters: await take(box.find(filterOf(options)), limit + 1), halting: await haltingLetters(nc) };
  });
  const more = letters.splice(limit).length > 0;
  if (json) return printJson(letters.map((letter) => inShort(letter, halting(letter))));
  if (letters.length === 0) return console.log('No dead letter fits.');
  printTable(
    ['SEQUENCE', 'AGE', 'REASON', 'ACTION', 'KEY', 'ATTEMPTS', 'LAST ERROR', 'TENANT', 'CORRELATION ID'],
    letters.map((letter) => [
      String(letter.letter),
      ageOf(letter.at),
      letter.reason,
      letter.about.action ?? (letter.event ? `event ${letter.event.source}/${letter.event.topic}` : '-'),
      `${letter.about.ordering_key ?? '-'}${halting(letter) ? ' (halted)' : ''}`,
      String(letter.attempts),
      letter.last_error?.code ?? '-',
      letter.about.tenant_id ?? '-',
      letter.about.correlation_id ?? '-',
    ]),
  );
  if (more) console.log(`There are more: --limit shows more than ${limit}.`);
}

async function showLetter(sequence: number, { json, ...where }: StackCommandOptions): Promise<void> {
  const ready = await findStack(where);
  const { letter, halting } = await asUser(ready, 'sre', async (nc) => ({
    letter: await (await DeadLetterBox.open(nc)).get(sequence),
    halting: await haltingLetters(nc),
  }));
  if (!letter) throw new Failure(`There is no dead letter ${sequence}: it was redriven, discarded, or is too old.`);
  const { command, about, envelope, message, ...rest } = letter;
  const whole = {
    ...inShort(letter, halting(letter)),
    ...rest,
    ...(envelope && { envelope }),
    ...(message !== undefined && { message }),
  };
  if (json) return printJson(whole);
  console.log(`dead letter  ${letter.letter}, of ${letter.at}, ${ageOf(letter.at)} ago`);
  console.log(`reason       ${letter.reason}, after ${letter.attempts} attempts`);
  if (letter.last_error) console.log(`last error   ${letter.last_error.code}: ${letter.last_error.message}`);
  if (letter.event) return showEvent(letter, letter.event);
  console.log(
    `action       ${about.action ?? 'none'}, key ${about.ordering_key ?? 'none'}, tenant ${about.tenant_id ?? 'none'}`,
  );
  console.log(`command      ${about.correlation_id ?? 'none'}, ${letter.stream} sequence ${letter.sequence}`);
  console.log(`subject      ${letter.subject}`);
  const content = envelope ? JSON.stringify(envelope, null, 2) : (message ?? '');
  console.log(`${envelope ? 'envelope' : 'message '}     ${content.replaceAll('\n', '\n             ')}`);
  if (halting(letter)) console.log('Its key stands still until this letter is redriven or discarded.');
  if (!command) console.log('It holds no command: it can only be discarded.');
}

/** What it says is not for people to see. */
function showEvent({ stream, sequence }: KeptLetter, event: HeldEvent): void {
  console.log(`event        ${event.name}, of source ${event.source}, tenant ${event.tenant_id}`);
  console.log(`topic        ${event.topic}, ${event.content}, ${event.data_bytes} bytes`);
  console.log(`came as      ${stream} sequence ${sequence}`);
  console.log('The privacy filter holds it: redrive filters it again under the policies of now, discard erases it.');
}

async function redriveLetters(sequences: number[], options: RedriveOptions): Promise<void> {
  const { json, limit, dryRun, rate } = options;
  const filter = selectionOf(sequences, options);
  const ready = await findStack(options);
  const doing = dryRun ? undefined : { what: 'redrive', details: { letters: sequences.map(String) } };
  const fared = await asOperator(ready, doing, async (nc, audit) => {
    const box = await DeadLetterBox.open(nc);
    const letters = first(box.find(filter), limit);
    if (dryRun) return (await take(letters)).map(wouldFare);
    const commands = await CommandClient.start(nc, { instance: 'callboard dlq', audit });
    try {
      return await take(redriveAll(box, commands, letters, rate));
    } finally {
      commands.close();
    }
  });
  const done = fared.filter((each) => 'correlation_id' in each || ('released' in each && each.released));
  if (json) printJson(fared.map(asJson));
  else {
    for (const each of fared) console.log(`${each.letter}  ${inWords(each)}`);
    console.log(dryRun ? `${done.length} would be redriven.` : `${done.length} redriven.`);
  }
  missing(sequences, fared);
  if (done.length < fared.length)
    throw new Failure(`${fared.length - done.length} were not redriven and are still there.`);
}

async function discardLetters(sequences: number[], options: BulkOptions): Promise<void> {
  const { json, limit, dryRun } = options;
  const filter = selectionOf(sequences, options);
  const ready = await findStack(options);
  const discarded = await asOperator(ready, undefined, async (nc, audit) => {
    const box = await DeadLetterBox.open(nc);
    const letters: KeptLetter[] = [];
    for await (const letter of first(box.find(filter), limit)) {
      if (!dryRun) {
        const { tenant_id: tenantId = '', correlation_id: correlationId } = letter.about;
        const details = { letter: letter.letter, reason: letter.reason };
        await audit.record(
          operatorFact({ what: 'discard', tenantId, details, ...(correlationId !== undefined && { correlationId }) }),
        );
        await box.discard(letter);
      }
      letters.push(letter);
    }
    return letters;
  });
  if (json) printJson(discarded.map((letter) => inShort(letter)));
  else {
    for (const { letter, reason, about, event } of discarded)
      console.log(`${letter}  ${reason} ${about.correlation_id ?? event?.name ?? ''}`);
    console.log(`${discarded.length} ${dryRun ? 'would be discarded' : 'discarded'}.`);
  }
  missing(sequences, discarded);
}

function filterOf({
  tenant,
  action,
  key,
  reason,
  since,
  until,
}: Omit<FilterOptions, keyof StackCommandOptions>): LetterFilter {
  return {
    ...(tenant !== undefined && { tenant }),
    ...(action !== undefined && { action }),
    ...(key !== undefined && { key }),
    ...(reason !== undefined && { reason }),
    ...(since !== undefined && { since }),
    ...(until !== undefined && { until }),
  };
}

/** Which letters hold up their key. */
async function haltingLetters(nc: NatsConnection): Promise<(letter: KeptLetter) => boolean> {
  const halts = await Halts.open(nc);
  halts.close();
  return ({ about: { tenant_id, ordering_key, correlation_id } }) =>
    tenant_id !== undefined &&
    ordering_key !== undefined &&
    halts.get(tenant_id, ordering_key)?.correlation_id === correlation_id;
}

/** What a bulk command is for: nothing is everything only when that is said. */
function selectionOf(sequences: number[], options: BulkOptions): LetterFilter {
  const filter = filterOf(options);
  if (sequences.length > 0) return { ...filter, letters: [...new Set(sequences)].sort((a, b) => a - b) };
  if (Object.keys(filter).length === 0 && !options.all) {
    throw new Failure('Say which: sequences, a filter such as --action or --reason, or --all.');
  }
  return filter;
}

function missing(sequences: number[], found: { letter: number }[]): void {
  const gone = sequences.filter((sequence) => !found.some(({ letter }) => letter === sequence));
  if (gone.length > 0) throw new Failure(`No dead letter that fits is at ${gone.join(', ')}.`);
}

async function* first<T>(items: AsyncIterable<T>, limit = Infinity): AsyncGenerator<T> {
  let left = limit;
  for await (const item of items) {
    yield item;
    if (--left <= 0) return;
  }
}

async function take<T>(items: AsyncIterable<T>, limit = Infinity): Promise<T[]> {
  const taken: T[] = [];
  for await (const item of first(items, limit)) taken.push(item);
  return taken;
}

function inShort(letter: KeptLetter, haltsKey?: boolean) {
  const { reason, attempts, last_error, at, about, stream, sequence, subject, command, event } = letter;
  return {
    letter: letter.letter,
    at,
    reason,
    attempts,
    ...(last_error && { last_error }),
    ...about,
    stream,
    sequence,
    subject,
    ...(event && { event }),
    redrivable: command !== undefined || event !== undefined,
    ...(haltsKey !== undefined && { halts_key: haltsKey }),
  };
}

function wouldFare(letter: KeptLetter): Redrive {
  if (letter.event) return { letter: letter.letter, event: letter.event.name, released: true };
  if (!letter.command) return { letter: letter.letter, error: new RangeError('the letter holds no command') };
  const { redrive_of, correlation_id } = redrivenCommand(letter, Date.now());
  return { letter: letter.letter, redrive_of: redrive_of!, correlation_id, before: false };
}

function inWords(fared: Redrive): string {
  if ('released' in fared) return `${fared.event} ${fared.released ? 'passes' : `is held still: ${fared.reason}`}`;
  if ('correlation_id' in fared) {
    return `${fared.redrive_of} -> ${fared.correlation_id}${fared.before ? ', stored by an earlier redrive' : ''}`;
  }
  return 'left' in fared ? 'left: an earlier letter of its key was not redriven' : `failed: ${messageOf(fared.error)}`;
}

function asJson(fared: Redrive): unknown {
  if (!('error' in fared)) return fared;
  const { letter, error } = fared;
  return { letter, error: error instanceof CallboardError ? error.toBody() : { message: messageOf(error) } };
}
