/** A question in the words of Cedar: the four of it, and every entity that a policy can ask about. */
import type { CedarValueJson, EntityJson, TypeAndId } from './cedar.js';
import type { Sets } from './sets.js';
import type { AccessResource, Caller, Question } from './vocabulary.js';

const uid = (type: string, id: string): TypeAndId => ({ type: `Callboard::${type}`, id });

export function toCedarRequest({ principal, action, resource, circumstances }: Question, sets: Sets, at: Date) {
  const { server, priority, severity } = circumstances;
  const context: Record<string, CedarValueJson> = { server, time: timeOf(at) };
  if (priority !== undefined) context['priority'] = priority;
  if (severity !== undefined) context['severity'] = severity;
  return {
    principal: userUid(principal),
    action: uid('Action', action),
    resource: resourceUid(resource),
    context,
    entities: [userEntity(principal, sets), resourceEntity(resource, sets), ...actionEntities(action)],
  };
}

function timeOf(at: Date): CedarValueJson {
  return { weekday: at.getUTCDay() || 7, hour: at.getUTCHours(), minute: at.getUTCMinutes() };
}

function userUid({ tenantId, userId }: Caller): TypeAndId {
  return uid('User', `${tenantId}/${userId}`);
}

function userEntity(caller: Caller, sets: Sets): EntityJson {
  const { tenantId, userId, groups, via, clientId, scopes } = caller;
  const attrs: Record<string, CedarValueJson> = {
    tenant: { __entity: uid('Tenant', tenantId) },
    user: userId,
    groups: [...groups],
    via,
  };
  if (clientId !== undefined) attrs['client'] = clientId;
  if (scopes !== undefined) attrs['scopes'] = [...scopes];
  const own = groups.map((group) => `${tenantId}/${group}`);
  const all = new Set(own.flatMap((group) => [group, ...sets.groupsAbove(group)]));
  const parents = [uid('Tenant', tenantId), ...[...all].map((group) => uid('Group', group))];
  return { uid: userUid(caller), attrs, parents };
}

function resourceUid(resource: AccessResource): TypeAndId {
  return uid(resource.type, resource.type === 'Topic' ? `${resource.source}/${resource.topic}` : resource.id);
}

function resourceEntity(resource: AccessResource, sets: Sets): EntityJson {
  const named = { uid: resourceUid(resource), parents: [] as TypeAndId[] };
  switch (resource.type) {
    case 'Tool': {
      const { type: _, ...attrs } = resource;
      return { ...named, attrs, parents: sets.toolsetsOf(resource.id).map((name) => uid('Toolset', name)) };
    }
    case 'Topic':
      return { ...named, attrs: { source: resource.source, topic: resource.topic } };
    default:
      return { ...named, attrs: {} };
  }
}

const GROUPS: Partial<Record<Question['action'], string>> = {
  call: 'run',
  read_resource: 'run',
  get_prompt: 'run',
  cancel: 'handle',
  read_result: 'handle',
};

function actionEntities(action: Question['action']): EntityJson[] {
  const group = GROUPS[action];
  return group === undefined ? [] : [{ uid: uid('Action', action), attrs: {}, parents: [uid('Action', group)] }];
}
