/** Faults by which something would happen without a record: `npm run faults -- audit --mutation all --small`. */
import type { Mutation } from '../mutations.js';

export const AUDIT_MUTATIONS: readonly Mutation[] = [
  {
    name: 'unawaited',
    what: 'nobody waits until a record is stored',
    file: 'libs/jetstream/dist/audit-trail.js',
    find: 'await this.#publish(fact, this.recordTimeoutMs);',
    replace: 'void this.#publish(fact, this.recordTimeoutMs).catch(() => undefined);',
  },
  {
    name: 'unrecorded-event',
    what: 'an event is passed without a record',
    file: 'apps/pii-filter/dist/filter-event.js',
    find: 'await this.#record(fate, line);',
    replace: '',
  },
  {
    name: 'silent-refusal',
    what: 'what the ingestor refuses is not told',
    file: 'apps/event-ingestor/dist/ingest-edge.js',
    find: "if (code === 'internal')",
    replace: 'if (code)',
  },
];
