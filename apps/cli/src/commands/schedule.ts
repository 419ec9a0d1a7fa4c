/** `callboard commands schedule create|list|delete`: commands that run at a time, or again and again. */
import { Catalog, checkArguments, defaultOrderingKey, type RegisteredAction } from '@callboard/actions';
import {
  CallboardError,
  PRIORITIES,
  actionId,
  commandOfSchedule,
  newCorrelationId,
  parseActionId,
  type JsonObject,
  type Priority,
  type ScheduledCommand,
} from '@callboard/envelope';
import { BUCKET, KeyValueStore, ScheduleRefused, Schedules, type When } from '@callboard/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { Command, InvalidArgumentError, Option } from 'commander';
import { Failure } from '../failure.js';
import { printJson, printTable } from '../print.js';
import { StackCommand, asOperator, asUser, findStack, type StackCommandOptions } from '../running-stack.js';
import { parseCount, parseDuration, parseTime } from '../when.js';

interface CreateOptions extends StackCommandOptions {
  args: JsonObject;
  at?: number;
  every?: number;
  cron?: string;
  timeZone?: string;
  tenant: string;
  user: string;
  key?: string;
  deadlineMs?: number;
  priority: Priority;
  replace: boolean;
}

const TENANT = new Option('--tenant <id>', 'tenant of the commands').default('default');

export function scheduleCommand(): Command {
  const create = new StackCommand('create')
    .description('have an action run later, or again and again')
    .argument('<name>', 'of the schedule')
    .argument('<action>', 'such as git.clone')
    .addOption(new Option('--args <json>', 'its arguments').argParser(parseArgs).default({}, '{}'))
    .addOption(
      new Option('--at <time>', 'once: 2026-07-28T05:00:00Z').argParser(parseTime).conflicts(['cron', 'every']),
    )
    .addOption(new Option('--every <duration>', 'again and again: 10m').argParser(parseEvery).conflicts(['cron']))
    .addOption(new Option('--cron <fields>', 'second minute hour day month weekday: "0 0 5 * * *"'))
    .addOption(
      new Option('--time-zone <name>', 'of --cron, such as Europe/Berlin; UTC without').conflicts(['at', 'every']),
    )
    .addOption(TENANT)
    .option('--user <id>', 'in whose name', 'user:local/operator')
    .option('--key <key>', "ordering key (default: the action's own)")
    .addOption(new Option('--deadline-ms <n>', "from each start (default: the action's own)").argParser(parseCount))
    .addOption(new Option('--priority <priority>', 'among the ready ones').choices(PRIORITIES).default('normal'))
    .option('--replace', 'take the place of the schedule of this name', false)
    .action(createSchedule);
  const list = new StackCommand('list')
    .description('the schedules, and when they fire next as far as that is known')
    .action(listSchedules);
  const remove = new StackCommand('delete')
    .description('take a schedule back; commands that it has begun go on')
    .argument('<name>', 'of the schedule')
    .addOption(TENANT)
    .action(deleteSchedule);
  return new Command('schedule')
    .description('commands that run at a time, or again and again')
    .addCommand(create)
    .addCommand(list)
    .addCommand(remove);
}

async function createSchedule(name: string, action: string, options: CreateOptions): Promise<void> {
  const when = whenOf(options);
  const ready = await findStack(options);
  const doing = { what: 'schedule', tenantId: options.tenant, action, args: options.args, details: { schedule: name } };
  const command = await asOperator(ready, doing, async (nc) => {
    const command = commandOf(await registered(nc, action), options);
    await (await Schedules.open(nc)).create(name, when, command, options.replace).catch((error: unknown) => {
      if (error instanceof ScheduleRefused) throw new Failure(`The schedule was not made: ${error.message}.`);
      throw error;
    });
    return command;
  });
  if (options.json) return printJson({ name, ...command });
  console.log(`${name} is scheduled: ${action} for ${command.user_id} of ${command.tenant_id}.`);
}

async function listSchedules({ json, ...where }: StackCommandOptions): Promise<void> {
  const ready = await findStack(where);
  const schedules = await asUser(ready, 'operator', async (nc) => (await Schedules.open(nc)).list());
  if (json) return printJson(schedules);
  if (schedules.length === 0) return console.log('Nothing is scheduled.');
  printTable(
    ['NAME', 'WHEN', 'NEXT', 'ACTION', 'KEY', 'TENANT', 'CALLER'],
    schedules.map(({ name, when, time_zone, next, tenant_id, command }) => [
      name,
      time_zone ? `${when} ${time_zone}` : when,
      next ?? '-',
      actionId(command),
      command.ordering_key ?? '-',
      tenant_id,
      command.user_id,
    ]),
  );
}

async function deleteSchedule(
  name: string,
  { json, tenant, ...where }: StackCommandOptions & { tenant: string },
): Promise<void> {
  const ready = await findStack(where);
  const doing = { what: 'unschedule', tenantId: tenant, details: { schedule: name } };
  const was = await asOperator(ready, doing, async (nc) => (await Schedules.open(nc)).delete(tenant, name));
  if (!was) throw new Failure(`There is no schedule ${name} of tenant ${tenant}.`);
  if (json) return printJson({ name, tenant_id: tenant, deleted: true });
  console.log(`${name} is taken back.`);
}

function whenOf({ at, every, cron, timeZone }: CreateOptions): When {
  if (at !== undefined) {
    if (at < Date.now()) throw new Failure('The time of --at has passed.');
    return { at: new Date(at) };
  }
  if (every !== undefined) return { everyMs: every };
  if (cron !== undefined) return { cron, ...(timeZone !== undefined && { timeZone }) };
  throw new Failure('Say when: --at, --every or --cron.');
}

async function registered(nc: NatsConnection, id: string): Promise<RegisteredAction> {
  let failed: unknown;
  const catalog = new Catalog(await KeyValueStore.open(nc, BUCKET.actions), (error) => (failed = error));
  await catalog.start();
  catalog.stop();
  if (failed) throw failed;
  const action = catalog.view.actions.get(id);
  if (!action) throw new Failure(`No action ${id} is registered: callboard actions list shows those that are.`);
  return action;
}

/** What the action has defaults for is decided here, once, and checked as each tick will check it. */
function commandOf(action: RegisteredAction, options: CreateOptions): ScheduledCommand {
  const { args, user: userId, key } = options;
  const correlationId = newCorrelationId();
  const orderingKey = key ?? defaultOrderingKey(action, { args, userId, correlationId });
  const command: ScheduledCommand = {
    tenant_id: options.tenant,
    user_id: userId,
    ...parseActionId(action.id),
    args,
    // Where the action keeps no order, each command is a key of its own.
    ...(orderingKey !== correlationId && { ordering_key: orderingKey }),
    deadline_ms: options.deadlineMs ?? action.deadline_ms,
    priority: options.priority,
  };
  try {
    checkArguments(action, args);
    commandOfSchedule(command, correlationId, Date.now());
  } catch (error) {
    if (error instanceof CallboardError) throw new Failure(`The schedule was not made: ${error.message}.`);
    throw error;
  }
  return command;
}

function parseArgs(text: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // Said below.
  }
  if (value !== null && typeof value === 'object' && !Array.isArray(value)) return value as JsonObject;
  throw new InvalidArgumentError('It must be a JSON object.');
}

function parseEvery(text: string): number {
  const ms = parseDuration(text);
  if (!ms) throw new InvalidArgumentError('It must be a duration such as 30s, 10m, 2h or 1d.');
  return ms;
}
