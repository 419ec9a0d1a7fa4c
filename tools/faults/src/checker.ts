/**
 * The rules of the fault test, as a pure function over a recorded history.
 *
 * What it holds Callboard to:
 *   answered     every call ended with an answer, and it is what the stream says of its command;
 *   stored       every call is exactly one command, under the correlation id that its caller was told; a call that was made after
 *                another of its key was answered is stored after it; nothing is stored that nobody asked for;
 *   one outcome  every command has exactly one, of a kind that what was planned for it, a cancel, its deadline or a kill accounts for;
 *   order        attempts of a key begin in the order in which its commands are stored, whatever their priority, and none before the
 *                command before it has its outcome. After a dead letter that halts its key, the redriven command takes its place;
 *   attempts     they are numbered upwards, and one more than the plan needs is explained by a kill. Their number keeps to the policy;
 *   effects      what succeeded has acted. What may not be repeated has acted once at most, and without a way to tell it has also begun once
 *                at most; anything else acts again only when its runner was killed after it acted;
 *   in doubt     only what may not be repeated, and cannot tell, and only with a kill;
 *   deadlines    nothing begins after its deadline; `deadline_exceeded` is written not before it, and everything has ended soon after it;
 *   cancels      what was said to be cancelled is, and does not begin any more;
 *   dead letters each has its outcome and its envelope, each such outcome its letter; what was redriven has exactly one successor;
 *   quiet        everything was handed out, and is known to have ended.
 *
 * What it cannot see: which runner wrote a line, so a kill of any runner in between explains a repetition.
 */
import { FATAL } from './actions.js';
import type { Call, Cancel, History, Kill, Letter, Line, Redrive, StoredCommand, StoredOutcome } from './history.js';
import { POLICY } from './plan.js';

export const RULES = [
  'unanswered',
  'other answer',
  'command missing',
  'command doubled',
  'command unknown',
  'command out of order',
  'other correlation id',
  'outcome missing',
  'outcome doubled',
  'outcome unknown',
  'outcome unexpected',
  'effect lost',
  'effect doubled',
  'effect unexpected',
  'begun unknown',
  'begun out of order',
  'begun too early',
  'begun after its deadline',
  'begun after its outcome',
  'begun in a halted key',
  'attempt unexplained',
  'attempts miscounted',
  'in doubt without a kill',
  'deadline too early',
  'deadline too late',
  'cancel lost',
  'cancel ignored',
  'letter missing',
  'letter without outcome',
  'letter without envelope',
  'redrive lost',
  'redrive doubled',
  'redrive unknown',
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

/** An attempt more than was planned, that a kill accounts for. */
export interface ExplainedRepetition {
  first: Line;
  second: Line;
  kill: Kill;
}

export interface Verdict {
  findings: Finding[];
  explained: ExplainedRepetition[];
}

/** A line's time is taken just before it is written, a kill's just after the signal: clocks may cross by this much. */
const CLOCK_SLACK_MS = 20;
/** A timer of Node may fire a millisecond early, and times are cut to whole ones. */
const TIMER_SLACK_MS = 2;
/** From the last look at the deadline to the first line of the handler, on a machine that is busy. */
const START_SLACK_MS = 150;
/** A runner cannot know that it lost its partition before it has reached the new nats-server. */
const RECONNECT_MS = 2_000;
/** The same while the nodes of a cluster elect leaders of dozens of streams, on a machine that is busy. */
const ELECTION_MS = 15_000;
/** How soon after its deadline a command has ended. */
const LATE_MS = 2_000;
/** The same after a process was replaced: a lease must expire, the next owner must have read what is there. */
const REPAIR_MS = 10_000;
/** Attempts that a command has at least when its runners die: see `run-command.ts`. */
const LEAST_AFTER_CRASHES = 3;

/** One command with everything that is known of it. */
interface Story {
  command: StoredCommand;
  outcome: StoredOutcome | undefined;
  begun: readonly Line[];
  acted: readonly Line[];
  cancel: Cancel | undefined;
  redrive: Redrive | undefined;
  letters: readonly Letter[];
  /** Of runners and nats-server, from its acceptance to its outcome. */
  kills: readonly Kill[];
  /** Its place in its key. */
  place: number;
  found(rule: Rule, detail: string): void;
}

export function check(history: History): Verdict {
  const findings: Finding[] = [];
  const explained: ExplainedRepetition[] = [];
  const stories = tellStories(history, findings);

  findings.push(...checkCalls(history), ...checkStrangers(history, stories));
  for (const story of stories.values()) {
    checkEnding(story);
    explained.push(...checkAttempts(story));
    checkEffects(story);
    checkTimes(story, history.kills);
    checkLetter(story);
  }
  for (const ofKey of groupBy([...stories.values()], ({ command }) => command.orderingKey).values()) {
    checkOrder(ofKey);
  }
  findings.push(...checkRedrives(history, stories), ...checkQuiet(history));
  return { findings, explained };
}

function tellStories(history: History, findings: Finding[]): Map<string, Story> {
  const outcomes = groupBy(history.outcomes, ({ correlationId }) => correlationId);
  const lines = groupBy(history.lines, ({ correlationId }) => correlationId);
  const letters = groupBy(history.letters, ({ correlationId = '' }) => correlationId);
  const cancels = new Map(history.cancels.map((cancel) => [cancel.correlationId, cancel]));
  const redrives = new Map(history.redrives.map((redrive) => [redrive.redriveOf, redrive]));
  const places = placesOf(history.commands);
  const dangerous = history.kills.filter(({ process }) => process === 'action-runner' || process === 'nats-server');
  const stories = new Map<string, Story>();
  for (const command of history.commands) {
    const { correlationId } = command;
    const found = (rule: Rule, detail: string) => {
      const name = `${correlationId}, value ${command.value}`;
      findings.push({ rule, key: command.key, detail: `${name}: ${detail}` });
    };
    const [outcome, ...more] = outcomes.get(correlationId) ?? [];
    if (!outcome) found('outcome missing', `the command at sequence ${command.sequence} has no outcome`);
    else if (more.length > 0) found('outcome doubled', [outcome, ...more].map(describeOutcome).join('; '));
    const ofCommand = lines.get(correlationId) ?? [];
    stories.set(correlationId, {
      command,
      outcome,
      begun: ofCommand.filter(({ event }) => event === 'began'),
      acted: ofCommand.filter(({ event }) => event === 'acted'),
      cancel: cancels.get(correlationId),
      redrive: redrives.get(correlationId),
      letters: letters.get(correlationId) ?? [],
      kills: dangerous.filter((kill) => touches(kill, command.storedAt, outcome?.storedAt ?? Number.POSITIVE_INFINITY)),
      place: places.get(correlationId)!,
      found,
    });
  }
  return stories;
}

/** A redriven command comes last in its key like any other, but for a key that was held for it. */
function placesOf(commands: readonly StoredCommand[]): Map<string, number> {
  const places = new Map<string, number>();
  for (const { correlationId, sequence, action, redriveOf } of commands) {
    const before = redriveOf === undefined ? undefined : places.get(redriveOf);
    places.set(correlationId, before !== undefined && POLICY[action].halts ? before + 0.001 : sequence);
  }
  return places;
}

/** Every call ended, with the answer that is stored, and is stored once and in its place. */
function checkCalls(history: History): Finding[] {
  const findings: Finding[] = [];
  const commands = groupBy(
    history.commands.filter(({ idempotencyKey }) => idempotencyKey !== ''),
    ({ idempotencyKey }) => idempotencyKey,
  );
  const outcomes = new Map(history.outcomes.map((outcome) => [outcome.correlationId, outcome]));
  for (const ofKey of groupBy(history.calls, ({ key }) => key).values()) {
    const stored: { call: Call; command: StoredCommand }[] = [];
    for (const call of ofKey) {
      const { key, value } = call;
      const found = (rule: Rule, detail: string) => findings.push({ rule, key, detail: `value ${value}: ${detail}` });
      const [command, ...more] = commands.get(call.idempotencyKey) ?? [];
      checkAnswers(call, command, command && outcomes.get(command.correlationId), found);
      if (!command) {
        found('command missing', 'it was called, and COMMANDS does not have it');
        continue;
      }
      stored.push({ call, command });
      if (more.length > 0) {
        const sequences = [command, ...more].map(({ sequence }) => sequence).join(', ');
        found('command doubled', `it is stored at sequences ${sequences}`);
      }
    }
    for (const earlier of stored) {
      const answeredAt = earlier.call.attempts.at(-1)?.answeredAt ?? Number.POSITIVE_INFINITY;
      const overtaken = stored.find(
        ({ call, command }) =>
          (call.attempts[0]?.sentAt ?? 0) > answeredAt && command.sequence < earlier.command.sequence,
      );
      if (overtaken) {
        const detail = `value ${overtaken.call.value} was called after the answer to value ${earlier.call.value}, and is stored before it`;
        findings.push({ rule: 'command out of order', key: earlier.call.key, detail });
      }
    }
  }
  return findings;
}

function checkAnswers(
  { key, value, attempts }: Call,
  command: StoredCommand | undefined,
  outcome: StoredOutcome | undefined,
  found: (rule: Rule, detail: string) => void,
): void {
  const answers = attempts.map(({ answer }) => answer);
  const last = answers.at(-1);
  if (!last) found('unanswered', 'was never called');
  else if (last.kind === 'lost') found('unanswered', `no answer (${last.reason})`);
  else if (last.kind === 'later') found('unanswered', `later with ${last.code}`);
  else if (outcome) {
    const told = last.kind === 'succeeded' ? 'succeeded' : last.code;
    const is = outcome.status === 'succeeded' ? 'succeeded' : outcome.code;
    if (told !== is) found('other answer', `the caller was told ${told}, and stored is ${describeOutcome(outcome)}`);
    if (last.kind === 'succeeded' && last.text !== `${key}:${value}`) found('other answer', `it is "${last.text}"`);
  }
  for (const answer of answers) {
    if (answer.kind === 'lost') continue;
    // A refusal before acceptance has no correlation id to name; a result always has.
    if (answer.correlationId === undefined && answer.kind !== 'succeeded') continue;
    if (command && answer.correlationId !== command.correlationId) {
      found('other correlation id', `answered as ${answer.correlationId}, stored as ${command.correlationId}`);
    }
  }
}

/** Nothing is stored or done that nobody asked for. */
function checkStrangers(history: History, stories: ReadonlyMap<string, Story>): Finding[] {
  const findings: Finding[] = [];
  const asked = new Set(history.calls.map((call) => call.idempotencyKey));
  for (const { correlationId, idempotencyKey, redriveOf } of history.commands) {
    if (redriveOf === undefined && !asked.has(idempotencyKey)) {
      findings.push({ rule: 'command unknown', detail: `${correlationId}: nobody called "${idempotencyKey}"` });
    }
  }
  for (const correlationId of new Set(history.outcomes.map((outcome) => outcome.correlationId))) {
    if (!stories.has(correlationId)) {
      findings.push({ rule: 'outcome unknown', detail: `${correlationId}: an outcome without a command` });
    }
  }
  for (const { line, correlationId, key, value } of history.lines) {
    const command = stories.get(correlationId)?.command;
    if (!command)
      findings.push({ rule: 'begun unknown', detail: `line ${line}: there is no command ${correlationId}` });
    else if (command.key !== key || command.value !== value) {
      findings.push({ rule: 'begun unknown', key, detail: `line ${line}: ${correlationId} is ${describe(command)}` });
    }
  }
  for (const line of history.unreadableLines) findings.push({ rule: 'log unreadable', detail: `line ${line}` });
  return findings;
}

/** The outcome is one that something accounts for. */
function checkEnding(story: Story): void {
  const { command, outcome, begun, cancel, kills, redrive, found } = story;
  if (!outcome) return;
  const { action, work } = command;
  const broken = work.broken && command.redriveOf === undefined;
  const policy = POLICY[action];
  const unexpected = (why: string) => found('outcome unexpected', `${describeOutcome(outcome)}: ${why}`);
  switch (outcome.status) {
    case 'succeeded':
      if (work.fatal || broken) unexpected('it was meant to fail');
      break;
    case 'failed':
      if (outcome.code === 'in_doubt') {
        if (action !== 'once') unexpected('what became of it can be told, or it may be repeated');
        else if (!kills.some((kill) => begun.every(({ at }) => touches(kill, at, Number.POSITIVE_INFINITY)))) {
          found('in doubt without a kill', describeOutcome(outcome));
        }
      } else if (outcome.code !== FATAL || !work.fatal) unexpected('it was not meant to fail so');
      break;
    case 'dead_lettered': {
      const most = Math.max(policy.maxAttempts, LEAST_AFTER_CRASHES);
      const failures = broken ? policy.maxAttempts : Math.min(work.fail, policy.maxAttempts);
      const gaveUp = !policy.careful && (failures >= policy.maxAttempts || failures + kills.length >= most);
      if (!gaveUp) unexpected('it had attempts left');
      break;
    }
    case 'cancelled':
      if (!cancel || cancel.askedAt > outcome.storedAt + CLOCK_SLACK_MS) unexpected('nobody cancelled it');
      break;
    case 'deadline_exceeded':
      if (outcome.storedAt < command.deadlineAt - TIMER_SLACK_MS) {
        found('deadline too early', `${command.deadlineAt - outcome.storedAt} ms before it`);
      }
  }
  if (cancel?.said?.result === 'cancelled' && outcome.status !== 'cancelled') {
    found('cancel lost', `it was said to be cancelled, and is ${describeOutcome(outcome)}`);
  }
  if (cancel?.said?.result === 'ended' && outcome.status === 'cancelled') {
    found('cancel lost', 'it was said to have ended otherwise, and is cancelled');
  }
  if (redrive && outcome.status !== 'dead_lettered') unexpected('it was redriven');
}

/** Attempts are numbered upwards, none was one too many, and the outcome says how many there were. */
function checkAttempts({ command, outcome, begun, acted, kills, found }: Story): ExplainedRepetition[] {
  const explained: ExplainedRepetition[] = [];
  const { action, work } = command;
  const { maxAttempts } = POLICY[action];
  const failsByPlan = ({ attempt }: Line) =>
    !work.fatal && (attempt <= work.fail || (work.broken && command.redriveOf === undefined));
  for (const [index, second] of begun.entries()) {
    const first = begun[index - 1];
    if (!first) continue;
    const what = `lines ${first.line} and ${second.line}, attempts ${first.attempt} and ${second.attempt}`;
    if (second.attempt <= first.attempt) found('attempt unexplained', `${what}: not numbered upwards`);
    if (action === 'once') found('attempt unexplained', `${what}: it must not be repeated`);
    else if (!failsByPlan(first) || acted.some(({ attempt }) => attempt === first.attempt)) {
      const kill = kills.find((candidate) => touches(candidate, first.at, second.at));
      if (kill) explained.push({ first, second, kill });
      else found('attempt unexplained', `${what}: no kill of a runner or nats-server lies between`);
    }
  }
  const most = Math.max(maxAttempts, kills.length > 0 ? LEAST_AFTER_CRASHES : 0) + kills.length;
  if (begun.length > most)
    found('attempts miscounted', `it began ${begun.length} times, its policy says ${maxAttempts}`);
  const highest = begun.at(-1)?.attempt ?? 0;
  const stated = outcome?.attempts;
  if (stated === undefined || outcome?.status === 'cancelled') return explained;
  // Killed between the record of an attempt and its first line, it counts and has no line.
  if (stated < highest || (stated > highest && kills.length === 0)) {
    found('attempts miscounted', `${describeOutcome(outcome!)}, and the last that began is ${highest}`);
  }
  if (outcome?.status === 'dead_lettered' && stated < maxAttempts) {
    found('attempts miscounted', `it gave up after ${stated} attempts of ${maxAttempts}`);
  }
  return explained;
}

/** What succeeded has acted; nothing acted more often than it may. */
function checkEffects({ command, outcome, acted, kills, found }: Story): void {
  const { action, work } = command;
  if (outcome?.status === 'succeeded' && acted.length === 0) found('effect lost', 'it succeeded, and never acted');
  const never = work.fatal || (work.broken && command.redriveOf === undefined);
  if (never && acted[0]) found('effect unexpected', `line ${acted[0].line}: it was meant to fail before`);
  for (const [index, second] of acted.entries()) {
    const first = acted[index - 1];
    if (!first) continue;
    const what = `lines ${first.line} and ${second.line}`;
    if (POLICY[action].careful) found('effect doubled', `${what}: it must not be repeated`);
    else if (!kills.some((kill) => touches(kill, first.at, second.at))) {
      found('effect doubled', `${what}: no kill of a runner or nats-server lies between`);
    }
  }
}

/** Deadlines, and what must not begin any more. */
function checkTimes({ command, outcome, begun, cancel, found }: Story, kills: readonly Kill[]): void {
  for (const { line, at } of begun) {
    if (at > command.deadlineAt + START_SLACK_MS) {
      found('begun after its deadline', `line ${line}: ${at - command.deadlineAt} ms after it`);
    }
    const said = cancel?.said;
    if (said?.result === 'cancelled' && at > said.at + CLOCK_SLACK_MS) {
      found('cancel ignored', `line ${line}: it began ${at - said.at} ms after it was said to be cancelled`);
    } else if (outcome && outcome.status !== 'cancelled' && at > outcome.storedAt + START_SLACK_MS) {
      found('begun after its outcome', `line ${line}: ${at - outcome.storedAt} ms after it`);
    }
  }
  if (!outcome) return;
  const latest = latestEnding(command.deadlineAt, kills);
  if (outcome.storedAt > latest) {
    const late = `${outcome.storedAt - command.deadlineAt} ms after its deadline`;
    found('deadline too late', `${describeOutcome(outcome)}, ${late}`);
  }
}

/** When a command must have ended: soon after its deadline, and after the repairs that go on at that time. */
function latestEnding(deadlineAt: number, kills: readonly Kill[]): number {
  let latest = deadlineAt + LATE_MS;
  for (const { at, replacedAt = Number.POSITIVE_INFINITY } of kills) {
    if (at <= latest && replacedAt + REPAIR_MS >= deadlineAt) latest = Math.max(latest, replacedAt + REPAIR_MS);
  }
  return latest;
}

function checkLetter({ outcome, letters, found }: Story): void {
  if (outcome?.status === 'dead_lettered' && letters.length === 0) found('letter missing', describeOutcome(outcome));
  if (letters.length > 0 && outcome && outcome.status !== 'dead_lettered') {
    found('letter without outcome', describeOutcome(outcome));
  }
}

/** The lines of a key are in the order of its commands, and each command waits for those before it. */
function checkOrder(stories: readonly Story[]): void {
  const inPlace = [...stories].sort((a, b) => a.place - b.place);
  const lines = inPlace.flatMap((story) => [...story.begun, ...story.acted].map((line) => ({ line, story })));
  lines.sort((a, b) => a.line.line - b.line.line);
  let last: (typeof lines)[number] | undefined;
  for (const each of lines) {
    if (last && each.story.place < last.story.place) {
      const { line } = each;
      const after = `after line ${last.line.line} of ${describe(last.story.command)}, which comes later in its key`;
      each.story.found('begun out of order', `line ${line.line} ${after}`);
    } else last = each;
  }
  for (const [index, story] of inPlace.entries()) {
    const began = story.begun[0];
    if (!began) continue;
    for (const before of inPlace.slice(0, index)) {
      const { command, outcome, redrive } = before;
      if (!outcome || outcome.storedAt > began.at + CLOCK_SLACK_MS) {
        story.found('begun too early', `line ${began.line}: ${describe(command)} before it had not ended`);
      } else if (outcome.status === 'dead_lettered' && POLICY[command.action].halts) {
        if (!redrive || redrive.askedAt > began.at + CLOCK_SLACK_MS) {
          story.found('begun in a halted key', `line ${began.line}: nobody had redriven ${describe(command)}`);
        }
      }
    }
  }
}

function checkRedrives(history: History, stories: ReadonlyMap<string, Story>): Finding[] {
  const findings: Finding[] = [];
  const successors = groupBy(
    history.commands.filter(({ redriveOf }) => redriveOf !== undefined),
    ({ redriveOf }) => redriveOf!,
  );
  const redriven = new Set(history.redrives.map(({ redriveOf }) => redriveOf));
  for (const { redriveOf, successor } of history.redrives) {
    if (successor !== undefined && !stories.has(successor)) {
      findings.push({ rule: 'redrive lost', detail: `${redriveOf}: there is no command ${successor}` });
    }
  }
  for (const [redriveOf, commands] of successors) {
    const names = commands.map(({ correlationId }) => correlationId).join(', ');
    if (!redriven.has(redriveOf)) findings.push({ rule: 'redrive unknown', detail: `${redriveOf} as ${names}` });
    if (commands.length > 1) findings.push({ rule: 'redrive doubled', detail: `${redriveOf} as ${names}` });
  }
  for (const { sequence, correlationId } of history.letters) {
    if (correlationId === undefined) {
      findings.push({ rule: 'letter without envelope', detail: `dead letter ${sequence}` });
    } else if (!stories.get(correlationId)?.outcome) {
      findings.push({ rule: 'letter without outcome', detail: `dead letter ${sequence}, of ${correlationId}` });
    }
  }
  return findings;
}

/** Does a kill fall into a time? Without nats-server a runner can finish what it had begun, and cannot say so until it is back. */
function touches(kill: Kill, from: number, to: number): boolean {
  const back = (kill.replacedAt ?? Number.POSITIVE_INFINITY) + (kill.node ? ELECTION_MS : RECONNECT_MS);
  const until = kill.process === 'nats-server' ? back : kill.at;
  return kill.at <= to + CLOCK_SLACK_MS && until >= from - CLOCK_SLACK_MS;
}

function describe({ correlationId, value, sequence }: StoredCommand): string {
  return `${correlationId} (value ${value}, sequence ${sequence})`;
}

function describeOutcome({ status, code, attempts, sequence, writtenBy }: StoredOutcome): string {
  const why = code === undefined ? '' : ` with ${code}`;
  return `${status}${why} after ${attempts ?? 'unknown'} attempts, at sequence ${sequence} by ${writtenBy}`;
}

function checkQuiet(history: History): Finding[] {
  return history.partitions
    .filter(({ pending, unfinished }) => pending > 0 || unfinished > 0)
    .map(({ partition, pending, unfinished }) => ({
      rule: 'stuck',
      detail: `partition ${partition}: ${pending} not handed out, ${unfinished} not known to have ended`,
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
