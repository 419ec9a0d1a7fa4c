/**
 * `callboard audit …`: who did what, and the proof that nobody has changed the record of it.
 *
 * What is personal is opened by the audit writer, and only after it has recorded who looks. `verify` needs nothing opened: it reads the rows as they
 * are, from the writer or from the database itself, and trusts neither.
 */
import { AUDIT_KINDS, CheckpointKey, toOcsf, type OpenedEntry, type VerifyReport } from '@callboard/audit';
import { decodeToken, encodeToken } from '@callboard/envelope';
import { LedgerControl, type LedgerQuery, type LedgerSource } from '@callboard/jetstream';
import { LedgerReader, PostgresDatabase, dropSealed, migrate, verifyLedger } from '@callboard/ledger';
import { Command, Option } from 'commander';
import { setTimeout as delay } from 'node:timers/promises';
import { Failure } from '../failure.js';
import { printJson, printTable } from '../print.js';
import {
  OPERATOR,
  StackCommand,
  asOperator,
  asUser,
  findStack,
  type StackCommandOptions,
  type StackWhere,
} from '../running-stack.js';
import { parseCount, parseWhen } from '../when.js';

interface WhichOptions extends StackCommandOptions {
  tenant?: string;
  user?: string;
  kind?: string;
  correlation?: string;
  since?: number;
  until?: number;
}

const PAGE = 500;
const FOLLOW_MS = 500;
const SHOWN = 20;

export function auditCommand(): Command {
  return new Command('audit')
    .description('who did what, and the proof of it')
    .addCommand(
      which(new StackCommand('tail'))
        .description('the last entries of the ledger, a line each')
        .addOption(new Option('-n, --last <count>', 'how many').argParser(parseCount).default(SHOWN))
        .option('--follow', 'go on with those that come', false)
        .action(tail),
    )
    .addCommand(which(new StackCommand('search')).description('all entries that fit, the newest first').action(search))
    .addCommand(
      which(new StackCommand('export'))
        .description('all entries that fit, the oldest first, as OCSF API Activity, one JSON object a line')
        .action(exportEntries),
    )
    .addCommand(
      new StackCommand('verify')
        .description(
          'checks every entry, checkpoint and message of the stream; exit code 1 when anything is not as it was written',
        )
        .option('--public-key <key>', 'of the checkpoints; kept apart from the stack, it need not be trusted')
        .option('--database-url <url>', 'reads the database itself, instead of asking the audit writer')
        .action(verify),
    )
    .addCommand(
      new StackCommand('seal')
        .description('keeps, of what is older, a signed checkpoint in place of the entries; export them first')
        .addOption(
          new Option('--before <when>', 'a time, or 365d for a year ago').argParser(parseWhen).makeOptionMandatory(),
        )
        .option('--drop', 'and drops the entries that are sealed', false)
        .option(
          '--database-url <url>',
          "of the ledger's database, as the owner of its tables; needed to drop from a server",
        )
        .action(sealEntries),
    )
    .addCommand(
      new Command('migrate')
        .description('makes the tables of the ledger in a PostgreSQL database, as their owner')
        .requiredOption('--database-url <url>', 'of the database, as a user who may make tables and roles')
        .action(makeTables),
    );
}

function which(command: Command): Command {
  return command
    .option('--tenant <id>', 'of this tenant, as in a subject; % for those of none')
    .option('--user <id>', 'about this user of the tenant')
    .addOption(new Option('--kind <kind>', 'of this kind').choices([...AUDIT_KINDS]))
    .option('--correlation <id>', 'about this command')
    .addOption(new Option('--since <when>', 'a time, or 2h for two hours ago').argParser(parseWhen))
    .addOption(new Option('--until <when>', 'the same').argParser(parseWhen));
}

async function tail({ last, follow, ...options }: WhichOptions & { last: number; follow: boolean }): Promise<void> {
  await withLedger(options, async (ledger) => {
    const found: OpenedEntry[] = [];
    for await (const entry of entries(ledger, queryOf(options), 'newest first')) {
      if (found.push(entry) >= last) break;
    }
    found.reverse();
    for (const entry of found) printLine(entry, options.json);
    if (!follow) return;
    let stopped = false;
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => (stopped = true));
    let after = found.at(-1)?.stream_sequence ?? (await ledger.ask('status', {})).written;
    while (!stopped) {
      // Whether there is something is asked before it is opened: each opening is an entry of its own.
      if ((await ledger.ask('status', {})).written > after) {
        for await (const entry of entries(ledger, { ...queryOf(options), after }, 'oldest first')) {
          if (!isOwnLook(entry)) printLine(entry, options.json);
          after = entry.stream_sequence;
        }
      }
      await delay(FOLLOW_MS);
    }
  });
}

async function search(options: WhichOptions): Promise<void> {
  await withLedger(options, async (ledger) => {
    for await (const entry of entries(ledger, queryOf(options), 'newest first')) printLine(entry, options.json);
  });
}

async function exportEntries(options: WhichOptions): Promise<void> {
  await withLedger(options, async (ledger) => {
    // What this command itself brings about comes after it.
    const { written } = await ledger.ask('status', {});
    for await (const entry of entries(ledger, { ...queryOf(options), after: 0 }, 'oldest first')) {
      if (entry.stream_sequence > written) break;
      console.log(JSON.stringify(toOcsf(entry)));
    }
  });
}

/** Entries page by page; each page that is opened is on record. */
export async function* entries(
  ledger: LedgerControl,
  query: Asked,
  order: 'newest first' | 'oldest first',
): AsyncGenerator<OpenedEntry> {
  let from = query;
  for (;;) {
    const page = await ledger.ask('search', { ...from, limit: PAGE, by: OPERATOR });
    yield* page;
    const last = page.at(-1);
    if (!last) return;
    from = {
      ...from,
      ...(order === 'oldest first' ? { after: last.stream_sequence } : { before: last.stream_sequence }),
    };
  }
}

type Asked = Omit<LedgerQuery, 'limit'> & { user?: string };

function queryOf({ tenant, user, kind, correlation, since, until }: WhichOptions): Asked {
  if (user !== undefined && tenant === undefined) throw new Failure('A user is one of a tenant: say --tenant as well.');
  return {
    ...(tenant !== undefined && { tenant: decodeToken(tenant) }),
    ...(user !== undefined && { user }),
    ...(kind !== undefined && { kind }),
    ...(correlation !== undefined && { correlation_id: correlation }),
    ...(since !== undefined && { since: new Date(since).toISOString() }),
    ...(until !== undefined && { until: new Date(until).toISOString() }),
  };
}

function isOwnLook({ kind, what }: OpenedEntry): boolean {
  return kind === 'operator' && what === 'audit_read';
}

function printLine(entry: OpenedEntry, json: boolean): void {
  if (json) return console.log(JSON.stringify(entry));
  const { at, tenant_id: tenant, kind, what, code, action, personal, actor, correlation_id: id } = entry;
  const who = personal?.user_id ?? actor ?? '-';
  console.log(
    [at, encodeToken(tenant), `${kind} ${what}`, code ?? '', action ?? '', who, id ?? ''].filter(Boolean).join('  '),
  );
}

async function withLedger<T>(where: StackWhere, use: (ledger: LedgerControl) => Promise<T>): Promise<T> {
  return asUser(await findStack(where), 'operator', (nc) => use(new LedgerControl(nc)));
}

interface VerifyOptions extends StackCommandOptions {
  publicKey?: string;
  databaseUrl?: string;
}

async function verify({ json, publicKey, databaseUrl, ...where }: VerifyOptions): Promise<void> {
  const ready = await findStack(where);
  const known = publicKey ?? ready.audit_public_key;
  if (known === undefined) throw new Failure('Say with --public-key with which key the checkpoints are verified.');
  const key = CheckpointKey.parse(known);
  const from = performance.now();
  const report = await asUser(ready, 'sre', async (nc) => {
    if (databaseUrl === undefined) {
      return withLedger(where, (ledger) => verifyLedger(ledger, nc, key, showProgress(json)));
    }
    const db = new PostgresDatabase(databaseUrl);
    const source: LedgerSource = new LedgerReader(db);
    return verifyLedger(source, nc, key, showProgress(json)).finally(() => db.close());
  });
  const perSecond = Math.round(report.records / ((performance.now() - from) / 1_000));
  if (json) printJson({ ok: report.findings.length === 0, records_per_second: perSecond, ...report });
  else printReport(report, perSecond);
  if (report.findings.length > 0) process.exitCode = 1;
}

const TOLD_EVERY = 100_000;

function showProgress(json: boolean) {
  let told = 0;
  return ({ records }: { records: number }) => {
    if (json || records < told + TOLD_EVERY) return;
    told = records;
    process.stderr.write(`${records} entries\n`);
  };
}

function printReport(
  { records, tenants, checkpoints, compared, pending, findings, more }: VerifyReport,
  perSecond: number,
): void {
  const facts = `${records} entries of ${tenants} chains, ${checkpoints} checkpoints, ${compared} messages of the stream`;
  if (findings.length === 0) {
    console.log(
      `Everything is as it was written: ${facts}; ${pending} not in the ledger yet. ${perSecond} entries a second.`,
    );
    return;
  }
  console.log(`Not as it was written: ${facts}.`);
  printTable(
    ['finding', 'where'],
    findings.map(({ code, where }) => [code, where]),
  );
  if (more > 0) console.log(`and ${more} more`);
}

async function sealEntries({ before, drop, databaseUrl, ...options }: SealOptions): Promise<void> {
  const { tenants, entries } = await withLedger(options, async (ledger) => {
    const { tenants } = await ledger.ask('seal', { before: new Date(before).toISOString(), by: OPERATOR });
    if (!drop || databaseUrl !== undefined) return { tenants, entries: 0 };
    return { tenants, ...(await ledger.ask('drop', { by: OPERATOR })) };
  });
  let dropped = entries;
  if (drop && databaseUrl !== undefined) {
    const owner = new PostgresDatabase(databaseUrl);
    const ready = await findStack(options);
    dropped = await asOperator(ready, { what: 'drop' }, () => dropSealed(owner)).finally(() => owner.close());
  }
  if (options.json) return printJson({ tenants, dropped });
  console.log(`Sealed for ${tenants} tenants${drop ? `; ${dropped} entries dropped` : ''}.`);
}

interface SealOptions extends StackCommandOptions {
  before: number;
  drop: boolean;
  databaseUrl?: string;
}

async function makeTables({ databaseUrl }: { databaseUrl: string }): Promise<void> {
  const db = new PostgresDatabase(databaseUrl);
  await migrate(db).finally(() => db.close());
  console.log('The tables of the ledger are there.');
}
