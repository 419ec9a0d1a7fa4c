/**
 * The pages of a Backstage's TechDocs, for clients that read them by name: one resource template, answered with the page as it was built.
 *
 * A URI reads below the documentation of its own entity and nowhere else: no part of it, decoded, can be a way up or another path.
 */
import { extname } from 'node:path';
import { ActionError, defineResource, type ActionContext, type ActionDefinition } from '@callboard/actions';
import type { JsonObject } from '@callboard/envelope';
import { guarded } from '../endings.js';
import { PATIENT } from './backstage-action.js';
import type { BackstageClient, TypedText } from './backstage-client.js';
import type { BackstageSite } from './site.js';

const INDEX = 'index.html';
const HTML = /\.html?$/i;
const TEXT_TYPES = /^(text\/.+|application\/(json|javascript|yaml|xml))$/;

export function techdocsResource(site: BackstageSite, scheme: string, client: BackstageClient): ActionDefinition {
  return defineResource({
    name: `${site.namespace}-docs`,
    uri: `${scheme}://{kind}/{namespace}/{name}/{+path}`,
    title: 'Page of documentation',
    description:
      `A page of the documentation (TechDocs) of an entity of ${client.who}: that of component:default/ticket-desk ` +
      `begins at ${scheme}://component/default/ticket-desk/${INDEX}. A path to a folder is that of its ${INDEX}.`,
    origin: 'backstage',
    retry: PATIENT,
    ...(site.deadline_ms !== undefined && { deadlineMs: site.deadline_ms }),
    run: guarded({ read_only: true }, async (args, context) => {
      const entity = entityOf(args);
      const path = pageOf(args);
      const page = await read(client, entity, path, context);
      return { contents: [{ uri: args['uri'], mimeType: mimeType(path, page), text: page.text }] };
    }),
  });
}

/** As publishers store it: Backstage's references are the same in any case. */
function entityOf({ kind, namespace, name }: JsonObject): string {
  const parts = [namespace, kind, name].map((part) => (typeof part === 'string' ? part : ''));
  // What the names of entities are made of.
  if (parts.some((part) => !/^[\w.-]+$/.test(part) || /^\.+$/.test(part))) {
    throw new ActionError('An entity has a kind, a namespace and a name', { code: 'invalid_arguments' });
  }
  return parts.join('/').toLowerCase();
}

/** What comes out of a URI may be anything, and may be encoded twice. */
function pageOf({ path }: JsonObject): string {
  const parts = typeof path === 'string' ? path.split('/').map(decoded) : [''];
  // The path of a folder: it ends in a slash, or in a name without an extension.
  if (parts.at(-1) === '') parts.pop();
  else if (extname(parts.at(-1)!) !== '') return checked(parts);
  return checked([...parts, INDEX]);
}

function checked(parts: readonly string[]): string {
  if (parts.some((part) => part === '' || part === '.' || part === '..' || /[/\\%\u0000-\u001f]/.test(part))) {
    throw new ActionError('The path of a page leads down from the first page', { code: 'invalid_arguments' });
  }
  return parts.map(encodeURIComponent).join('/');
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw new ActionError('The path of a page is not well encoded', { code: 'invalid_arguments' });
  }
}

async function read(client: BackstageClient, entity: string, path: string, context: ActionContext): Promise<TypedText> {
  try {
    return await client.readText(`/api/techdocs/static/docs/${entity}/${path}`, context);
  } catch (error) {
    if (!(error instanceof ActionError && error.code === 'not_found' && error.retryable)) throw error;
  }
  // Of a page that is not there TechDocs says as little as a Backstage that has not started: one that has speaks of the entity.
  await client.read(`/api/techdocs/metadata/techdocs/${entity}`, context);
  throw new ActionError('The documentation has no such page', { code: 'not_found' });
}

/** Backstage says `text/plain` of pages, so that no browser shows them, and of whatever it does not know. */
function mimeType(path: string, { text, type = 'text/plain' }: TypedText): string {
  if (HTML.test(path)) return 'text/html';
  if (!TEXT_TYPES.test(type) || text.includes('\0')) throw new ActionError('Only pages and other texts can be read');
  return type;
}
