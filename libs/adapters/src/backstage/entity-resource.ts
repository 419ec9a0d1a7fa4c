/** The entities of a Backstage's catalog, for clients that read them by name: one resource template, answered with the entity as JSON. */
import { ActionError, defineResource, type ActionDefinition } from '@callboard/actions';
import type { JsonObject } from '@callboard/envelope';
import { guarded } from '../endings.js';
import { PATIENT } from './backstage-action.js';
import type { BackstageClient } from './backstage-client.js';
import type { BackstageSite } from './site.js';

export function entityResource(site: BackstageSite, scheme: string, client: BackstageClient): ActionDefinition {
  return defineResource({
    name: `${site.namespace}-entity`,
    uri: `${scheme}://{kind}/{namespace}/{name}`,
    title: 'Catalog entity',
    description:
      `An entity of the software catalog of ${client.who}, by its reference: the entity ` +
      `component:default/ticket-desk is ${scheme}://component/default/ticket-desk.`,
    mimeType: 'application/json',
    origin: 'backstage',
    retry: PATIENT,
    ...(site.deadline_ms !== undefined && { deadlineMs: site.deadline_ms }),
    run: guarded({ read_only: true }, async (args, context) => {
      const entity = await client.read(`/api/catalog/entities/by-name/${pathOf(args)}`, context);
      const text = JSON.stringify(entity);
      return { contents: [{ uri: args['uri'], mimeType: 'application/json', text }] };
    }),
  });
}

/** What comes out of a URI may be anything: each part stays one part. */
function pathOf({ kind, namespace, name }: JsonObject): string {
  const parts = [kind, namespace, name].map((part) => (typeof part === 'string' ? part : ''));
  if (parts.some((part) => part === '' || part === '.' || part === '..')) {
    throw new ActionError('An entity has a kind, a namespace and a name', { code: 'invalid_arguments' });
  }
  return parts.map(encodeURIComponent).join('/');
}
