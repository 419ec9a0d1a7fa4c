/**
 * The rules of the fault test, as a pure function over a recorded history.
 *
 * What it holds Callboard to:
 *   answered     every call ended with the action's result;
 *   stored       every call is exactly one command in COMMANDS, under the correlation id that its caller was told, and commands of a
 *                key are stored in the order they were issued; nothing is stored that nobody called;
 *   one outcome  every command has exactly one outcome, which is `succeeded`, and no outcome is without a command;
 *   effects      `append.log` has every value of a key, in order. A value may stand there twice in one case only: its runner was
 *                killed between the effect and the outcome. Then the second line has the same correlation id and a higher attempt,
 *                follows the first with no other value of the key between, and a recorded kill lies between the two;
 *   quiet        nothing is pending or waits for an ack.
 *
 * What it cannot see: which runner wrote a line, so a kill of any runner in between explains a second line.
 */
import type { Answer } from './answer.js';
import {
  idempotencyKeyOf,
  type Call,
  type Effect,
  type History,
  type Kill,
  type StoredCommand,
  type StoredOutcome,
} from './history.js';

export const RULES = [
  'unanswered',
  'command missing',
  'command doubled',
  'command unknown',
  'command out of order',
  'other correlation id',
  'outcome missing',
  'outcome doubled',
  'outcome unknown',
  'outcome not succeeded',
  'effect lost',
  'effect doubled',
  'effect out of order',
  'effect unknown',
  'duplicate unexplained',
  'log unreadable',
  'stuck',
] as const;
export type Rule = (typeof RULES)[number];

export interface Finding {
  rule: Rule;
  /** Absent where no single key is concerned. */
  key?: string;
  detail: string;
}

/** A second line in the log that a kill accounts for. */
export interface ExplainedDuplicate {
  first: Effect;
  second: Effect;
  kill: Kill;
}

export interface Verdict {
  findings: Finding[];
  explained: ExplainedDuplicate[];
}

/** A line's time is taken just before it is written, a kill's just after the signal: clocks may cross by this much. */
const CLOCK_SLACK_MS = 20;
/** A runner cannot know that it lost its partition before it has reached the new nats-server. */
const RECONNECT_MS = 2_000;

export function check(history: History): Verdict {
  const commands = groupBy(history.commands, (command) => command.idempotencyKey);
  const findings: Finding[] = [];
  const explained: ExplainedDuplicate[] = [];
  const calls = groupBy(history.calls, (call) => call.key);
  const effects = groupBy(history.effects, (effect) => effect.key);

  for (const key of history.expected.keys) {
    const ofKey: KeyHistory = {
      values: Array.from({ length: history.expected.valuesPerKey }, (_, value) => value),
      calls: new Map((calls.get(key) ?? []).map((call) => [call.value, call])),
      commandsOf: (value) => commands.get(idempotencyKeyOf(key, value)) ?? [],
      effects: effects.get(key) ?? [],
      kills: history.kills,
      found: (rule, detail) => findings.push({ rule, key, detail }),
    };
    checkAnswers(ofKey);
    checkCommands(ofKey);
    explained.push(...checkEffects(ofKey));
  }
  findings.push(...checkStrangers(history, commands, effects), ...checkOutcomes(history), ...checkQuiet(history));
  return { findings, explained };
}

interface KeyHistory {
  values: readonly number[];
  calls: ReadonlyMap<number, Call>;
  commandsOf(value: number): readonly StoredCommand[];
  effects: readonly Effect[];
  kills: readonly Kill[];
  found(rule: Rule, detail: string): void;
}

/** Every call ended well, and whatever it was told on the way names the stored command. */
function checkAnswers({ values, calls, commandsOf, found }: KeyHistory): void {
  for (const value of values) {
    const answers = calls.get(value)?.attempts.map(({ answer }) => answer) ?? [];
    const last = answers.at(-1);
    if (last?.kind !== 'succeeded') found('unanswered', `value ${value}: ${describeEnd(last)}`);
    const [command] = commandsOf(value);
    for (const answer of answers) {
      if (answer.kind === 'lost') continue;
      // A refusal before acceptance has no correlation id to name; a result always has.
      if (answer.correlationId === undefined && answer.kind !== 'succeeded') continue;
      if (command && answer.correlationId !== command.correlationId) {
        const said = `answered as ${answer.correlationId}, stored as ${command.correlationId}`;
        found('other correlation id', `value ${value}: ${said}`);
      }
    }
  }
}

/** Every call that was made is one stored command, and they are stored in the order of the calls. */
function checkCommands({ values, calls, commandsOf, found }: KeyHistory): void {
  let previous: { value: number; sequence: number } | undefined;
  for (const value of values) {
    const [command, ...more] = commandsOf(value);
    if (!command) {
      if (calls.has(value)) found('command missing', `value ${value} was called, and COMMANDS does not have it`);
      continue;
    }
    if (more.length > 0) {
      const sequences = [command, ...more].map(({ sequence }) => sequence).join(', ');
      found('command doubled', `value ${value} is stored at sequences ${sequences}`);
    }
    if (previous && command.sequence < previous.sequence) {
      found('command out of order', `value ${value} is stored before value ${previous.value}`);
    }
    previous = { value, sequence: command.sequence };
  }
}

function describeEnd(answer: Exclude<Answer, { kind: 'succeeded' }> | undefined): string {
  if (!answer) return 'was never called';
  return answer.kind === 'lost' ? `no answer (${answer.reason})` : `${answer.kind} with ${answer.code}`;
}

/** The key's lines in the log are its values in order; returns the second lines that a kill explains. */
function checkEffects({ values, commandsOf, effects, kills, found }: KeyHistory): ExplainedDuplicate[] {
  const explained: ExplainedDuplicate[] = [];
  const seen = new Set<number>();
  let due = 0;
  let previous: Effect | undefined;
  for (const effect of effects) {
    const { line, value } = effect;
    if (values[value] === undefined) {
      found('effect unknown', `line ${line}: nobody called value ${value}`);
      continue;
    }
    const [command] = commandsOf(value);
    if (command && command.correlationId !== effect.correlationId) {
      const said = `value ${value} as ${effect.correlationId}, stored as ${command.correlationId}`;
      found('other correlation id', `line ${line}: ${said}`);
    }
    if (previous?.value === value) {
      const kill = judgeDuplicate(previous, effect, kills, found);
      if (kill) explained.push({ first: previous, second: effect, kill });
    } else if (seen.has(value)) {
      found('effect doubled', `line ${line}: value ${value} again, after value ${previous?.value}`);
    } else if (value !== due) {
      found('effect out of order', `line ${line}: value ${value} where ${due} was due`);
    }
    seen.add(value);
    due = Math.max(due, value + 1);
    previous = effect;
  }
  for (const value of values) {
    if (!seen.has(value)) found('effect lost', `value ${value} is not in the log`);
  }
  return explained;
}

function judgeDuplicate(
  first: Effect,
  second: Effect,
  kills: readonly Kill[],
  found: KeyHistory['found'],
): Kill | undefined {
  const what = `lines ${first.line} and ${second.line}: value ${first.value}`;
  if (second.correlationId !== first.correlationId) {
    found('duplicate unexplained', `${what} of two commands, ${first.correlationId} and ${second.correlationId}`);
    return undefined;
  }
  if (second.attempt <= first.attempt) {
    found('duplicate unexplained', `${what} twice, and attempt ${second.attempt} follows attempt ${first.attempt}`);
    return undefined;
  }
  const kill = kills.find((candidate) => explains(candidate, first, second));
  if (!kill) found('duplicate unexplained', `${what} twice, and no kill of a runner or nats-server lies between`);
  return kill;
}

function explains(kill: Kill, first: Effect, second: Effect): boolean {
  if (kill.process === 'action-runner') {
    return kill.at >= first.at - CLOCK_SLACK_MS && kill.at <= second.at + CLOCK_SLACK_MS;
  }
  if (kill.process === 'nats-server') {
    // Without nats-server a runner can finish what it had begun, and cannot say so.
    const until = kill.replacedAt === undefined ? Number.POSITIVE_INFINITY : kill.replacedAt + RECONNECT_MS;
    return kill.at <= second.at + CLOCK_SLACK_MS && until >= first.at - CLOCK_SLACK_MS;
  }
  return false;
}

/** Nothing is stored or done that no client asked for. */
function checkStrangers(
  history: History,
  commands: ReadonlyMap<string, StoredCommand[]>,
  effects: ReadonlyMap<string, Effect[]>,
): Finding[] {
  const findings: Finding[] = [];
  const asked = new Set(history.calls.map((call) => call.idempotencyKey));
  for (const [idempotencyKey, [command]] of commands) {
    if (!asked.has(idempotencyKey)) {
      findings.push({ rule: 'command unknown', detail: `${command?.correlationId}: nobody called ${idempotencyKey}` });
    }
  }
  const keys = new Set(history.expected.keys);
  for (const [key, [effect]] of effects) {
    if (!keys.has(key))
      findings.push({ rule: 'effect unknown', detail: `line ${effect?.line}: nobody used key ${key}` });
  }
  for (const line of history.unreadableLines) findings.push({ rule: 'log unreadable', detail: `line ${line}` });
  return findings;
}

/** Every command has one outcome, and it is the right one. */
function checkOutcomes(history: History): Finding[] {
  const findings: Finding[] = [];
  const outcomes = groupBy(history.outcomes, (outcome) => outcome.correlationId);
  const keys = new Map(history.calls.map((call) => [call.idempotencyKey, call.key]));
  const commands = new Map(history.commands.map((command) => [command.correlationId, command]));
  for (const command of commands.values()) {
    const key = keys.get(command.idempotencyKey);
    const found = (rule: Rule, detail: string) =>
      findings.push({ rule, ...(key !== undefined && { key }), detail: `${command.correlationId}: ${detail}` });
    const [outcome, ...more] = outcomes.get(command.correlationId) ?? [];
    if (!outcome) {
      found('outcome missing', `the command at sequence ${command.sequence} has no outcome`);
      continue;
    }
    if (more.length > 0) found('outcome doubled', [outcome, ...more].map(describeOutcome).join('; '));
    if (outcome.status !== 'succeeded') found('outcome not succeeded', describeOutcome(outcome));
  }
  for (const correlationId of outcomes.keys()) {
    if (!commands.has(correlationId)) {
      findings.push({ rule: 'outcome unknown', detail: `${correlationId}: an outcome without a command` });
    }
  }
  return findings;
}

function describeOutcome(outcome: StoredOutcome): string {
  return `${outcome.status} at sequence ${outcome.sequence} by ${outcome.writtenBy}`;
}

function checkQuiet(history: History): Finding[] {
  return history.consumers
    .filter(({ pending, ackPending }) => pending > 0 || ackPending > 0)
    .map(({ name, pending, ackPending }) => ({
      rule: 'stuck',
      detail: `consumer ${name}: ${pending} pending, ${ackPending} wait for an ack`,
    }));
}

function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group) group.push(item);
    else groups.set(key, [item]);
  }
  return groups;
}
