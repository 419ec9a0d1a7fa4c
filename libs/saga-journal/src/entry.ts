import { HEADER, JSON_CONTENT_TYPE, parseEnvelope, type CommandEnvelope } from '@callboard/envelope';
import { headerLine } from '@callboard/jetstream';
import { FACT_VERSION, SAGA_FACTS, type SagaFact, type SagaState } from '@callboard/saga';

const ENTRY_VERSION = '1.0';

/**
 * One message of a journal: what followed from one decision, stored all together or not at all. The first entry of a declared saga is not
 * that, but the command which asks for it.
 */
export type JournalEntry = { command: CommandEnvelope } | { facts: SagaFact[] };

export function encodeEntry(facts: readonly SagaFact[]): Buffer {
  return Buffer.from(JSON.stringify({ entry_version: ENTRY_VERSION, facts }));
}

/** The phase goes along, so that who looks for sagas that go on need not read those that have ended. */
export function entryHeaders({ phase, definition }: SagaState, lastSequence: number): string {
  return (
    headerLine(HEADER.contentType, JSON_CONTENT_TYPE) +
    headerLine(HEADER.expectedLastSubjectSequence, String(lastSequence)) +
    headerLine(HEADER.sagaPhase, phase) +
    (definition ? headerLine(HEADER.sagaDefinition, `${definition.id}@${definition.version}`) : '')
  );
}

/** @throws TypeError or CallboardError when it is none of ours. */
export function parseEntry(data: Uint8Array): JournalEntry {
  const text = Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('utf8');
  const entry = JSON.parse(text) as { entry_version?: unknown; facts?: unknown[] } | null;
  if (!Array.isArray(entry?.facts)) return { command: parseEnvelope(data) };
  if (entry.entry_version !== ENTRY_VERSION)
    throw new TypeError('not an entry of a journal of a version that is known');
  return { facts: entry.facts.map(checkedFact) };
}

function checkedFact(value: unknown): SagaFact {
  const fact = value as SagaFact | null;
  if (fact?.fact_version !== FACT_VERSION || !SAGA_FACTS.includes(fact.fact))
    throw new TypeError('not a fact of a saga');
  return fact;
}
