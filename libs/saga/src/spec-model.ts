/**
 * Every way in which a saga can go: all states that are reached by whatever it may be told, in any order, too late, twice, or for nobody.
 *
 * The search keeps a record of its own of what happened in the world (`World`: what was done, what may have been, what was undone), taken
 * from what it told and not from what the engine made of it, and holds every transition and every end against the rules below. An engine
 * is passed in, so that a wrong one can be.
 *
 * Rules: a saga that ended decides nothing more (`final`); nothing begins once it stops (`stopped`); what is undone ended last of what is
 * still to be undone, alone, when all that ran has ended (`order`); it ends with everything done or everything undone (`whole`); what is
 * late, told twice or unknown decides nothing (`news`); decisions and states are the same every time, also from facts that were stored
 * (`same`); something that is out will tell it more (`out`), and from every state an end can be reached (`ends`).
 */
import type { JsonObject } from '@callboard/envelope';
import type { SagaDefinition, StepDefinition } from './definition.js';
import { parseSagaFact, type Doing, type SagaFact } from './fact.js';
import {
  decide,
  evolve,
  initialState,
  isEnded,
  outstanding,
  sagaCorrelationId,
  type Effect,
  type OutcomeInput,
  type SagaInput,
  type SagaState,
} from './index.js';

export interface Engine {
  decide: typeof decide;
  evolve: typeof evolve;
  outstanding: typeof outstanding;
}

export const ENGINE: Engine = { decide, evolve, outstanding };

export const AT = '2026-01-01T00:00:00.000Z';
const APPROVER = 'alice';

export class BrokenRule extends Error {
  override readonly name = 'BrokenRule';
  constructor(
    readonly rule: string,
    what: string,
    path: readonly string[],
  ) {
    super(`${rule}: ${what}\n  after ${path.join('\n        ')}`);
  }
}

/** What happened, as the one who made it happen knows. */
interface World {
  /** Steps that had their effect, or may have. */
  acted: Readonly<Record<string, 'done' | 'maybe'>>;
  undone: readonly string[];
  /** Steps that an operator left as they were. */
  left: readonly string[];
}

interface Visit {
  state: SagaState;
  world: World;
  from: number;
  by: SagaInput;
  next: number[];
}

export interface Model {
  definition?: SagaDefinition;
  /** Calls of an envelope saga that may join, with or without something that undoes them. */
  calls?: readonly { step: string; compensated: boolean }[];
  /** Also tell it that nothing is retried, that it was in doubt, and so on; fewer kinds of ends make larger sagas possible. */
  ends?: readonly Ending[];
  /** And of the commands that undo; the same when it is absent. */
  undoEnds?: readonly Ending[];
}

/** How a command can end. */
export type Ending = 'succeeded' | 'failed' | 'unstarted' | 'in_doubt' | 'dead_lettered';
export const ALL_ENDINGS: readonly Ending[] = ['succeeded', 'failed', 'unstarted', 'in_doubt', 'dead_lettered'];

export interface Explored {
  states: number;
  transitions: number;
  ends: Readonly<Record<string, number>>;
}

/** @throws BrokenRule with the way there. */
export function explore(model: Model, engine: Engine = ENGINE, most = 1_000_000): Explored {
  const visits: Visit[] = [];
  const known = new Map<string, number>();
  let transitions = 0;
  const wayTo = (at: number): string[] => {
    const way: string[] = [];
    for (let i = at; i >= 0; i = visits[i]!.from) way.unshift(describeInput(visits[i]!.by));
    return way;
  };
  const visit = (state: SagaState, world: World, from: number, by: SagaInput): number => {
    const key = keyOf(state, world);
    const before = known.get(key);
    if (before !== undefined) return before;
    known.set(key, visits.length);
    visits.push({ state: deepFreeze(state), world, from, by, next: [] });
    if (visits.length > most) throw new RangeError(`more than ${most} states`);
    return visits.length - 1;
  };

  const start: SagaInput = {
    kind: 'start',
    at: AT,
    saga_id: 's',
    tenant_id: 't',
    user_id: 'u',
    input: { no: false },
    ...(model.definition && { definition: model.definition }),
  };
  const begun = engine.decide(initialState(), start).reduce(engine.evolve, initialState());
  visit(begun, { acted: {}, undone: [], left: [] }, -1, start);

  for (let at = 0; at < visits.length; at++) {
    const { state, world } = visits[at]!;
    const broken = (rule: string, what: string, by?: SagaInput): never => {
      throw new BrokenRule(rule, what, [...wayTo(at), ...(by ? [describeInput(by)] : [])]);
    };
    const effects = engine.outstanding(state);
    if (isEnded(state)) checkEnd(model, state, world, broken);
    else if (effects.length === 0) broken('out', 'nothing is out, and it has not ended');
    if (new Set(effects.map(({ id }) => id)).size < effects.length) broken('same', 'two effects have one id');

    for (const { input, world: after, stale } of inputs(model, start, state, world, effects)) {
      transitions++;
      const facts = engine.decide(state, input);
      if (isEnded(state) && facts.length > 0) broken('final', 'it ended and decides more', input);
      if (stale && facts.length > 0) broken('news', `decides ${facts[0]!.fact}`, input);
      if (facts.length === 0) continue;
      if (JSON.stringify(engine.decide(state, input)) !== JSON.stringify(facts))
        broken('same', 'decides otherwise', input);
      const stored = facts.map((fact) => parseSagaFact(JSON.stringify(fact)));
      const next = stored.reduce(
        (before, fact) => checkFact(engine, before, fact, (rule, what) => broken(rule, what, input)),
        state,
      );
      if (JSON.stringify(facts.reduce(engine.evolve, state)) !== JSON.stringify(next))
        broken('same', 'comes to another state', input);
      visits[at]!.next.push(visit(next, after, at, input));
    }
  }
  checkThatAllEnd(visits, wayTo);
  const ends: Record<string, number> = {};
  for (const { state } of visits) if (isEnded(state)) ends[state.phase] = (ends[state.phase] ?? 0) + 1;
  return { states: visits.length, transitions, ends };
}

/** Equal for states that nothing can tell apart by what follows: why something failed is kept in a state, and never looked at. */
function keyOf({ phase, steps, ended, complete, left }: SagaState, world: World): string {
  const essence = Object.entries(steps).map(([path, step]) => {
    const { status, attempt, in_doubt, undo, undoing } = step;
    const end = step.ended !== undefined && status !== 'succeeded' && status !== 'skipped' ? 'ended' : status;
    const back = undoing && [undoing.status, undoing.attempt, undoing.attempts_before];
    return [path, end, attempt, in_doubt, step.ended, undo && 'error' in undo ? 'unknown' : undo !== undefined, back];
  });
  return JSON.stringify([phase, essence, ended, complete, left.length, world]);
}

interface Told {
  input: SagaInput;
  world: World;
  /** It is no news, whatever the engine thinks. */
  stale?: true;
}

/** Whatever it may be told now, and what is true of the world when it is. */
function inputs(
  { calls = [], ends = ALL_ENDINGS, undoEnds = ends }: Model,
  start: SagaInput,
  state: SagaState,
  world: World,
  effects: readonly Effect[],
): Told[] {
  const told: Told[] = [{ input: start, world, stale: true }];
  const out = new Set<string>();
  const cancelled = new Set(effects.flatMap((effect) => (effect.kind === 'cancel' ? [effect.correlation_id] : [])));
  const commands = effects.filter((effect) => effect.kind === 'command' || effect.kind === 'watch');
  for (const command of commands) {
    out.add(command.correlation_id);
    const possible = command.kind === 'command' && command.doing === 'undo' ? undoEnds : ends;
    for (const ending of possible) told.push(endOf(command, ending, world));
    if (cancelled.has(command.correlation_id)) told.push(endOf(command, 'in_doubt', world, 'cancelled'));
  }
  for (const id of commandIds(state)) {
    if (out.has(id)) continue;
    const late = { kind: 'outcome', at: AT, correlation_id: id } as const;
    told.push({ input: { ...late, status: 'succeeded', result: {} }, world, stale: true });
    told.push({ input: { ...late, status: 'dead_lettered' }, world, stale: true });
  }
  const timers = new Set(effects.flatMap((effect) => (effect.kind === 'timer' ? [effect.id] : [])));
  for (const timer of timers) told.push({ input: { kind: 'timer', at: AT, timer }, world });
  for (const timer of ['deadline', ...oldTimers(state)]) {
    if (!timers.has(timer)) told.push({ input: { kind: 'timer', at: AT, timer }, world, stale: true });
  }
  for (const [step, { question }] of Object.entries(state.steps)) {
    if (!question) continue;
    const asked = effects.some((effect) => effect.kind === 'approval' && effect.step === step);
    const answer = { kind: 'approval', at: AT, step } as const;
    const stale = asked && state.phase === 'running' ? {} : ({ stale: true } as const);
    told.push({ input: { ...answer, approved: true, by: APPROVER }, world, ...stale });
    told.push({ input: { ...answer, approved: false, by: APPROVER }, world, ...stale });
    told.push({ input: { ...answer, approved: true, by: 'mallory' }, world, stale: true });
  }
  told.push({ input: { kind: 'abort', at: AT, by: 'u' }, world });
  told.push({ input: { kind: 'complete', at: AT, by: 'u' }, world, ...(state.definition && { stale: true }) });
  for (const verb of ['retry', 'skip', 'abort'] as const) {
    const halted = effects.find((effect) => effect.kind === 'operator');
    // One more round is enough to see that it works; more would have no end.
    if (verb === 'retry' && halted && state.steps[halted.step]!.undoing!.attempts_before > 0) continue;
    const input: SagaInput = { kind: 'operator', at: AT, verb, by: 'op' };
    if (!halted) told.push({ input, world, stale: true });
    else
      told.push({
        input,
        world: leave(world, verb === 'abort' ? undone(world) : verb === 'skip' ? [halted.step] : []),
      });
  }
  calls.forEach(({ step, compensated }, i) => {
    const known = Object.values(state.steps).some(({ command }) => command?.correlation_id === `call-${i}`);
    told.push({
      input: {
        kind: 'join',
        at: AT,
        step,
        correlation_id: `call-${i}`,
        action: { tool: 'demo', method: step },
        ordering_key: 'k',
        ...(compensated && { compensation: { tool: 'demo', method: 'undo', args: {} } }),
      },
      world,
      ...((known || isEnded(state)) && { stale: true }),
    });
  });
  return told;
}

function undone(world: World): string[] {
  return Object.keys(world.acted).filter((step) => !world.undone.includes(step) && !world.left.includes(step));
}

function leave(world: World, steps: readonly string[]): World {
  return { ...world, left: [...world.left, ...steps].sort() };
}

function endOf(
  command: { step: string; correlation_id: string; doing?: Doing },
  ending: Ending,
  world: World,
  doubtful: 'deadline_exceeded' | 'cancelled' = 'deadline_exceeded',
): Told {
  const { step, correlation_id, doing = 'act' } = command;
  const base = { kind: 'outcome', at: AT, correlation_id } as const;
  const ends: Record<Ending, OutcomeInput> = {
    succeeded: { ...base, status: 'succeeded', result: { structuredContent: { id: step } } },
    failed: { ...base, status: 'failed', error: { code: 'action_failed', message: 'no', retryable: false } },
    unstarted: { ...base, status: doubtful, attempts: 0 },
    in_doubt: { ...base, status: doubtful },
    dead_lettered: { ...base, status: 'dead_lettered' },
  };
  return { input: ends[ending], world: happened(world, step, doing, ending) };
}

function happened(world: World, step: string, doing: Doing, ending: Ending): World {
  if (doing === 'undo') {
    return ending === 'succeeded' ? { ...world, undone: [...world.undone, step].sort() } : world;
  }
  if (ending === 'succeeded') return { ...world, acted: { ...world.acted, [step]: 'done' } };
  if (ending === 'in_doubt') return { ...world, acted: { ...world.acted, [step]: 'maybe' } };
  return world;
}

/** Commands that there have been, or may be yet: of the attempts so far and of the next one. */
function commandIds(state: SagaState): string[] {
  const ids = ['unknown'];
  for (const [path, { attempt, command, undoing }] of Object.entries(state.steps)) {
    if (command?.joined) ids.push(command.correlation_id);
    for (let n = 1; n <= attempt + 1; n++) ids.push(commandId(path, 'act', n));
    for (let n = 1; n <= (undoing?.attempt ?? 0) + 1; n++) ids.push(commandId(path, 'undo', n));
  }
  return ids;
}

const commandIdsKnown = new Map<string, string>();

function commandId(path: string, doing: Doing, attempt: number): string {
  const key = `${path} ${doing} ${attempt}`;
  const id = commandIdsKnown.get(key) ?? sagaCorrelationId('t', 's', path, doing, attempt);
  commandIdsKnown.set(key, id);
  return id;
}

function oldTimers(state: SagaState): string[] {
  return Object.entries(state.steps).flatMap(([path, { attempt, undoing }]) => [
    `retry:act:${attempt}:${path}`,
    `retry:undo:${undoing?.attempt ?? 1}:${path}`,
    `approval:${path}`,
  ]);
}

type Broken = (rule: string, what: string) => never;

function checkFact(engine: Engine, before: SagaState, fact: SagaFact, broken: Broken): SagaState {
  if (isEnded(before)) broken('final', `${fact.fact} after its end`);
  if ((fact.fact === 'step_started' || fact.fact === 'approval_requested') && before.phase !== 'running') {
    broken('stopped', `${fact.step} begins while it is ${before.phase}`);
  }
  if (fact.fact === 'compensation_started') checkOrder(before, fact.step, fact.attempt === 1, broken);
  return engine.evolve(before, fact);
}

/** Another attempt goes on with what was begun, whatever call has joined or ended since. */
function checkOrder(state: SagaState, step: string, first: boolean, broken: Broken): void {
  const steps = Object.entries(state.steps);
  const ended = state.steps[step]?.ended;
  if (ended === undefined) return broken('order', `${step} is undone before it has ended`);
  if (first && steps.some(([, each]) => each.ended === undefined))
    broken('order', `${step} is undone while something runs`);
  for (const [path, { ended: other, undo, undoing }] of steps) {
    if (path === step) continue;
    if (undoing?.status === 'running' || undoing?.status === 'retrying')
      broken('order', `${step} and ${path} are undone at once`);
    const toDo = undo && undoing?.status !== 'undone' && undoing?.status !== 'skipped';
    if (first && toDo && other! > ended) broken('order', `${step} is undone before ${path}, which ended after it`);
  }
}

function checkEnd({ definition, calls = [] }: Model, state: SagaState, world: World, broken: Broken): void {
  const compensated = new Set(
    definition ? compensatedSteps(definition.steps) : calls.filter((call) => call.compensated).map(({ step }) => step),
  );
  const acted = Object.keys(world.acted);
  if (state.phase === 'succeeded') {
    if (world.undone.length > 0) broken('whole', `it succeeded, and ${world.undone.join()} is undone`);
    const amiss = Object.entries(state.steps).filter(
      ([, { status }]) => status !== 'succeeded' && status !== 'skipped',
    );
    if (amiss.length > 0) broken('whole', `it succeeded, and ${amiss[0]![0]} is ${amiss[0]![1].status}`);
    return;
  }
  for (const step of world.undone) if (!acted.includes(step)) broken('whole', `${step} is undone and was never done`);
  const left = acted.filter((step) => compensated.has(step) && !world.undone.includes(step));
  const unasked = left.filter((step) => !world.left.includes(step));
  if (unasked.length > 0) broken('whole', `it is ${state.phase}, and ${unasked.join()} is done and not undone`);
  if (state.phase === 'compensated' && left.length > 0)
    broken('whole', `it is compensated, and ${left.join()} was left`);
}

function compensatedSteps(steps: readonly StepDefinition[], parent = ''): string[] {
  return steps.flatMap((step) => {
    if (step.kind === 'parallel') return compensatedSteps(step.branches.flat(), parent);
    if (step.kind === 'saga') return compensatedSteps(step.steps, `${parent}${step.name}/`);
    return step.kind === 'action' && step.compensation ? [parent + step.name] : [];
  });
}

/** Backwards from the ends: what is not reached cannot end. */
function checkThatAllEnd(visits: readonly Visit[], wayTo: (at: number) => string[]): void {
  const before: number[][] = visits.map(() => []);
  visits.forEach(({ next }, at) => next.forEach((after) => before[after]!.push(at)));
  const ending = new Set<number>();
  const open = visits.flatMap(({ state }, at) => (isEnded(state) ? [at] : []));
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    if (ending.has(at)) continue;
    ending.add(at);
    open.push(...before[at]!);
  }
  const stuck = visits.findIndex((_, at) => !ending.has(at));
  if (stuck >= 0) throw new BrokenRule('ends', 'no end can be reached any more', wayTo(stuck));
}

function describeInput(input: SagaInput): string {
  if (input.kind === 'start') return 'start';
  const { at: _, kind, ...rest } = input as SagaInput & JsonObject;
  return `${kind} ${JSON.stringify(rest)}`;
}

function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  Object.freeze(value);
  Object.values(value).forEach(deepFreeze);
  return value;
}
