/** What questions are about, as policies see it. */
import type { ActionAttributes, Surface } from '@callboard/actions';
import { isReservedId } from '@callboard/actions';
import type { AccessResource, RunAction, SurfaceName } from './vocabulary.js';

interface Described {
  id: string;
  attributes: ActionAttributes;
  surface: Surface;
}

const SURFACES: Record<Surface['kind'], SurfaceName> = {
  tool: 'tool',
  resource: 'resource',
  resource_template: 'resource',
  prompt: 'prompt',
};
const RUN: Record<SurfaceName, RunAction> = { tool: 'call', resource: 'read_resource', prompt: 'get_prompt' };

/** Made once of each descriptor. */
const tools = new WeakMap<Described, AccessResource>();

export function toolResource(action: Described): AccessResource {
  let tool = tools.get(action);
  if (!tool) {
    const { read_only, destructive, idempotent, open_world } = action.attributes;
    const surface = SURFACES[action.surface.kind];
    const attributes = { read_only, destructive, idempotent, open_world };
    tool = Object.freeze({ type: 'Tool', id: action.id, surface, builtin: isReservedId(action.id), ...attributes });
    tools.set(action, tool);
  }
  return tool;
}

/** Of an action of which only the name is known now. */
export function namedToolResource(id: string): AccessResource {
  const attributes = { read_only: false, destructive: false, idempotent: false, open_world: false };
  return { type: 'Tool', id, surface: 'tool', builtin: isReservedId(id), ...attributes };
}

/** What it is to have an action run. */
export function runActionOf({ surface }: Pick<Described, 'surface'>): RunAction {
  return RUN[SURFACES[surface.kind]];
}

export function topicResource(source: string, topic: string): AccessResource {
  return { type: 'Topic', source, topic };
}
