/**
 * Judges what became of sagas, by the log of their effects, their journals and what their callers were told.
 *
 * Pure: so that it can be shown to find what it is there for.
 */
import { STEPS, type PlannedSaga } from './plan.js';

export const SAGA_RULES = ['ended', 'told', 'complete', 'undone', 'order', 'recorded', 'once'] as const;
export type SagaRule = (typeof SAGA_RULES)[number];

export interface SagaFinding {
  rule: SagaRule;
  detail: string;
}

export interface SeenSaga extends PlannedSaga {
  /** What its journal says last. */
  phase: string;
  /** What its caller was told. */
  told: string | undefined;
  /** Commands that its journal says it sent. */
  commands: string[];
}

export interface Effect {
  key: string;
  value: string;
  correlationId: string;
}

const TOLD: Record<string, string> = { succeeded: 'succeeded', compensated: 'saga_compensated' };

export function checkSagas(sagas: readonly SeenSaga[], effects: readonly Effect[]): SagaFinding[] {
  const byKey = new Map<string, Effect[]>();
  for (const effect of effects) byKey.set(effect.key, [...(byKey.get(effect.key) ?? []), effect]);
  return sagas.flatMap((saga) => [...checkSaga(saga, byKey.get(saga.name) ?? [])]);
}

function* checkSaga(saga: SeenSaga, effects: Effect[]): Generator<SagaFinding> {
  const { name, phase, told, failsAt, commands } = saga;
  const values = effects.map(({ value }) => value);
  const shown = `${name} (${phase}): ${values.join(' ') || 'no effect'}`;
  if (!TOLD[phase]) yield { rule: 'ended', detail: shown };
  else if (told !== TOLD[phase]) yield { rule: 'told', detail: `${shown}; its caller was told ${told ?? 'nothing'}` };
  const known = new Set(commands);
  for (const { value, correlationId } of effects) {
    if (!known.has(correlationId)) yield { rule: 'recorded', detail: `${shown}; nothing says that ${value} was begun` };
  }
  const ids = effects.map(({ correlationId }) => correlationId);
  if (new Set(ids).size < ids.length) yield { rule: 'once', detail: `${shown}; a command had two effects` };
  const done = values.filter((value) => !value.startsWith('-'));
  const undone = values.filter((value) => value.startsWith('-')).map((value) => value.slice(1));
  const planned = failsAt === 0 ? [...STEPS] : STEPS.slice(0, failsAt - 1);
  if (phase === 'succeeded' && (failsAt !== 0 || done.join() !== planned.join() || undone.length > 0)) {
    yield { rule: 'complete', detail: shown };
  }
  if (phase !== 'compensated') return;
  if (done.some((step) => !undone.includes(step))) yield { rule: 'undone', detail: shown };
  // A compensation of which nobody knows whether it happened is tried again, so one may be there more than once.
  const once = undone.filter((step, i) => undone.indexOf(step) === i);
  const inOrder = once.join() === [...done].reverse().join();
  const afterwards = values.findIndex((value) => value.startsWith('-')) >= done.length || undone.length === 0;
  if (!inOrder || !afterwards || done.join() !== STEPS.slice(0, done.length).join())
    yield { rule: 'order', detail: shown };
}
