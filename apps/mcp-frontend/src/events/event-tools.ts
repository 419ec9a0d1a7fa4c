/**
 * The tools with which a client without resources meets events, as it sees them: the front end serves them itself, see `event-calls.ts`.
 * Their texts are written for a model that reads nothing else.
 */
import type { RegisteredAction } from '@callboard/actions';
import { FILTER_LIMITS } from '@callboard/events';
import type { JsonObject } from '@callboard/envelope';
import { ownTool } from '../own-tool.js';

export const POLL_LIMITS = {
  /** Events of one answer. */
  events: 200,
  /** Unless said otherwise. */
  usualEvents: 50,
  /** Less than what clients wait for an answer. */
  waitMs: 50_000,
} as const;

export const FILTERS: JsonObject = {
  type: 'array',
  items: { type: 'object' },
  maxItems: FILTER_LIMITS.terms,
  description:
    'Only events that fulfil all of these CloudEvents filters. Each is an object with exactly one of exact, prefix, suffix (attribute names with the text to compare with), all, any (lists of filters) or not (a filter). Attributes are id, source, type, subject, time and extensions, and topic and key; the data is not looked at.',
  examples: [
    [{ prefix: { key: 'component:default/' } }],
    [{ any: [{ exact: { subject: 'refs/heads/main' } }, { suffix: { key: '/web' } }] }],
  ],
};

const SELECTION: JsonObject = {
  sources: {
    type: 'array',
    items: { type: 'string', pattern: '^[a-z0-9][a-z0-9_-]{0,63}$' },
    minItems: 1,
    maxItems: 32,
    description: 'Only events of these sources, named as events.list names them. Left out: of all sources.',
    examples: [['github']],
  },
  topics: {
    type: 'array',
    items: { type: 'string', minLength: 1, maxLength: 128 },
    minItems: 1,
    maxItems: 32,
    description: 'Only events with these topics, named as events.list names them. Left out: all topics.',
    examples: [['push', 'pull_request']],
  },
  filters: FILTERS,
};

const NAME: JsonObject = {
  type: 'string',
  pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$',
  description: 'Your name for the subscription: 1 to 64 letters, digits and . _ -',
  examples: ['deployments'],
};
const MAX: JsonObject = {
  type: 'integer',
  minimum: 1,
  maximum: POLL_LIMITS.events,
  description: `At most so many events; ${POLL_LIMITS.usualEvents} unless said otherwise`,
};
const CURSOR: JsonObject = { type: 'string', minLength: 1, maxLength: 64 };

const EVENTS: JsonObject = {
  events: {
    type: 'array',
    description: 'The oldest first',
    items: {
      type: 'object',
      properties: {
        source: { type: 'string', description: 'Name of the source, as in sources' },
        topic: { type: 'string' },
        key: { type: 'string', description: 'Events of one source and key are in the order in which they happened' },
        name: { type: 'string', description: 'Names the event to an operator' },
        stored_at: { type: 'string', format: 'date-time' },
        event: { type: 'object', description: 'The event: CloudEvents attributes, and data without private values' },
        omitted_data_bytes: {
          type: 'integer',
          description: 'Only where the data is left out because it is too large for an answer: its size',
        },
      },
      required: ['source', 'topic', 'key', 'name', 'stored_at', 'event'],
    },
  },
  next_cursor: { type: 'string', description: 'Pass this as cursor in the next call' },
  has_more: { type: 'boolean', description: 'There are more events already: call again at once' },
  truncated: {
    type: 'boolean',
    description: 'Events may be missing before these: they were older than events are kept',
  },
};
const EVENTS_MEMBERS = ['events', 'next_cursor', 'has_more', 'truncated'];

const SUBSCRIPTION: JsonObject = {
  name: { type: 'string' },
  sources: { type: 'array', items: { type: 'string' } },
  topics: { type: 'array', items: { type: 'string' } },
  filters: { type: 'array', items: { type: 'object' } },
  cursor: { type: 'string', description: 'Everything up to here is confirmed' },
  created_at: { type: 'string', format: 'date-time' },
  used_at: { type: 'string', format: 'date-time' },
};

const READS = { read_only: true, destructive: false, idempotent: true, open_world: false };
const CHANGES = { ...READS, read_only: false };

export const EVENT_TOOLS = {
  list: tool({
    id: 'events.list',
    title: 'What events there are',
    description:
      'Lists the sources and topics that had events lately, and your own subscriptions. Begin here. To see events that have happened, call events.read; to be told of new ones without missing any, call events.subscribe once and then events.poll.',
    input: {},
    output: {
      sources: {
        type: 'array',
        items: {
          type: 'object',
          properties: {
            source: { type: 'string' },
            topics: {
              type: 'array',
              items: {
                type: 'object',
                properties: {
                  topic: { type: 'string' },
                  last_event_at: { type: 'string', format: 'date-time' },
                  uri: { type: 'string', description: 'The same as a resource' },
                },
                required: ['topic', 'last_event_at', 'uri'],
              },
            },
          },
          required: ['source', 'topics'],
        },
      },
      more_topics: { type: 'boolean', description: 'There are more than are listed' },
      subscriptions: { type: 'array', items: { type: 'object', properties: SUBSCRIPTION } },
    },
    attributes: READS,
  }),
  read: tool({
    id: 'events.read',
    title: 'Read past events',
    description:
      'Returns events that have happened, without a subscription: without a cursor the latest ones, with a cursor those after it. To read on, pass next_cursor as cursor, and the same sources, topics and filters. Nothing is remembered between calls.',
    input: {
      ...SELECTION,
      cursor: {
        ...CURSOR,
        description: 'A next_cursor of an earlier call, or "earliest" for the oldest event that is still kept',
      },
      max: MAX,
    },
    output: EVENTS,
    outputMembers: EVENTS_MEMBERS,
    attributes: READS,
  }),
  subscribe: tool({
    id: 'events.subscribe',
    title: 'Subscribe to events',
    description:
      'Makes a named subscription, which survives disconnects and restarts; call events.poll with its name to get its events. Calling it again with the same name loses nothing: the position stays, and other sources, topics or filters replace the earlier ones. Narrow it to what you need. A subscription that is not polled for a month is forgotten.',
    input: {
      name: NAME,
      ...SELECTION,
      from: {
        ...CURSOR,
        description:
          'Where a new subscription begins: "latest" (the default) for events from now on, "earliest" for all that are still kept, or a cursor. Of no effect on a subscription that exists.',
        examples: ['latest', 'earliest'],
      },
    },
    required: ['name'],
    output: {
      ...SUBSCRIPTION,
      subscribed: { type: 'string', enum: ['created', 'unchanged', 'changed'] },
    },
    outputMembers: ['name', 'subscribed', 'cursor'],
    attributes: CHANGES,
  }),
  poll: tool({
    id: 'events.poll',
    title: 'Get the next events of a subscription',
    description:
      'Returns the next events of a subscription of yours. Pass the next_cursor of the last answer as cursor: that confirms that you have those events, and you get the ones after them. Without a cursor, or with the same one, you get the same events again, so nothing is lost when an answer is. With wait_ms it waits for an event when there is none.',
    input: {
      name: NAME,
      cursor: { ...CURSOR, description: 'The next_cursor of the last poll; left out in the first one' },
      max: MAX,
      wait_ms: {
        type: 'integer',
        minimum: 0,
        maximum: POLL_LIMITS.waitMs,
        description: 'Milliseconds to wait when there is no event yet; 0 unless said otherwise',
        examples: [20_000],
      },
    },
    required: ['name'],
    output: { name: { type: 'string' }, ...EVENTS },
    outputMembers: ['name', ...EVENTS_MEMBERS],
    attributes: CHANGES,
  }),
  unsubscribe: tool({
    id: 'events.unsubscribe',
    title: 'End a subscription to events',
    description: 'Ends a subscription of yours. Its position is forgotten; the events stay and can be read.',
    input: { name: NAME },
    required: ['name'],
    output: { name: { type: 'string' }, removed: { type: 'boolean', description: 'Was there such a subscription?' } },
    outputMembers: ['name', 'removed'],
    attributes: CHANGES,
  }),
} as const;

const BY_ID = new Map<string, RegisteredAction>(Object.values(EVENT_TOOLS).map((each) => [each.id, each]));

export function isEventTool(action: RegisteredAction): boolean {
  return BY_ID.get(action.id) === action;
}

function tool(options: {
  id: string;
  title: string;
  description: string;
  input: JsonObject;
  required?: string[];
  output: JsonObject;
  outputMembers?: string[];
  attributes: RegisteredAction['attributes'];
}): RegisteredAction {
  const { id, title, description, input, required = [], output, outputMembers, attributes } = options;
  return ownTool({
    ...{ id, title, description, attributes },
    input_schema: { type: 'object', properties: input, required, additionalProperties: false },
    output_schema: { type: 'object', properties: output, required: outputMembers ?? Object.keys(output) },
    deadline_ms: POLL_LIMITS.waitMs,
  });
}
