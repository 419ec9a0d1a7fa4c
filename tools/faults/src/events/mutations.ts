/** Faults in the ways of events: `npm run faults -- events --mutation all --small`. */
import type { Mutation } from '../mutations.js';

const FORWARDER = 'libs/backstage-plugin/dist/forwarder.js';
const BUS_READER = 'apps/event-ingestor/dist/backstage-bus/bus-reader.js';

export const EVENT_MUTATIONS: readonly Mutation[] = [
  {
    name: 'answered-early',
    what: 'the plug-in lets its publisher be answered before the event is stored',
    file: FORWARDER,
    find: 'await stored;\n',
    replace: 'void stored.catch(() => undefined);\n',
  },
  {
    name: 'other-id',
    what: 'an event that is sent again is another event',
    file: 'libs/events/dist/backstage-event.js',
    find: 'id: deliveryIdOf(metadata) ?? own.id,',
    replace: 'id: own.id,',
  },
  {
    name: 'gap-untold',
    what: 'what an event bus may have lost is not told',
    file: BUS_READER,
    find: 'await this.#store([gapEvent(',
    replace: 'void ([gapEvent(',
  },
  {
    name: 'passed-raw',
    what: 'the filter passes events as they came',
    file: 'apps/pii-filter/dist/judge-event.js',
    find: 'written(redaction.value, kind)',
    replace: 'written(content.value, kind)',
  },
];
