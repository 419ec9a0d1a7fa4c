/** `callboard access`: what policies decide, and whether they decide what their tests say. Needs no running stack. */
import { dirname } from 'node:path';
import { readFile } from 'node:fs/promises';
import {
  ACCESS_ACTIONS,
  OPERATOR_ACTIONS,
  Policies,
  PoliciesError,
  parsePolicyTests,
  runPolicyCase,
  toQuestion,
  type AccessAction,
  type WrittenPrincipal,
  type WrittenResource,
} from '@callboard/access';
import { Command, Option } from 'commander';
import { Failure } from '../failure.js';
import { printJson, printTable } from '../print.js';

const VIA = ['anonymous', 'static', 'jwt', 'backstage'];

interface ExplainOptions {
  policies?: string;
  principal: string;
  group: string[];
  via: string;
  client?: string;
  scope?: string[];
  action: AccessAction;
  resource?: string;
  attribute: string[];
  server: string;
  priority: string;
  severity: string;
  at?: string;
  json: boolean;
}

export function accessCommand(): Command {
  const more = (value: string, before: string[] = []) => [...before, value];
  return new Command('access')
    .description('ask and test the policies that say who may do what')
    .addCommand(
      new Command('explain')
        .description('what policies decide about one question, and which of them')
        .addOption(policiesOption())
        .requiredOption('--principal <tenant/user>', 'who asks, such as acme/user:default/ada')
        .option('--group <name>', 'a group of the principal, without the tenant; again for more', more, [])
        .addOption(new Option('--via <how>', 'how the principal is known').choices(VIA).default('jwt'))
        .option('--client <id>', 'the software that calls for the principal')
        .option('--scope <name>', 'a scope of the credential; again for more. None: not limited by scopes', more)
        .addOption(new Option('--action <name>', 'what is to be done').choices(ACCESS_ACTIONS).makeOptionMandatory())
        .option('--resource <name>', 'a tool (git.clone), a topic (source/topic) or a server (/mcp/ops)')
        .option('--attribute <name>', 'of the tool: read_only, destructive, idempotent, open_world', more, [])
        .option('--server <path>', 'the MCP server that it comes through', '/mcp')
        .addOption(new Option('--priority <p>', 'of the command').choices(['high', 'normal', 'low']).default('normal'))
        .option('--severity <s>', 'of the notification', 'normal')
        .option('--at <time>', 'when, in ISO 8601; now unless said otherwise')
        .option('--json', 'as JSON', false)
        .action(explain),
    )
    .addCommand(
      new Command('test')
        .description('run a file of cases; exit code 0 only when all are as expected')
        .argument('<file>', 'YAML file of principals and cases')
        .addOption(policiesOption())
        .option('--json', 'as JSON', false)
        .action(test),
    );
}

function policiesOption(): Option {
  return new Option(
    '--policies <path>',
    "a *.cedar file or a folder of them; for tests the folder of the file, else CALLBOARD_POLICIES, else everything within one's tenant",
  );
}

async function explain(options: ExplainOptions): Promise<void> {
  const policies = await open(options.policies ?? process.env['CALLBOARD_POLICIES'] ?? '');
  const at = options.at === undefined ? new Date() : new Date(options.at);
  if (Number.isNaN(at.getTime())) throw new Failure('--at must be a time such as 2026-01-05T22:00:00Z');
  const { action, server, priority, severity } = options;
  const question = ask(() =>
    toQuestion(readPrincipal(options), action, readResource(options), { server, priority, severity }),
  );
  const { allowed, policies: deciding, failed } = policies.decide(question, at);
  if (options.json) {
    const decision = { decision: allowed ? 'allow' : 'deny', policies: deciding, failed, digest: policies.digest };
    return printJson(decision);
  }
  console.log(allowed ? 'allow' : 'deny');
  if (deciding.length > 0) console.log(`by ${deciding.join(', ')}`);
  else console.log(`no policy permits it${mustBeNamed(action)}, and what no policy permits is denied`);
  if (failed.length > 0) console.log(`could not be evaluated, so it is denied: ${failed.join(', ')}`);
}

/** For what operators do, a permission for everything is none. */
function mustBeNamed(action: AccessAction): string {
  return (OPERATOR_ACTIONS as readonly string[]).includes(action) ? ` by its name, Action::"${action}"` : '';
}

async function test(file: string, options: { policies?: string; json: boolean }): Promise<void> {
  const text = await readFile(file, 'utf8').catch(() => {
    throw new Failure(`${file} cannot be read`);
  });
  const policies = await open(options.policies ?? dirname(file));
  const results = ask(() => parsePolicyTests(text, file)).map((each) => runPolicyCase(policies, each));
  const failed = results.filter(({ ok }) => !ok);
  if (options.json) printJson({ cases: results.length, failed: failed.length, results });
  else if (failed.length > 0)
    printTable(
      ['case', 'problem'],
      failed.map(({ name, problem = '' }) => [name, problem]),
    );
  if (failed.length > 0) throw new Failure(`${failed.length} of ${results.length} cases are not as expected.`);
  if (!options.json) console.log(`${results.length} cases, all as expected.`);
}

async function open(path: string): Promise<Policies> {
  try {
    const policies = await Policies.open(path);
    policies.close();
    return policies;
  } catch (error) {
    if (error instanceof PoliciesError) throw new Failure(error.problems.join('\n'));
    throw error;
  }
}

/** A mistake of whoever asked is told in one line. */
function ask<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof PoliciesError) throw new Failure(error.problems.join('\n'));
    if (error instanceof RangeError) throw new Failure(`--resource ${error.message}`);
    throw error;
  }
}

function readPrincipal({ principal, group, via, client, scope }: ExplainOptions): WrittenPrincipal {
  const slash = principal.indexOf('/');
  if (slash < 1 || slash === principal.length - 1) throw new Failure('--principal must be tenant/user');
  return {
    tenant: principal.slice(0, slash),
    user: principal.slice(slash + 1),
    groups: group,
    via: via as WrittenPrincipal['via'],
    ...(client !== undefined && { client }),
    ...(scope !== undefined && { scopes: scope }),
  };
}

const ATTRIBUTES = ['read_only', 'destructive', 'idempotent', 'open_world'];
const SURFACES: Partial<Record<AccessAction, 'resource' | 'prompt'>> = {
  read_resource: 'resource',
  get_prompt: 'prompt',
};

function readResource({ action, resource, attribute }: ExplainOptions): WrittenResource | undefined {
  if (resource === undefined) return undefined;
  const unknown = attribute.find((name) => !ATTRIBUTES.includes(name));
  if (unknown !== undefined) throw new Failure(`--attribute must be one of ${ATTRIBUTES.join(', ')}`);
  if (action === 'connect') return { server: resource };
  if (action === 'read_events' || action === 'subscribe') {
    if (!/^[^/]+\/.+$/.test(resource)) throw new Failure('--resource must be source/topic');
    return { topic: resource };
  }
  const has = (name: string) => attribute.includes(name);
  return {
    tool: resource,
    surface: SURFACES[action] ?? 'tool',
    read_only: has('read_only'),
    destructive: has('destructive'),
    idempotent: has('idempotent'),
    open_world: has('open_world'),
  };
}
