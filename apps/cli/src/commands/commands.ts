/** `callboard commands show|list|cancel`: what is stored of a command, which have not ended, and ending one. */
import {
  actionId,
  encodeToken,
  outcomeSubject,
  parseAcceptedRecord,
  parseEnvelope,
  parseOutcome,
  parseStoredCommandSubject,
  type AcceptedRecord,
  type AttemptFact,
  type JsonObject,
  type Outcome,
  type Progress,
} from '@callboard/envelope';
import { CommandClient, STREAM, messagesAt, type Cancelled } from '@callboard/jetstream';
import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { Command, Option } from 'commander';
import { Failure } from '../failure.js';
import { printJson, printTable } from '../print.js';
import { StackCommand, asOperator, asUser, findStack, type StackCommandOptions } from '../running-stack.js';
import { ageOf, parseCount } from '../when.js';
import { scheduleCommand } from './schedule.js';

/** About so many are shown, the first ones. */
const MAX_FACTS = 1_000;
const LISTED = 100;

interface StoredCommand {
  correlation_id: string;
  partition: number;
  subject: string;
  stream_sequence: number;
  stored_at: string;
  envelope: JsonObject;
  /** What is on record of attempts: the begun ones of an action that must not be repeated, and those that failed. */
  attempts: AttemptFact[];
  progress: Progress[];
  /** Absent while the command has not ended. */
  outcome?: Outcome;
}

export function commandsCommand(): Command {
  const show = new StackCommand('show')
    .description('envelope, partition, progress and outcome of one command')
    .argument('<correlation_id>', 'as in the _meta of the result, or in an error')
    .action(showCommand);
  const list = new StackCommand('list')
    .description('the commands that have not ended and may outlive their callers, oldest first')
    .option('--tenant <id>', 'of this tenant')
    .option('--action <id>', 'of this action, such as git.clone')
    .option('--key <key>', 'of this ordering key')
    .addOption(new Option('--limit <n>', 'show at most so many').argParser(parseCount).default(LISTED))
    .action(listCommands);
  const cancel = new StackCommand('cancel')
    .description('end a command as cancelled, if it has not ended: it does not begin, or is told to stop')
    .argument('<correlation_id>', 'of the command')
    .action(cancelCommand);
  return new Command('commands')
    .description('what was asked for, and what is to be done later')
    .addCommand(show)
    .addCommand(list)
    .addCommand(cancel)
    .addCommand(scheduleCommand());
}

async function showCommand(correlationId: string, { json, ...where }: StackCommandOptions): Promise<void> {
  const ready = await findStack(where);
  const command = await asUser(ready, 'sre', (nc) => storedCommand(nc, correlationId));
  if (json) return printJson(command);
  printCommand(command);
}

interface ListOptions extends StackCommandOptions {
  tenant?: string;
  action?: string;
  key?: string;
  limit: number;
}

async function listCommands({ json, tenant, action, key, limit, ...where }: ListOptions): Promise<void> {
  const ready = await findStack(where);
  const open = await asUser(ready, 'sre', async (nc) => {
    const jsm = await jetstreamManager(nc, { checkAPI: false });
    const records: AcceptedRecord[] = [];
    const subject = `deadline.${tenant === undefined ? '*' : encodeToken(tenant)}.*`;
    for await (const { data } of messagesAt(jsm, STREAM.outcomes, subject)) {
      const record = parseAcceptedRecord(data);
      if (action !== undefined && actionId(record) !== action) continue;
      if (key !== undefined && record.ordering_key !== key) continue;
      // One that was asked for again after it had ended leaves its record until the deadline.
      const ended = outcomeSubject(record.tenant_id, record.correlation_id);
      if (await jsm.direct.getMessage(STREAM.outcomes, { last_by_subj: ended })) continue;
      // One more tells that there are more.
      if (records.push(record) > limit) break;
    }
    return records;
  });
  const more = open.splice(limit).length > 0;
  if (json) return printJson(open);
  if (open.length === 0) return console.log('No command that fits is open.');
  printTable(
    ['AGE', 'DEADLINE', 'ACTION', 'KEY', 'TENANT', 'CALLER', 'CORRELATION ID'],
    open.map((record) => [
      ageOf(record.issued_at),
      record.deadline_at,
      actionId(record),
      record.ordering_key,
      record.tenant_id,
      record.user_id,
      record.correlation_id,
    ]),
  );
  if (more) console.log(`There are more: --limit shows more than ${limit}.`);
}

async function cancelCommand(correlationId: string, { json, ...where }: StackCommandOptions): Promise<void> {
  const ready = await findStack(where);
  const command = await asUser(ready, 'sre', (nc) => storedCommand(nc, correlationId));
  const { cancelled, onRunner } = await asOperator(ready, { what: 'cancel', correlationId }, async (nc, audit) => {
    const commands = await CommandClient.start(nc, { instance: 'callboard commands cancel', audit });
    let onRunner: 'waiting' | 'running' | undefined;
    try {
      const envelope = parseEnvelope(command.envelope);
      const cancelled: Cancelled = await commands.cancel(envelope, (state) => (onRunner = state));
      return { cancelled, onRunner };
    } finally {
      commands.close();
    }
  });
  const { attempts, outcome } = await asUser(ready, 'sre', (nc) => storedCommand(nc, correlationId));
  if (cancelled === 'ended') throw new Failure(`${correlationId} had ended before: ${outcome?.status ?? 'unknown'}.`);
  const started = onRunner === 'running' || attempts.length > 0 ? true : onRunner === 'waiting' ? false : undefined;
  if (json)
    return printJson({ correlation_id: correlationId, cancelled: true, ...(started !== undefined && { started }) });
  console.log(`${correlationId} is cancelled. ${STARTED[String(started)]}`);
}

const STARTED: Record<string, string> = {
  true: 'It had started: its action was told to stop, and may have had an effect.',
  false: 'It had not started, and will not.',
  undefined: 'No runner has it now: it will not start, and whether it had is not known.',
};

/** @throws Failure when there is none. */
async function storedCommand(nc: NatsConnection, correlationId: string): Promise<StoredCommand> {
  const command = await findCommand(nc, correlationId);
  if (command) return command;
  throw new Failure(
    `No command ${correlationId} is stored. Is it of another stack (--data-dir), or older than the retention?`,
  );
}

/** Finds a command by its id alone: tenant, key and partition are in the subject that it is stored at. */
export async function findCommand(nc: NatsConnection, correlationId: string): Promise<StoredCommand | undefined> {
  const jsm = await jetstreamManager(nc, { checkAPI: false });
  const id = encodeToken(correlationId);
  const stored = await jsm.streams.getMessage(STREAM.commands, { last_by_subj: `cmd.*.*.*.*.*.${id}` });
  if (!stored) return undefined;
  const outcome = await jsm.streams.getMessage(STREAM.outcomes, { last_by_subj: `out.*.${id}` });
  return {
    correlation_id: correlationId,
    partition: parseStoredCommandSubject(stored.subject).partition,
    subject: stored.subject,
    stream_sequence: stored.seq,
    stored_at: stored.timestamp,
    envelope: stored.json<JsonObject>(),
    attempts: await factsAt<AttemptFact>(jsm, STREAM.outcomes, `attempt.*.${id}.>`),
    progress: await factsAt<Progress>(jsm, STREAM.progress, `progress.*.${id}`),
    ...(outcome && { outcome: parseOutcome(outcome.data) }),
  };
}

async function factsAt<T>(jsm: JetStreamManager, stream: string, subject: string): Promise<T[]> {
  const facts: T[] = [];
  for await (const message of messagesAt(jsm, stream, subject)) {
    if (facts.push(message.json<T>()) >= MAX_FACTS) break;
  }
  return facts;
}

function printCommand({ envelope, outcome, attempts, progress, ...stored }: StoredCommand): void {
  console.log(`command    ${stored.correlation_id}`);
  console.log(`stored     ${stored.stored_at}, ${STREAM.commands} sequence ${stored.stream_sequence}`);
  console.log(`partition  ${stored.partition}`);
  console.log(`subject    ${stored.subject}`);
  console.log(`envelope   ${indented(envelope)}`);
  for (const { attempt, correlation_id: _id, ...fact } of attempts) {
    console.log(`attempt    ${attempt} ${JSON.stringify(fact)}`);
  }
  for (const { kind, attempt, correlation_id: _id, ...fact } of progress) {
    console.log(`${kind.padEnd(9)}  attempt ${attempt} ${JSON.stringify(fact)}`);
  }
  console.log(outcome ? `outcome    ${outcome.status}: ${indented(outcome)}` : 'outcome    none yet');
}

function indented(value: unknown): string {
  return JSON.stringify(value, null, 2).replaceAll('\n', '\n           ');
}
