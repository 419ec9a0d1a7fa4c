/** `callboard tenants`: what each tenant may use, and does; a copy of what is kept of it, and its end. Front ends say which quotas are in force, and how much of them is used. */
import { encodeToken } from '@callboard/envelope';
import { BUCKET, KeyValueStore } from '@callboard/jetstream';
import { Command, Option } from 'commander';
import { Failure } from '../failure.js';
import { printJson, printTable } from '../print.js';
import {
  StackCommand,
  asOperator,
  asUser,
  findStack,
  type StackAddress,
  type StackCommandOptions,
} from '../running-stack.js';
import { eraseTenant } from '../tenants/erase-tenant.js';
import { exportTenant } from '../tenants/export-tenant.js';
import { forgetKeys, toldKeys } from '../tenants/forget-keys.js';
import { parseCount } from '../when.js';
import { OTHERS, readTenants, type TenantUse } from '../tenant-metrics.js';

interface TenantsOptions extends StackCommandOptions {
  metrics?: string[];
}

export function tenantsCommand(): Command {
  return new Command('tenants')
    .description('what each tenant may use of the front ends, and does; to export, forget or erase one')
    .addCommand(
      asking(new StackCommand('list').description('tenants that have a quota of their own, or commands')).action(list),
    )
    .addCommand(
      asking(new StackCommand('show').description('the quotas of a tenant, what it uses of them, what was refused'))
        .argument('<tenant>', 'its name')
        .action(show),
    )
    .addCommand(
      new StackCommand('forget')
        .description('destroy the keys of a tenant: of its pseudonyms, and of who did what in the ledger')
        .argument('<tenant>', 'its name')
        .option('--user <id>', 'only who did what, of this user of the tenant')
        .requiredOption('--confirm <tenant>', 'the name again: what is destroyed does not come back')
        .action(forget),
    )
    .addCommand(
      new StackCommand('export')
        .description('write everything that is kept of a tenant into files, and a manifest of them')
        .argument('<tenant>', 'its name')
        .requiredOption('--to <folder>', 'a new folder, or an empty one')
        .action(exportAll),
    )
    .addCommand(
      new StackCommand('erase')
        .description('take everything that is kept of a tenant out of every stream, and destroy its keys')
        .argument('<tenant>', 'its name')
        .requiredOption('--confirm <tenant>', 'the name again: what is erased does not come back')
        .option('--cancel', 'first cancel its commands that have not ended, and undo its sagas', false)
        .addOption(
          new Option('--wait-s <seconds>', 'with --cancel: how long they may take to end')
            .argParser(parseCount)
            .default(120),
        )
        .action(erase),
    );
}

function asking(command: Command): Command {
  return command.addOption(
    new Option('--metrics <url...>', 'metrics of every front end, where they are not known: of a stack elsewhere'),
  );
}

async function list({ json, metrics, ...where }: TenantsOptions): Promise<void> {
  const tenants = await readTenants(frontEnds(metrics ? undefined : await findStack(where), metrics));
  if (json) return printJson([...tenants].map(([tenant, use]) => ({ tenant, ...use })));
  printTable(
    ['tenant', 'open', 'commands', 'calls/s', 'subscriptions', 'refused'],
    [...tenants].map(([tenant, { open, refused, quota }]) => [
      tenant === OTHERS ? '(all others)' : tenant,
      String(open),
      String(quota['commands'] ?? ''),
      String(quota['calls_per_second'] ?? '-'),
      String(quota['event_subscriptions'] ?? ''),
      String(Object.values(refused).reduce((sum, count) => sum + count, 0)),
    ]),
  );
}

async function show(tenant: string, { json, metrics, ...where }: TenantsOptions): Promise<void> {
  const stack = await findStack(where);
  const tenants = await readTenants(frontEnds(stack, metrics));
  const { quota } = tenants.get(tenant) ?? tenants.get(OTHERS)!;
  const { open = 0, refused = {}, own = false }: Partial<TenantUse> = tenants.get(tenant) ?? {};
  const subscriptions = await asUser(stack, 'sre', async (nc) =>
    (await KeyValueStore.open(nc, BUCKET.subscriptions)).count(`${encodeToken(tenant)}.*.*`),
  );
  if (json) return printJson({ tenant, own, quota, open, event_subscriptions: subscriptions, refused });
  console.log(
    own ? `${tenant} has a quota of its own.` : `${tenant} has the quota of all that the file does not name.`,
  );
  printTable(
    ['limit', 'may', 'does', 'counted'],
    Object.entries(quota).map(([limit, may]) => [
      limit,
      String(may),
      limit === 'commands' ? String(open) : limit === 'event_subscriptions' ? String(subscriptions) : '',
      limit.startsWith('event_') ? 'in all' : 'by each front end',
    ]),
  );
  for (const [limit, count] of Object.entries(refused)) console.log(`${count} refused: ${limit}`);
}

interface ForgetOptions extends StackCommandOptions {
  user?: string;
  confirm: string;
}

async function forget(tenant: string, { json, user, confirm, ...where }: ForgetOptions): Promise<void> {
  if (confirm !== tenant) throw new Failure('--confirm must be the name of the tenant: nothing was destroyed.');
  const doing = { what: 'forget', tenantId: '', details: { tenant, what: user === undefined ? 'tenant' : 'person' } };
  const keys = await asOperator(await findStack(where), doing, (nc) => forgetKeys(nc, tenant, user));
  if (json) return printJson({ tenant, ...keys });
  console.log(toldKeys(keys));
}

async function exportAll(tenant: string, { json, to, ...where }: StackCommandOptions & { to: string }): Promise<void> {
  const manifest = await exportTenant(await findStack(where), tenant, to);
  if (json) return printJson(manifest);
  printTable(
    ['file', 'lines', 'bytes'],
    manifest.files.map(({ file, lines, bytes }) => [file, String(lines), String(bytes)]),
  );
  for (const { what, messages, why } of manifest.left_out) {
    console.log(`left out: ${messages === undefined ? '' : `${messages} of `}${what}: ${why}`);
  }
}

interface EraseOptions extends StackCommandOptions {
  confirm: string;
  cancel: boolean;
  waitS: number;
}

async function erase(tenant: string, { json, confirm, cancel, waitS, ...where }: EraseOptions): Promise<void> {
  if (confirm !== tenant) throw new Failure('--confirm must be the name of the tenant: nothing was erased.');
  const erased = await eraseTenant(await findStack(where), tenant, cancel ? { waitMs: waitS * 1_000 } : undefined);
  if (json) return printJson(erased);
  printTable(
    ['erased from', 'messages'],
    Object.entries(erased.erased).map(([stream, messages]) => [stream, String(messages)]),
  );
  console.log(toldKeys(erased));
}

/** @throws Failure when it is not known where they are */
function frontEnds(stack: StackAddress | undefined, named: string[] | undefined): string[] {
  const urls = named ?? stack?.metrics?.['mcp-frontend'];
  if (urls && urls.length > 0) return urls;
  throw new Failure('Say with --metrics where the front ends have their metrics, such as http://HOST:9090/metrics.');
}
