/**
 * A dry run: what a saga would do with this input if its steps returned this. The engine itself is told that every step went well, one after
 * the other in the order in which they begin, so a plan cannot say anything else than what a saga does.
 */
import { actionId, type ErrorBody, type JsonObject } from '@callboard/envelope';
import { decide } from './decide.js';
import type { SagaDefinition } from './definition.js';
import type { SagaFact, StopReason } from './fact.js';
import type { SagaInput } from './input.js';
import { outstanding, type Effect } from './outstanding.js';
import { evolve, initialState, isEnded, type SagaState } from './state.js';

export interface PlanOptions {
  /** What steps are taken to return, by path; `{}` where nothing is said. */
  outputs?: Readonly<Record<string, JsonObject>>;
  /** The path of a step that is taken to fail, to see what is undone then. */
  failing?: string;
}

export interface Plan {
  steps: PlannedStep[];
  /** `halted`: what undoes a step cannot be worked out. */
  end: 'succeeded' | 'compensated' | 'halted';
  output?: JsonObject;
  reason?: StopReason;
}

export type PlannedStep =
  | { do: 'act' | 'undo'; step: string; action: string; args: JsonObject; ordering_key: string }
  | { do: 'ask'; step: string; prompt: string; approvers: readonly string[] }
  | { do: 'skip'; step: string }
  /** It could not begin, or what undoes it cannot be worked out: an expression met a value that it does not fit. */
  | { do: 'fail'; step: string; error: ErrorBody };

const AT = '1970-01-01T00:00:00.000Z';

export function plan(definition: SagaDefinition, input: JsonObject, options: PlanOptions = {}): Plan {
  const steps: PlannedStep[] = [];
  let state = initialState();
  const tell = (told: SagaInput): void => {
    for (const fact of decide(state, told)) {
      state = evolve(state, fact);
      const step = plannedOf(fact, state);
      if (step) steps.push(step);
    }
  };
  tell({ kind: 'start', at: AT, saga_id: 'dry-run', tenant_id: 'dry-run', user_id: 'dry-run', definition, input });
  while (!isEnded(state)) {
    const told = outstanding(state)
      .map((effect) => answerTo(effect, options))
      .find((answer) => answer !== undefined);
    if (!told) break;
    tell(told);
  }
  return {
    steps,
    end: isEnded(state) ? (state.phase as Plan['end']) : 'halted',
    ...(state.output && { output: state.output }),
    ...(state.stopped && { reason: state.stopped }),
  };
}

function answerTo(effect: Effect, { outputs = {}, failing }: PlanOptions): SagaInput | undefined {
  if (effect.kind === 'approval') {
    const approved = effect.step !== failing;
    return { kind: 'approval', at: AT, step: effect.step, approved, by: 'dry-run', groups: effect.approvers };
  }
  if (effect.kind !== 'command') return undefined;
  const { correlation_id, step, doing } = effect;
  const base = { kind: 'outcome', at: AT, correlation_id } as const;
  if (doing === 'act' && step === failing) {
    return { ...base, status: 'failed', error: { code: 'action_failed', message: 'Taken to fail', retryable: false } };
  }
  return { ...base, status: 'succeeded', result: { structuredContent: outputs[step] ?? {} } };
}

function plannedOf(fact: SagaFact, state: SagaState): PlannedStep | undefined {
  switch (fact.fact) {
    case 'step_started': {
      const { command, step, args } = fact;
      if (!command) return undefined;
      return { do: 'act', step, action: actionId(command.action), args, ordering_key: command.ordering_key };
    }
    case 'compensation_started': {
      const undo = state.steps[fact.step]!.undo!;
      if ('error' in undo) return undefined;
      return {
        do: 'undo',
        step: fact.step,
        action: actionId(undo.action),
        args: undo.args,
        ordering_key: undo.ordering_key,
      };
    }
    case 'approval_requested':
      return { do: 'ask', step: fact.step, prompt: fact.prompt, approvers: fact.approvers };
    case 'step_ended':
      if (fact.status === 'skipped') return { do: 'skip', step: fact.step };
      return fact.error?.code === 'expression_failed' ? { do: 'fail', step: fact.step, error: fact.error } : undefined;
    default:
      return undefined;
  }
}
