/** `callboard doctor`: can a stack run here, and is the one that runs, here or elsewhere, healthy? Changes nothing and fetches nothing. */
import { join, resolve } from 'node:path';
import { declareTopology, type TopologyOptions } from '@callboard/jetstream';
import { Option, type Command } from 'commander';
import { pathsOf } from '../data-dir.js';
import { checkApps } from '../doctor/apps.js';
import { checkBackstages } from '../doctor/backstages.js';
import { checkCertificates } from '../doctor/certificates.js';
import { checkDatabase } from '../doctor/database.js';
import { looking, type Finding } from '../doctor/finding.js';
import { checkIssuers } from '../doctor/issuers.js';
import { checkDataDir, checkNatsServer, checkNode, checkPort } from '../doctor/machine.js';
import { checkNats } from '../doctor/nats.js';
import { checkContents, checkDeclared } from '../doctor/streams.js';
import { checkAuditWriter, checkSagas } from '../doctor/work.js';
import { usersFolder, variablesOf } from '../external-nats.js';
import { Failure } from '../failure.js';
import { printJson } from '../print.js';
import { readReadyFile } from '../ready-file.js';
import {
  StackCommand,
  asUser,
  findStack,
  isElsewhere,
  type StackAddress,
  type StackCommandOptions,
  type StackWhere,
} from '../running-stack.js';
import { DEFAULT_CONFIG, readConfigFile, topologyOptions, type StackConfig } from '../stack-config.js';

interface DoctorOptions extends StackCommandOptions {
  config?: string;
  strict: boolean;
}

const SEE_LOGS = 'see the log of nats-server';

export function doctorCommand(): Command {
  return new StackCommand('doctor')
    .description('say whether a stack can run here, and what is wrong with the one that runs, with the way out')
    .addOption(
      new Option(
        '--config <file>',
        'configuration file of the stack: its streams, issuers and Backstages are held against it',
      ),
    )
    .option('--strict', 'a warning is a failure too', false)
    .action(doctor);
}

async function doctor({ json, strict, ...what }: DoctorOptions): Promise<void> {
  const findings = await examine(what);
  const wrong = findings.filter(({ status }) => status === 'failed' || (strict && status === 'warning'));
  if (json) printJson({ ok: wrong.length === 0, findings });
  else for (const finding of findings) print(finding);
  if (wrong.length === 0) return;
  const checks = [...new Set(wrong.map(({ check }) => check))];
  throw new Failure(`not healthy: ${checks.join(', ')}. The lines above say what to do.`);
}

/** Everything that can be seen from here of the stack that is meant. */
export async function examine({ config: file, ...where }: StackWhere & { config?: string }): Promise<Finding[]> {
  const config = file === undefined ? undefined : await readConfigFile(file);
  const elsewhere = isElsewhere(where);
  return [
    checkNode(),
    ...(elsewhere ? await checkElsewhere(where, config) : await checkHere(where.dataDir, config)),
    ...(await checkFarSides(elsewhere ? await variablesOf(where.context) : process.env, config)),
  ];
}

function print({ check, status, finding, fix }: Finding): void {
  console.log(`${status.padEnd(8)} ${check}: ${finding}`);
  if (fix !== undefined) console.log(`${' '.repeat(8)} -> ${fix}`);
}

/** Where a stack runs, or is to run, on this machine. */
async function checkHere(dataDir: string, config: StackConfig = DEFAULT_CONFIG): Promise<Finding[]> {
  const paths = pathsOf(dataDir);
  const ready = await readReadyFile(paths.ready);
  const topology = ready?.topology ?? topologyOptions(config);
  return [
    await checkNatsServer(),
    ...(await checkDataDir(paths.path, config.nats.minFreeBytes, topology)),
    ...(ready
      ? [
          ...(await checkApps(ready)),
          ...(await checkStack(
            ready,
            config === DEFAULT_CONFIG ? topology : topologyOptions(config),
            join(paths.nats, 'creds'),
          )),
        ]
      : [await checkPort(config.port)]),
    ...(ready?.database_url === undefined ? [] : await checkDatabase(ready.database_url)),
  ];
}

async function checkElsewhere(where: StackWhere, config: StackConfig | undefined): Promise<Finding[]> {
  const variables = await variablesOf(where.context);
  const options = config ? topologyOptions(config) : {};
  return checkStack(await findStack(where), options, usersFolder(variables));
}

/** A stack here may leave it out, or have it elsewhere; of one elsewhere nobody says so. */
const hasAuditWriter = ({ metrics }: StackAddress) =>
  metrics === undefined || (metrics['audit-writer'] ?? []).length > 0;

/** As far as nats-server lets us look. */
async function checkStack(
  stack: StackAddress,
  options: Partial<TopologyOptions>,
  users: string | undefined,
): Promise<Finding[]> {
  const { findings, entered } = await checkNats(stack, declareTopology(options).users, users);
  const certificates = await checkCertificates(stack);
  const as = (
    user: 'sre' | 'operator' | 'provisioner',
    check: string,
    look: Parameters<typeof asUser<Finding[]>>[2],
  ) => (entered.has(user) ? looking(check, SEE_LOGS, () => asUser(stack, user, look)) : []);
  return [
    ...findings,
    ...certificates,
    ...(await as('provisioner', 'streams', (nc) => checkDeclared(nc, options))),
    ...(await as('sre', 'streams', checkContents)),
    ...(await as('operator', 'sagas', checkSagas)),
    ...(hasAuditWriter(stack) ? await as('operator', 'audit writer', checkAuditWriter) : []),
  ];
}

/** What the apps depend on beside NATS, as their own variables and the configuration file name it. */
async function checkFarSides(variables: NodeJS.ProcessEnv, config: StackConfig | undefined): Promise<Finding[]> {
  const access = variables['CALLBOARD_ACCESS'] ?? config?.access;
  const adapters = variables['CALLBOARD_ADAPTERS'] ?? config?.adapters;
  const database =
    variables['CALLBOARD_AUDIT_DATABASE_URL'] ?? config?.env['audit-writer']?.['CALLBOARD_AUDIT_DATABASE_URL'];
  return [
    ...(access ? await checkIssuers(resolve(access)) : []),
    ...(adapters ? await checkBackstages(adapters, { ...variables, ...config?.env['action-runner'] }) : []),
    ...(database ? await checkDatabase(database) : []),
  ];
}
