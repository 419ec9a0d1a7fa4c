/**
 * What the runners of a fault run serve. Each attempt writes a line when it begins and one when it acts, with a single write each, so that
 * the log tells from outside what ran, in which order and how often, whoever was killed meanwhile.
 */
import { existsSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ActionError, ActionSet, defineAction, type ActionContext } from '@callboard/actions';
import { z } from 'zod';
import { POLICY, type ActionName, type Work } from './plan.js';

/** Names below `CALLBOARD_DEMO_DIR`. */
export const LOG = 'faults.log';
export const MENDED = 'mended';
export const FATAL = 'faults_fatal';

const input = z.object({
  key: z.string(),
  value: z.number().int(),
  ms: z.number().int(),
  fail: z.number().int(),
  fatal: z.boolean(),
  broken: z.boolean(),
  deaf: z.boolean(),
});
type Args = { key: string; value: number } & Work;

/** The file whose being there means that the cause of a failure is mended. */
export function mendedFile(directory: string, key: string, value: number): string {
  return join(directory, MENDED, `${key}.${value}`);
}

/** What a command that was done returns: the caller knows its own call by it. */
export function resultOf(key: string, value: number): string {
  return `${key}:${value}`;
}

export function actions(env: NodeJS.ProcessEnv): ActionSet {
  const directory = env['CALLBOARD_DEMO_DIR'] ?? 'demo';
  mkdirSync(directory, { recursive: true });
  const log = join(directory, LOG);
  const descriptor = openSync(log, 'a');
  const write = (event: 'began' | 'acted', { key, value }: Args, { correlationId, attempt }: ActionContext) => {
    const line = { event, key, value, correlation_id: correlationId, attempt, at: Date.now(), pid: process.pid };
    writeSync(descriptor, `${JSON.stringify(line)}\n`);
  };

  const run = async (args: Args, context: ActionContext): Promise<string> => {
    write('began', args, context);
    const { key, value, ms, fail, fatal, broken, deaf } = args;
    if (ms > 0) await sleep(ms, undefined, deaf ? {} : { signal: context.signal });
    if (fatal) throw new ActionError('meant to fail for good', { code: FATAL });
    if (context.attempt <= fail) throw new ActionError('meant to fail at first', { retryable: true });
    if (broken && !existsSync(mendedFile(directory, key, value))) {
      throw new ActionError('meant to fail until it is mended', { retryable: true });
    }
    write('acted', args, context);
    return resultOf(key, value);
  };

  const reconcile = ({ key, value }: Args, { correlationId }: ActionContext) => {
    const acted = readFileSync(log, 'utf8')
      .split('\n')
      .some((line) => line.includes(correlationId) && line.includes('"acted"'));
    return acted ? { result: resultOf(key, value) } : ('not_done' as const);
  };

  const define = (name: ActionName) =>
    defineAction({
      id: `faults.${name}`,
      description: `Writes a line when it begins and one when it acts (${name}).`,
      input,
      attributes: { destructive: false, idempotent: !POLICY[name].careful, open_world: false },
      retry: { max_attempts: POLICY[name].maxAttempts, backoff_ms: 100, max_backoff_ms: 400 },
      ordering: { argument: 'key' },
      ...(POLICY[name].halts && { onDeadLetter: 'halt' as const }),
      ...(name === 'told' && { reconcile }),
      run,
    });
  return new ActionSet((Object.keys(POLICY) as ActionName[]).map(define));
}
