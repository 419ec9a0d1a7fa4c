import type { CatalogView, RegisteredAction } from '@callboard/actions';
import { actionId } from '@callboard/envelope';
import { EVENT_TOOLS } from './events/event-tools.js';
import { isEventUri } from './events/event-uri.js';
import { isObject } from './is-object.js';
import type { Listing } from './listing.js';
import { isSagaUri } from './sagas/saga-tools.js';

/**
 * The action that a message of either era uses, if it uses one that is shown. Events are the same thing by whichever way they are met: as a
 * resource, or by the extension, they are what the tools are.
 */
export function usedAction(listing: Listing, body: unknown): RegisteredAction | undefined {
  if (!isObject(body) || !isObject(body.params)) return undefined;
  const { name, uri, notifications } = body.params;
  switch (body.method) {
    case 'tools/call':
      return typeof name === 'string' ? listing.tool(name)?.action : undefined;
    case 'prompts/get':
      return typeof name === 'string' ? listing.prompt(name)?.action : undefined;
    case 'resources/read':
      if (isEvent(uri)) return EVENT_TOOLS.read;
      return typeof uri === 'string' ? listing.resource(uri)?.action : undefined;
    case 'resources/subscribe':
      return watchedAction(listing, [uri]);
    case 'subscriptions/listen': {
      const uris = isObject(notifications) && notifications['resourceSubscriptions'];
      return Array.isArray(uris) ? watchedAction(listing, uris) : undefined;
    }
    case 'events/list':
      return EVENT_TOOLS.list;
    case 'events/poll':
      return EVENT_TOOLS.poll;
    default:
      return undefined;
  }
}

/** The action that would undo what a message uses, if it names one that is shown. */
export function compensatingAction({ actions }: CatalogView, body: unknown): RegisteredAction | undefined {
  const meta = isObject(body) && isObject(body.params) && body.params._meta;
  const compensation = isObject(meta) && meta['io.callboard/compensation'];
  if (!isObject(compensation)) return undefined;
  const { tool, method } = compensation;
  return typeof tool === 'string' && typeof method === 'string' ? actions.get(actionId({ tool, method })) : undefined;
}

function isEvent(uri: unknown): boolean {
  return typeof uri === 'string' && isEventUri(uri);
}

/** Who is to be told of events, or of a saga, needs what reading it takes. */
function watchedAction(listing: Listing, uris: readonly unknown[]): RegisteredAction | undefined {
  if (uris.some(isEvent)) return EVENT_TOOLS.subscribe;
  const saga = uris.find((uri) => typeof uri === 'string' && isSagaUri(uri));
  return saga === undefined ? undefined : listing.resource(saga as string)?.action;
}
