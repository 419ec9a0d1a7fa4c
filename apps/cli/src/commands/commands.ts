/** `callboard commands show`: everything that is stored of one command. */
import {
  encodeToken,
  parseOutcome,
  parseStoredCommandSubject,
  type JsonObject,
  type Outcome,
  type Progress,
} from '@callboard/envelope';
import { STREAM, readSubject } from '@callboard/jetstream';
import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { Command } from 'commander';
import { Failure } from '../failure.js';
import { printJson } from '../print.js';
import { asUser, dataDirOption, findStack, jsonOption, type StackCommandOptions } from '../running-stack.js';

/** About so many are shown, the first ones. */
const MAX_PROGRESS = 1_000;

interface StoredCommand {
  correlation_id: string;
  partition: number;
  subject: string;
  stream_sequence: number;
  stored_at: string;
  envelope: JsonObject;
  progress: Progress[];
  /** Absent while the command has not ended. */
  outcome?: Outcome;
}

export function commandsCommand(): Command {
  const show = new Command('show')
    .description('envelope, partition, progress and outcome of one command')
    .argument('<correlation_id>', 'as in the _meta of the result, or in an error')
    .addOption(dataDirOption())
    .addOption(jsonOption())
    .action(showCommand);
  return new Command('commands').description('what was asked for').addCommand(show);
}

async function showCommand(correlationId: string, { dataDir, json }: StackCommandOptions): Promise<void> {
  const ready = await findStack(dataDir);
  const command = await asUser(ready, 'sre', (nc) => findCommand(nc, correlationId));
  if (!command) {
    throw new Failure(
      `No command ${correlationId} is stored. Is it of another stack (--data-dir), or older than the retention?`,
    );
  }
  if (json) return printJson(command);
  printCommand(command);
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
    progress: await progressOf(jsm, id),
    ...(outcome && { outcome: parseOutcome(outcome.data) }),
  };
}

async function progressOf(jsm: JetStreamManager, id: string): Promise<Progress[]> {
  const progress: Progress[] = [];
  for (let after = 0; progress.length < MAX_PROGRESS;) {
    const messages = await readSubject(jsm, STREAM.progress, `progress.*.${id}`, after);
    if (messages.length === 0) break;
    for (const message of messages) progress.push(message.json<Progress>());
    after = messages.at(-1)!.seq;
  }
  return progress;
}

function printCommand({ envelope, outcome, progress, ...stored }: StoredCommand): void {
  console.log(`command    ${stored.correlation_id}`);
  console.log(`stored     ${stored.stored_at}, ${STREAM.commands} sequence ${stored.stream_sequence}`);
  console.log(`partition  ${stored.partition}`);
  console.log(`subject    ${stored.subject}`);
  console.log(`envelope   ${indented(envelope)}`);
  for (const { kind, attempt, correlation_id: _id, ...fact } of progress) {
    console.log(`${kind.padEnd(9)}  attempt ${attempt} ${JSON.stringify(fact)}`);
  }
  console.log(outcome ? `outcome    ${outcome.status}: ${indented(outcome)}` : 'outcome    none yet');
}

function indented(value: unknown): string {
  return JSON.stringify(value, null, 2).replaceAll('\n', '\n           ');
}
