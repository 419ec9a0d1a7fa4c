/** Events as Backstage's events service has them: a topic, a payload, and the HTTP headers of those that came in by its HTTP ingress. */
import { randomUUID } from 'node:crypto';
import { InvalidEvent, readAttributes, readEventHeaders, type EventAttributes } from './attributes.js';
import { deliveryIdOf, orderingKeyOf, type SourcedEvent } from './sourced-event.js';

export interface BackstageEvent {
  topic: string;
  eventPayload: unknown;
  /** Names in lower case. Not there for what came over the events bus. */
  metadata?: Readonly<Record<string, string | string[] | undefined>>;
}

export interface BackstageOrigin {
  tenantId: string;
  sourceName: string;
  /** URL of the events plug-in's API, `https://backstage.example.com/api/events`; part of the event's identity. */
  eventsUrl: string;
}

/** In which of its headers a sender says what kind of event it sends. */
const KIND_HEADERS = ['x-github-event', 'x-gitlab-event', 'x-gitea-event', 'x-event-key'];

/**
 * The event as it is stored. Its id is the one that the sender repeats when it sends again; where there is none it is made here, so call this
 * once for an event, however often that is then published.
 * @throws InvalidEvent when the topic cannot be one, or the payload cannot be written as JSON.
 */
export function backstageEvent(
  { tenantId, sourceName, eventsUrl }: BackstageOrigin,
  event: BackstageEvent,
): SourcedEvent {
  const { topic, eventPayload, metadata = {} } = event;
  const json = jsonOf(eventPayload);
  const own = {
    specversion: '1.0',
    id: randomUUID() as string,
    source: `${eventsUrl}/${topic}`,
    type: topic,
    time: new Date().toISOString(),
    ...(json !== undefined && { datacontenttype: 'application/json' }),
  };
  const kind = KIND_HEADERS.map((name) => metadata[name]).find((value) => typeof value === 'string');
  const told = { ...own, id: deliveryIdOf(metadata) ?? own.id, ...(kind !== undefined && { eventkind: kind }) };
  const attributes = cloudEvent(metadata, own) ?? attempt(() => readAttributes(told)) ?? readAttributes(own);
  return {
    tenantId,
    sourceName,
    key: orderingKeyOf(attributes, eventPayload),
    attributes,
    data: Buffer.from(json ?? ''),
  };
}

/** What was posted as a CloudEvent in binary mode keeps its attributes; its type gives way to the topic, and is kept beside it. */
function cloudEvent(
  metadata: NonNullable<BackstageEvent['metadata']>,
  { type, time, datacontenttype }: { type: string; time: string; datacontenttype?: string },
): EventAttributes | undefined {
  if (metadata['ce-specversion'] === undefined) return undefined;
  const headers = Object.entries(metadata).map(([name, value]): [string, string[]] => [
    name,
    typeof value === 'string' ? [value] : (value ?? []),
  ]);
  const read = attempt(() => readEventHeaders(headers));
  if (!read) return undefined;
  const { type: cetype, extensions, ...rest } = read;
  return attempt(() =>
    readAttributes({ specversion: '1.0', time, ...rest, type, datacontenttype, ...extensions, cetype }),
  );
}

/** What strangers wrote into headers must not keep their event from being stored. */
function attempt(read: () => EventAttributes): EventAttributes | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof InvalidEvent) return undefined;
    throw error;
  }
}

function jsonOf(payload: unknown): string | undefined {
  try {
    return JSON.stringify(payload) as string | undefined;
  } catch {
    throw new InvalidEvent('the payload', 'cannot be written as JSON');
  }
}
