import type { CatalogView, RegisteredAction } from '@callboard/actions';
import { describe, expect, it } from '@jest/globals';
import { ServerSpec } from '@callboard/access';
import type { Listing } from './listing.js';
import { McpServer } from './mcp-server.js';
import { ownTool } from './own-tool.js';

const action = (id: string, surface: RegisteredAction['surface'] = { kind: 'tool' }): RegisteredAction => ({
  ...ownTool({
    id,
    description: 'Of somebody else',
    input_schema: { type: 'object' },
    attributes: { read_only: true, destructive: false, idempotent: true, open_world: false },
    deadline_ms: 1_000,
  }),
  surface,
});

const listingOf = (...actions: RegisteredAction[]): Listing => {
  const view: CatalogView = { version: 'spec', actions: new Map(actions.map((each) => [each.id, each])) };
  return new McpServer(new ServerSpec(''), { view, mayLack: false, onChange: () => () => undefined }).listing;
};

const SAGA_TOOLS = ['callboard.saga.show', 'callboard.saga.complete', 'callboard.saga.abort'];
const OWN = [
  'callboard.result',
  ...SAGA_TOOLS,
  'events.list',
  'events.read',
  'events.subscribe',
  'events.poll',
  'events.unsubscribe',
];

describe('what clients are shown', () => {
  it('has the tools of the front end, whatever the registry holds', () => {
    expect(listingOf().tools.map(({ name }) => name)).toEqual(OWN);
    const tool = listingOf().tool('events.poll')!;
    expect(tool.action.service).toBe('callboard');
  });

  it('has no action that would shadow something of the front end, and says which those are', () => {
    const listing = listingOf(
      action('events.poll'),
      action('events.of.mine'),
      action('callboard.result'),
      action('git.events'),
      action('resource.a', { kind: 'resource', name: 'a', uri: 'event://github/push' }),
      action('resource.b', { kind: 'resource_template', name: 'b', uri_template: 'event://{source}/{topic}' }),
      action('resource.s', { kind: 'resource', name: 's', uri: 'saga://mine' }),
      action('resource.c', { kind: 'resource', name: 'c', uri: 'events://mine' }),
    );
    expect(listing.tools.map(({ name }) => name)).toEqual([...OWN, 'git.events']);
    expect(listing.tool('events.poll')?.action.description).not.toBe('Of somebody else');
    expect(listing.resources.map(({ uri }) => uri)).toEqual(['events://mine']);
    expect(listing.resourceTemplates.map(({ uriTemplate }) => uriTemplate)).toEqual(['saga://{saga_id}']);
    expect(listing.unusable).toEqual([
      'events.poll',
      'events.of.mine',
      'callboard.result',
      'resource.a',
      'resource.b',
      'resource.s',
    ]);
  });

  it('tells of the tools of events only what is a valid schema with its examples', () => {
    for (const { inputSchema, outputSchema, description } of listingOf().tools) {
      expect(inputSchema.additionalProperties).toBe(false);
      expect(description!.length).toBeGreaterThan(20);
      if (outputSchema) expect(outputSchema.type).toBe('object');
    }
  });
});
