/**
 * The URIs of events as resources: `event://<source>/<topic>`, `event://<source>` for all topics of a source, `event://` for everything; with
 * `?after=<cursor>&limit=<n>` to read on from a cursor. Names are percent-encoded as in any URI. Which tenant's events they mean, who asks decides.
 */
import { SOURCE_NAME, TOPIC } from '@callboard/events';
import { parseCursor } from '@callboard/jetstream';

export const EVENT_SCHEME = 'event://';
export const EVENT_URI_TEMPLATE = 'event://{source}/{topic}{?after,limit}';

export interface EventUri {
  source?: string;
  topic?: string;
  /** A cursor. */
  after?: string;
  limit?: number;
}

const SHAPE = /^event:\/\/([^/?#]*)(?:\/([^?#]*))?(?:\?([^#]*))?$/;
const LIMIT = /^[1-9]\d{0,3}$/;

export function eventUri(source: string, topic: string): string {
  return `${EVENT_SCHEME}${source}/${encodeURIComponent(topic)}`;
}

/** Is this for the front end to serve, rather than for an action? */
export function isEventUri(uri: string): boolean {
  return uri.startsWith(EVENT_SCHEME);
}

/** What a URI means; `undefined` when it is none of an event. */
export function parseEventUri(uri: string): EventUri | undefined {
  const [matched, authority = '', path = '', query = ''] = SHAPE.exec(uri) ?? [];
  const [source, topic] = [decode(authority), decode(path)];
  if (matched === undefined || source === undefined || topic === undefined) return undefined;
  if ((source !== '' && !SOURCE_NAME.test(source)) || (topic !== '' && (source === '' || !TOPIC.test(topic)))) {
    return undefined;
  }
  const parameters = new URLSearchParams(query);
  const [after, limit] = [parameters.get('after') ?? '', parameters.get('limit') ?? ''];
  if ((after !== '' && !parseCursor(after)) || (limit !== '' && !LIMIT.test(limit))) return undefined;
  return {
    ...(source !== '' && { source }),
    ...(topic !== '' && { topic }),
    ...(after !== '' && { after }),
    ...(limit !== '' && { limit: Number(limit) }),
  };
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
