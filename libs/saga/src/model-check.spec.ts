import { describe, expect, it } from '@jest/globals';
import type { ActionStep, SagaDefinition, StepDefinition } from './definition.js';
import {
  decide,
  evolve,
  initialState,
  isEnded,
  outstanding,
  sagaCorrelationId,
  type SagaFact,
  type SagaState,
} from './index.js';
import { toUndo } from './state.js';
import {
  ALL_ENDINGS,
  BrokenRule,
  ENGINE,
  explore,
  type Ending,
  type Engine,
  type Explored,
  type Model,
} from './spec-model.js';

/** `SAGA_MODEL=full npm test -- libs/saga`: all kinds of steps in all shapes of four, in about an hour. */
const FULL = process.env['SAGA_MODEL'] === 'full';

const once = { max_attempts: 1, backoff_ms: 1_000, max_backoff_ms: 1_000 };
const twice = { ...once, max_attempts: 2 };
const FEW: readonly Ending[] = ['succeeded', 'failed', 'in_doubt'];

/** Steps that cannot be undone are looked at with three steps at most, but for the full check. */
const undoEnds = FULL ? {} : { undoEnds: ['succeeded'] as const };

type Kind = 'undoable' | 'plain' | 'skipped' | 'retried' | 'approval' | 'stubborn';

function step(name: string, kind: Kind): StepDefinition {
  if (kind === 'approval') return { kind, name, prompt: 'Well?', approvers: ['alice'], deadline_ms: 1_000 };
  const action: ActionStep = { kind: 'action', name, action: 'demo.do', args: {} };
  if (kind === 'plain') return action;
  return {
    ...action,
    ...(kind === 'skipped' && { when: 'input.no' }),
    ...(kind === 'retried' && { retry: twice }),
    compensation: {
      action: 'demo.undo',
      args: {},
      retry: kind === 'stubborn' ? twice : once,
      in_doubt: 'undo',
    },
  };
}

const NAMES = ['a', 'b', 'c', 'd'];

/** A shape is a list of steps (1) and of groups of branches, each with how many steps it has. */
type Shape = readonly (1 | readonly number[])[];

/** All shapes of so many steps: 1, 2, 6 and 18 of them for 1 to 4. */
function shapes(steps: number): Shape[] {
  if (steps === 0) return [[]];
  const all: Shape[] = shapes(steps - 1).map((rest) => [1, ...rest]);
  for (let size = 2; size <= steps; size++) {
    for (const group of groups(size)) all.push(...shapes(steps - size).map((rest) => [group, ...rest] as Shape));
  }
  return all;
}

/** All ways to part so many steps into two branches or more. */
function groups(size: number): number[][] {
  const parts = (left: number): number[][] =>
    left === 0
      ? [[]]
      : Array.from({ length: left }, (_, i) => parts(left - i - 1).map((rest) => [i + 1, ...rest])).flat();
  return parts(size).filter((group) => group.length > 1);
}

function sagaOf(shape: Shape, kinds: readonly Kind[]): SagaDefinition {
  let next = 0;
  const one = (): StepDefinition => step(NAMES[next]!, kinds[next++]!);
  const steps = shape.map((part): StepDefinition =>
    part === 1 ? one() : { kind: 'parallel', branches: part.map((size) => Array.from({ length: size }, one)) },
  );
  return definitionOf(steps);
}

function definitionOf(steps: readonly StepDefinition[]): SagaDefinition {
  return {
    definition_version: '1.0',
    id: 'demo.saga',
    version: 1,
    description: 'd',
    input_schema: {},
    deadline_ms: 60_000,
    steps,
  };
}

/** All ways to give so many steps one of these kinds each. */
function kindsOf(steps: number, kinds: readonly Kind[]): Kind[][] {
  return steps === 0 ? [[]] : kindsOf(steps - 1, kinds).flatMap((rest) => kinds.map((kind) => [...rest, kind]));
}

function exploreAll(models: readonly Model[]): Explored & { models: number } {
  const sum = { models: models.length, states: 0, transitions: 0, ends: {} as Record<string, number> };
  for (const model of models) {
    const { states, transitions, ends } = explore(model);
    sum.states += states;
    sum.transitions += transitions;
    for (const [end, count] of Object.entries(ends)) sum.ends[end] = (sum.ends[end] ?? 0) + count;
  }
  if (process.env['SAGA_MODEL']) process.stdout.write(`${JSON.stringify(sum)}\n`);
  return sum;
}

/** Seconds of work on a machine with nothing else to do, and there may be else. */
const TIMEOUT_MS = FULL ? 7_200_000 : 240_000;

describe('whatever a saga is told, and in whatever order, it ends with everything done or everything undone', () => {
  it.each([1, 2])(
    'with %i steps of every kind, in every shape',
    (steps) => {
      const kinds: Kind[] = ['undoable', 'plain', 'skipped', 'retried', 'approval', 'stubborn'];
      const models = shapes(steps).flatMap((shape) =>
        kindsOf(steps, kinds).map((each) => ({
          definition: sagaOf(shape, each),
          ends: ALL_ENDINGS,
          ...(steps > 1 && !FULL && { undoEnds: ['succeeded', 'dead_lettered'] as const }),
        })),
      );
      expect(models).toHaveLength(steps === 1 ? 6 : 72);
      const { ends } = exploreAll(models);
      expect(Object.keys(ends).sort()).toEqual(['compensated', 'failed', 'succeeded']);
    },
    TIMEOUT_MS,
  );

  it(
    'with three steps, in every shape',
    () => {
      const kinds: Kind[] = FULL
        ? ['undoable', 'plain', 'skipped', 'retried', 'approval']
        : ['undoable', 'plain', 'skipped'];
      const models = shapes(3).flatMap((shape) =>
        kindsOf(3, kinds).map((each) => ({ definition: sagaOf(shape, each), ends: FEW, ...undoEnds })),
      );
      expect(models).toHaveLength(6 * kinds.length ** 3);
      exploreAll(models);
    },
    TIMEOUT_MS,
  );

  it(
    'with four steps, in every shape',
    () => {
      const all = FULL
        ? kindsOf(4, ['undoable', 'plain', 'skipped'])
        : [['undoable', 'undoable', 'undoable', 'undoable'] as Kind[]];
      const ends = FULL ? FEW : (['succeeded', 'failed'] as const);
      const models = shapes(4).flatMap((shape) =>
        all.map((each) => ({ definition: sagaOf(shape, each), ends, ...undoEnds })),
      );
      expect(shapes(4)).toHaveLength(18);
      exploreAll(models);
    },
    TIMEOUT_MS,
  );

  it(
    'with sagas within sagas',
    () => {
      const within = (name: string, steps: readonly StepDefinition[]): StepDefinition => ({
        kind: 'saga',
        name,
        saga: 'demo.sub',
        version: 1,
        input: { no: '${{ input.no }}' },
        steps,
        output: { id: '${{ saga.id }}' },
      });
      const definitions = shapes(2).flatMap((shape) => {
        const { steps } = sagaOf(shape, ['undoable', 'skipped']);
        return [
          [within('sub', steps), step('z', 'undoable')],
          [step('z', 'undoable'), within('sub', [within('deep', steps)])],
        ];
      });
      exploreAll(definitions.map((steps) => ({ definition: definitionOf(steps), ends: FEW })));
    },
    TIMEOUT_MS,
  );

  it.each([[[true, true]], [[true, false]], ...(FULL ? [[[true, true, true]], [[true, false, true]]] : [])])(
    'with calls that join, also too late: undone by something: %j',
    (compensated) => {
      const calls = compensated.map((each, i) => ({ step: NAMES[i]!, compensated: each }));
      const { ends } = exploreAll([{ calls, ends: FEW, ...(!FULL && { undoEnds: ['succeeded', 'failed'] as const }) }]);
      expect(Object.keys(ends).sort()).toEqual(['compensated', 'failed', 'succeeded']);
    },
  );
});

/** What the rules are for. Each is the engine with one mistake. */
const MISTAKES: Record<string, { engine: Engine; rule: string }> = {
  'undoes in the order in which steps were done': {
    rule: 'order',
    engine: withDecisions((state, facts) =>
      withState(state, facts, (before, fact) => {
        const first = toUndo(before).at(-1);
        if (fact.fact !== 'compensation_started' || first === undefined) return fact;
        return { ...fact, step: first, correlation_id: sagaCorrelationId('t', 's', first, 'undo', fact.attempt) };
      }),
    ),
  },
  'never begins to undo': {
    rule: 'out',
    engine: {
      ...ENGINE,
      decide: (state, input) => decide(state, input).filter(({ fact }) => fact !== 'compensation_started'),
    },
  },
  'begins a step after an abort': {
    rule: 'stopped',
    engine: withDecisions((state, facts) => {
      const begun = Object.keys(state.steps).length;
      const abort = facts.some(({ fact }) => fact === 'abort_requested');
      const late: SagaFact = { fact_version: '1.0', at: '', fact: 'step_started', step: 'late', attempt: 1, args: {} };
      return abort && begun > 0 ? [...facts, late] : facts;
    }),
  },
  'believes a late outcome': {
    rule: 'news',
    engine: {
      ...ENGINE,
      decide: (state, input) => {
        if (input.kind !== 'outcome') return decide(state, input);
        const running = outstanding(state).find((effect) => effect.kind === 'command');
        return decide(state, running ? { ...input, correlation_id: running.correlation_id } : input);
      },
    },
  },
  'goes on after its end': {
    rule: 'final',
    engine: {
      ...ENGINE,
      decide: (state, input) =>
        isEnded(state) && input.kind === 'abort'
          ? [{ fact_version: '1.0', at: '', fact: 'abort_requested', by: 'u' }]
          : decide(state, input),
    },
  },
  'takes what is in doubt for what was not done': {
    rule: 'whole',
    engine: {
      ...ENGINE,
      decide: (state, input) => decide(state, input.kind === 'outcome' ? { ...input, attempts: 0 } : input),
    },
  },
  'forgets the command that undoes': {
    rule: 'out',
    engine: {
      ...ENGINE,
      outstanding: (state) =>
        outstanding(state).filter((effect) => effect.kind !== 'command' || effect.doing !== 'undo'),
    },
  },
  'decides otherwise the second time': { rule: 'same', engine: fickle() },
};

function fickle(): Engine {
  let times = 0;
  return withDecisions((_, facts) => facts.map((fact) => ({ ...fact, at: String(times++) })));
}

function withDecisions(change: (state: SagaState, facts: SagaFact[]) => SagaFact[]): Engine {
  return { ...ENGINE, decide: (state, input) => change(state, decide(state, input)) };
}

function withState(
  state: SagaState,
  facts: readonly SagaFact[],
  change: (before: SagaState, fact: SagaFact) => SagaFact,
): SagaFact[] {
  let before = state;
  return facts.map((fact) => {
    const changed = change(before, fact);
    before = evolve(before, changed);
    return changed;
  });
}

describe('an engine with a mistake', () => {
  it.each(Object.entries(MISTAKES))('that %s is found out', (_, { engine, rule }) => {
    const definition = sagaOf([1, 1, 1], ['retried', 'stubborn', 'undoable']);
    let found: unknown;
    try {
      explore({ definition, ends: ALL_ENDINGS }, engine);
    } catch (error) {
      found = error;
    }
    expect(found).toBeInstanceOf(BrokenRule);
    expect((found as BrokenRule).rule).toBe(rule);
  });

  it('is told how to come there', () => {
    const definition = sagaOf([1, 1], ['undoable', 'undoable']);
    const { engine } = MISTAKES['goes on after its end']!;
    expect(() => explore({ definition, ends: FEW }, engine)).toThrow(
      /final: it ended and decides more\n {2}after start\n/,
    );
  });

  it('is no mistake of the search: the engine as it is breaks no rule', () => {
    const definition = sagaOf([1, 1, 1], ['retried', 'stubborn', 'undoable']);
    expect(explore({ definition, ends: ALL_ENDINGS }).states).toBeGreaterThan(100);
    expect(initialState().phase).toBe('absent');
  });
});
