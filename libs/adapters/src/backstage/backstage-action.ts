/** An action of a Backstage as one of ours. */
import { defineAction, type ActionDefinition, type ActionReturn } from '@callboard/actions';
import type { JsonObject } from '@callboard/envelope';
import { guarded } from '../endings.js';
import { toDraft2020 } from '../json-schema.js';
import type { BackstageClient } from './backstage-client.js';
import type { ListedAction } from './registry-list.js';
import type { BackstageSite } from './site.js';

/**
 * A Backstage that is away has done nothing, and a command waits for it until its deadline: more attempts than any deadline has room
 * for. Whether a fault is worth another attempt, `refusal` knows.
 */
export const PATIENT = { max_attempts: 100_000, backoff_ms: 200, max_backoff_ms: 10_000 };

export interface Invoked {
  client: BackstageClient;
  /** Told when Backstage says that there is no such thing: the action, perhaps, or for this caller only. */
  onMissing(): void;
}

/** @throws TypeError when it can be no action of ours */
export function backstageAction(
  site: BackstageSite,
  listed: ListedAction,
  { client, onMissing }: Invoked,
): ActionDefinition {
  const settings = site.actions[listed.id];
  const secrets = listed.wantsSecrets ? settings?.secrets : undefined;
  if (listed.wantsSecrets && Object.keys(secrets ?? {}).length === 0) {
    throw new TypeError('it wants secrets, and the adapter file gives it none');
  }
  const attributes = { ...listed.attributes, ...settings?.attributes };
  const deadlineMs = settings?.deadline_ms ?? site.deadline_ms;
  const title = settings?.title ?? listed.title;
  return defineAction({
    id: `${site.namespace}.${listed.plugin}.${listed.name}`,
    description: listed.description,
    ...(title !== undefined && { title }),
    input: toDraft2020(listed.input),
    ...(listed.output && { output: toDraft2020(listed.output) }),
    attributes,
    origin: 'backstage',
    ...(deadlineMs !== undefined && { deadlineMs }),
    retry: { ...PATIENT, ...settings?.retry },
    ...(settings?.ordering !== undefined && { ordering: settings.ordering }),
    run: guarded(attributes, async (args, context) => {
      try {
        return toResult(await client.invoke(listed, attributes, args, secrets, context));
      } catch (error) {
        if ((error as { code?: unknown }).code === 'not_found') onMissing();
        throw error;
      }
    }),
  });
}

/** Always a whole result: an output that happens to have a member `content` must not be taken for one. */
function toResult(output: unknown): ActionReturn {
  if (output === undefined) return { content: [] };
  const content = [{ type: 'text', text: JSON.stringify(output) }];
  const isObject = output !== null && typeof output === 'object' && !Array.isArray(output);
  return isObject ? { content, structuredContent: output as JsonObject } : { content };
}
