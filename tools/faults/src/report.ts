/** What a run has to say: the figures, each repeated attempt with the kill that explains it, and the history of each key that broke a rule. */
import type { Answer } from './answer.js';
import type { ExplainedRepetition, Finding } from './checker.js';
import type { Call, History } from './history.js';
import type { Plan } from './plan.js';
import type { FaultReport } from './run.js';

/** Beyond this a report helps nobody; the count says how many there are. */
const KEYS_SHOWN = 5;
const FINDINGS_SHOWN = 40;

export function renderFigures({ history, verdict, loadMs, restMs, retries, stopFailure }: FaultReport): string[] {
  const begun = history.lines.filter(({ event }) => event === 'began').length;
  const endings = countBy(history.outcomes, ({ status, code }) => (status === 'failed' ? (code ?? status) : status));
  const byWait = [...history.calls].sort((a, b) => waitOf(a) - waitOf(b));
  const quantile = (part: number) => waitOf(byWait[Math.min(byWait.length - 1, Math.floor(byWait.length * part))]);
  return [
    `calls                 ${history.calls.length} (${Math.round(history.calls.length / (loadMs / 1000))} a second)`,
    `retries               ${retries}`,
    `wait for a result     p50 ${quantile(0.5)} ms, p99 ${quantile(0.99)} ms, longest ${quantile(1)} ms, retries included`,
    `longest wait          ${renderCall(byWait.at(-1))}`,
    `longest pause         ${longestPause(history.calls)} ms in which no call was answered`,
    `kills                 ${countBy(history.kills, ({ process, leader }) => (leader ? `${process} that led` : process)) || 'none'}`,
    `commands, outcomes    ${history.commands.length}, ${history.outcomes.length}`,
    `endings               ${endings || 'none'}`,
    `attempts begun        ${begun}, of which ${verdict.explained.length} more than planned, each with the kill that explains it`,
    `cancels, redrives     ${history.cancels.length}, ${history.redrives.length}`,
    `duration              ${(loadMs / 1000).toFixed(1)} s under load, ${(restMs / 1000).toFixed(1)} s to rest`,
    `end of the stack      ${stopFailure === undefined ? 'clean' : 'not clean'}`,
  ];
}

/** `one 3, other 1` */
export function countBy<T>(items: readonly T[], nameOf: (item: T) => string): string {
  const counts = new Map<string, number>();
  for (const item of items) counts.set(nameOf(item), (counts.get(nameOf(item)) ?? 0) + 1);
  return [...counts].map(([name, count]) => `${name} ${count}`).join(', ');
}

function waitOf(call: Call | undefined): number {
  return (call?.attempts.at(-1)?.answeredAt ?? 0) - (call?.attempts[0]?.sentAt ?? 0);
}

/** Between two answers that ended a call, whoever had them. */
function longestPause(calls: readonly Call[]): number {
  const answered = calls.map(({ attempts }) => attempts.at(-1)?.answeredAt ?? 0).sort((a, b) => a - b);
  return answered.reduce((longest, at, i) => Math.max(longest, i === 0 ? 0 : at - answered[i - 1]!), 0);
}

function renderCall(call: Call | undefined): string {
  if (!call) return 'none';
  const attempts = call.attempts.map(
    ({ client, sentAt, answeredAt, answer }) => `${client} after ${answeredAt - sentAt} ms: ${renderAnswer(answer)}`,
  );
  return [`${call.key} value ${call.value}`, ...attempts].join('\n                      ');
}

export function renderExplained(explained: readonly ExplainedRepetition[]): string[] {
  return explained.map(({ first, second, kill }) => {
    const gaps = `${kill.at - first.at} ms after the first began, ${second.at - kill.at} ms before the second`;
    return `${first.key} value ${first.value}, lines ${first.line} and ${second.line}, attempts ${first.attempt} and ${second.attempt}: ${kill.process} ${kill.pid} was killed ${gaps}`;
  });
}

/** The findings, and for the first few keys everything that is known about them. */
export function renderFindings(findings: readonly Finding[], history: History): string[] {
  const lines = findings
    .slice(0, FINDINGS_SHOWN)
    .map(({ rule, key, detail }) => `${rule}${key === undefined ? '' : ` (${key})`}: ${detail}`);
  if (findings.length > FINDINGS_SHOWN) lines.push(`and ${findings.length - FINDINGS_SHOWN} more`);
  const keys = [...new Set(findings.flatMap(({ key }) => (key === undefined ? [] : [key])))];
  for (const key of keys.slice(0, KEYS_SHOWN)) {
    lines.push('', `history of ${key}:`, ...renderKey(key, history).map((line) => `  ${line}`));
  }
  if (keys.length > KEYS_SHOWN) lines.push('', `and ${keys.length - KEYS_SHOWN} keys more`);
  return lines;
}

/** Everything about one key and every kill meanwhile, in the order of time. */
export function renderKey(key: string, history: History): string[] {
  const events: { at: number; what: string }[] = [];
  const calls = history.calls.filter((call) => call.key === key);
  for (const { value, attempts, plan } of calls) {
    for (const { client, url, sentAt, answeredAt, answer } of attempts) {
      events.push({ at: sentAt, what: `${client} calls value ${value} at ${url}: ${renderPlan(plan)}` });
      events.push({ at: answeredAt, what: `${client} has for value ${value}: ${renderAnswer(answer)}` });
    }
  }
  for (const { line, event, value, attempt, correlationId, at } of history.lines.filter((line) => line.key === key)) {
    events.push({ at, what: `line ${line}: value ${value} ${event}, attempt ${attempt}, ${correlationId}` });
  }
  const commands = history.commands.filter((command) => command.key === key);
  for (const { sequence, storedAt, value, correlationId, redriveOf } of commands) {
    const again = redriveOf === undefined ? '' : `, redriven from ${redriveOf}`;
    events.push({ at: storedAt, what: `COMMANDS ${sequence}: value ${value} as ${correlationId}${again}` });
  }
  const correlationIds = new Set(commands.map((command) => command.correlationId));
  for (const { sequence, storedAt, correlationId, status, code, attempts, writtenBy } of history.outcomes) {
    if (!correlationIds.has(correlationId)) continue;
    const how = `${status}${code === undefined ? '' : ` (${code})`} after ${attempts ?? 'unknown'} attempts, written by ${writtenBy}`;
    events.push({ at: storedAt, what: `OUTCOMES ${sequence}: ${correlationId} ${how}` });
  }
  for (const { correlationId, askedAt, said } of history.cancels) {
    if (!correlationIds.has(correlationId)) continue;
    events.push({ at: askedAt, what: `the operator cancels ${correlationId}` });
    if (said) events.push({ at: said.at, what: `the operator was told that ${correlationId} is ${said.result}` });
  }
  for (const { redriveOf, askedAt, successor } of history.redrives) {
    if (!correlationIds.has(redriveOf)) continue;
    events.push({ at: askedAt, what: `the operator redrives ${redriveOf}, as ${successor ?? 'nobody knows what'}` });
  }
  const from = Math.min(...events.map(({ at }) => at));
  const to = Math.max(...events.map(({ at }) => at));
  for (const { at, process, pid, replacedAt } of history.kills) {
    if (at >= from && at <= to) events.push({ at, what: `killed ${process} ${pid}` });
    if (replacedAt !== undefined && replacedAt >= from && replacedAt <= to) {
      events.push({ at: replacedAt, what: `replaced ${process} ${pid}` });
    }
  }
  return events
    .sort((a, b) => a.at - b.at)
    .map(({ at, what }) => `${new Date(at).toISOString().slice(11, 23)} ${what}`);
}

function renderPlan({ action, work, priority, deadlineMs, cancelAfterMs }: Plan): string {
  const cancel = cancelAfterMs === undefined ? '' : `, cancelled after ${cancelAfterMs} ms`;
  return `${action} ${JSON.stringify(work)}, ${priority}, deadline ${deadlineMs} ms${cancel}`;
}

function renderAnswer(answer: Answer): string {
  switch (answer.kind) {
    case 'succeeded':
      return `the result of ${answer.correlationId}${answer.replayed ? ', replayed' : ''}`;
    case 'later':
      return `${answer.code}, to be tried again`;
    case 'lost':
      return `no answer (${answer.reason})`;
    case 'refused':
      return `${answer.code}: ${answer.message}`;
  }
}
