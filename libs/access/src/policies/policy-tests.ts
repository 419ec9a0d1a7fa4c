/** Files of cases for policies: who may do what, and who may not. `callboard access test` and CI run them. */
import { YamlFile, record, shapeOf } from '@callboard/config';
import type { Policies } from './policies.js';
import { PoliciesError } from './policies-error.js';
import { namedToolResource, topicResource } from './resources.js';
import {
  ACCESS_ACTIONS,
  RUN_ACTIONS,
  type AccessAction,
  type AccessResource,
  type Caller,
  type Question,
} from './vocabulary.js';

export interface PolicyCase {
  name: string;
  question: Question;
  at: Date;
  expect: 'allow' | 'deny';
  /** Where the case says which: exactly these decide. */
  policies: readonly string[] | undefined;
}

export interface CaseResult {
  name: string;
  ok: boolean;
  /** What is wrong, where something is. */
  problem?: string;
}

/** A principal as it is written in files and on the command line. */
export interface WrittenPrincipal {
  tenant: string;
  user: string;
  groups: string[];
  via: Caller['via'];
  client?: string;
  scopes?: string[];
}

interface WrittenTool {
  tool: string;
  surface: 'tool' | 'resource' | 'prompt';
  read_only: boolean;
  destructive: boolean;
  idempotent: boolean;
  open_world: boolean;
}

/** What a question is about; nothing for what is about one's tenant. */
export type WrittenResource = WrittenTool | { topic: string } | { server: string };

interface Written {
  principals: Record<string, WrittenPrincipal>;
  cases: {
    name: string;
    principal: string;
    action: AccessAction;
    resource?: WrittenResource;
    server: string;
    priority: string;
    severity: string;
    time: string;
    expect: 'allow' | 'deny';
    policies?: string[];
  }[];
}

const text = { type: 'string', minLength: 1, maxLength: 256 };
const texts = { type: 'array', items: text, maxItems: 256 };
const flag = { type: 'boolean', default: false };
const MOST_CASES = 10_000;
/** When a case happens that does not say when: what it tests must not depend on when it is run. */
const A_MONDAY = '2026-01-05T12:00:00Z';

const PRINCIPAL = record(
  {
    tenant: { ...text, default: 'default' },
    user: text,
    groups: { ...texts, default: [] },
    via: { enum: ['anonymous', 'static', 'jwt', 'backstage'], default: 'jwt' },
    client: text,
    scopes: texts,
  },
  ['user'],
);
const RESOURCE = record({
  tool: text,
  surface: { enum: ['tool', 'resource', 'prompt'], default: 'tool' },
  read_only: flag,
  destructive: flag,
  idempotent: flag,
  open_world: flag,
  topic: { ...text, pattern: '^[^/]+/.+$' },
  server: { ...text, pattern: '^/mcp(/[a-z0-9-]+)?$' },
});
const FILE = shapeOf<Written>(
  record(
    {
      principals: { type: 'object', additionalProperties: PRINCIPAL },
      cases: {
        type: 'array',
        maxItems: MOST_CASES,
        items: record(
          {
            name: text,
            principal: text,
            action: { enum: ACCESS_ACTIONS },
            resource: RESOURCE,
            server: { type: 'string', default: '/mcp' },
            priority: { enum: ['high', 'normal', 'low'], default: 'normal' },
            severity: { enum: ['low', 'normal', 'high', 'critical'], default: 'normal' },
            time: { ...text, default: A_MONDAY },
            expect: { enum: ['allow', 'deny'] },
            policies: texts,
          },
          ['name', 'principal', 'action', 'expect'],
        ),
      },
    },
    ['principals', 'cases'],
  ),
);

/** @throws PoliciesError with the place of what is wrong */
export function parsePolicyTests(content: string, path: string): PolicyCase[] {
  const yaml = YamlFile.parse(content, path, PoliciesError);
  const { principals, cases } = yaml.check(FILE);
  return cases.map(({ name, action, expect, policies, time, resource, server, priority, severity, ...written }, i) => {
    const principal = principals[written.principal];
    if (!principal)
      throw yaml.mistake(['cases', i, 'principal'], `must be one of ${Object.keys(principals).join(', ')}`);
    const at = new Date(time);
    if (Number.isNaN(at.getTime()))
      throw yaml.mistake(['cases', i, 'time'], 'must be a time such as 2026-01-05T22:00:00Z');
    try {
      const question = toQuestion(principal, action, resource, { server, priority, severity });
      return { name, expect, policies, at, question };
    } catch (error) {
      throw yaml.mistake(['cases', i, 'resource'], (error as Error).message);
    }
  });
}

export function runPolicyCase(
  policies: Policies,
  { name, question, at, expect, policies: ids }: PolicyCase,
): CaseResult {
  const decision = policies.decide(question, at);
  const came = decision.allowed ? 'allow' : 'deny';
  const by = decision.policies.join(', ') || 'no policy';
  if (came !== expect) return { name, ok: false, problem: `expected ${expect}, came ${came} by ${by}` };
  if (ids && [...ids].sort().join('\n') !== decision.policies.join('\n')) {
    return {
      name,
      ok: false,
      problem: `expected ${expect} by ${ids.join(', ') || 'no policy'}, came ${came} by ${by}`,
    };
  }
  return { name, ok: true };
}

/**
 * @throws RangeError when the action is not about such a resource
 */
export function toQuestion(
  written: WrittenPrincipal,
  action: AccessAction,
  resource: WrittenResource | undefined,
  { server, priority, severity }: { server: string; priority: string; severity: string },
): Question {
  const { tenant: tenantId, user: userId, groups, via, client, scopes } = written;
  const principal: Caller = {
    ...{ tenantId, userId, groups, via },
    ...(client !== undefined && { clientId: client }),
    ...(scopes !== undefined && { scopes }),
  };
  return {
    principal,
    action,
    resource: toResource(action, resource, tenantId),
    circumstances: {
      server,
      ...(OF_COMMANDS.has(action) && { priority }),
      ...(OF_NOTIFICATIONS.has(action) && { severity }),
    },
  };
}

const ABOUT: Record<AccessAction, 'server' | 'tool' | 'topic' | 'tenant'> = {
  connect: 'server',
  call: 'tool',
  read_resource: 'tool',
  get_prompt: 'tool',
  cancel: 'tool',
  read_result: 'tool',
  read_events: 'topic',
  subscribe: 'topic',
  notify: 'tenant',
  broadcast: 'tenant',
  redrive: 'tool',
  read_audit: 'tenant',
};
const OF_COMMANDS = new Set<AccessAction>(RUN_ACTIONS);
const OF_NOTIFICATIONS = new Set<AccessAction>(['notify', 'broadcast']);

function toResource(action: AccessAction, written: WrittenResource | undefined, tenantId: string): AccessResource {
  const about = ABOUT[action];
  if (about === 'tenant') {
    if (written) throw new RangeError(`must not be there: ${action} is about one's tenant`);
    return { type: 'Tenant', id: tenantId };
  }
  if (about === 'server' && written && 'server' in written) return { type: 'Server', id: written.server };
  if (about === 'topic' && written && 'topic' in written) {
    const slash = written.topic.indexOf('/');
    return topicResource(written.topic.slice(0, slash), written.topic.slice(slash + 1));
  }
  if (about === 'tool' && written && 'tool' in written) {
    const { tool, ...attributes } = written;
    return { ...namedToolResource(tool), ...attributes } as AccessResource;
  }
  throw new RangeError(`must have a ${about}: ${action} is about one`);
}
