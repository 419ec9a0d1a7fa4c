/** How the other commands find the stack that `up` has started, and talk to it as one of its users. */
import { userInfo } from 'node:os';
import type { Audit, AuditFact } from '@callboard/audit';
import { AuditTrail, connectNats, type NatsTls } from '@callboard/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { Command, Option } from 'commander';
import { pathsOf } from './data-dir.js';
import { externalStack, variablesOf, type COMMAND_USERS } from './external-nats.js';
import { Failure, messageOf } from './failure.js';
import { readReadyFile, type ReadyFile } from './ready-file.js';

const CONNECT_MS = 5_000;

export const jsonOption = () => new Option('--json', 'print JSON').default(false);

/** Which stack is meant. */
export interface StackWhere {
  dataDir: string;
  external: boolean;
  context?: string;
}

export interface StackCommandOptions extends StackWhere {
  json: boolean;
}

/** A command that talks to a stack: one that runs here, or one whose NATS others run. */
export class StackCommand extends Command {
  constructor(name: string) {
    super(name);
    this.addOption(new Option('--data-dir <dir>', 'data dir of the stack').default('.callboard'))
      .addOption(
        new Option(
          '--external',
          'the stack whose NATS the variables CALLBOARD_NATS_URL, CALLBOARD_NATS_USERS and the like name, instead of one that runs here',
        ).default(false),
      )
      .addOption(
        new Option('--context <file>', 'the same, with the variables of this file instead of the environment').env(
          'CALLBOARD_CONTEXT',
        ),
      )
      .addOption(jsonOption());
  }
}

/** What proves that one is a user of NATS; nothing, where the server asks for nothing. */
export interface NatsUserFiles {
  creds?: string;
  nkey?: string;
  tls?: NatsTls;
}

/** How a stack is reached; of one that runs elsewhere, no more is known. */
export interface StackAddress extends Partial<Omit<ReadyFile, 'nats_url' | 'nats_users'>> {
  nats_url: string;
  nats_users: Record<string, NatsUserFiles>;
}

export const isElsewhere = ({ external, context }: StackWhere): boolean => external || context !== undefined;

/** @throws Failure when no stack is ready there. */
export async function findStack(where: StackWhere): Promise<StackAddress> {
  if (isElsewhere(where)) return externalStack(await variablesOf(where.context));
  const paths = pathsOf(where.dataDir);
  const ready = await readReadyFile(paths.ready);
  if (ready) return ready;
  throw new Failure(
    `No stack is ready in ${paths.path}. Start one with npm start, name its folder with --data-dir, or one that runs elsewhere with --context.`,
  );
}

/**
 * Connects to a stack's NATS as one of its users, for as long as `use` runs.
 * @throws Failure when no server lets it in before `signal` ends the waiting, with the last reason.
 */
export async function asUser<T>(
  { nats_url: servers, nats_users }: StackAddress,
  user: (typeof COMMAND_USERS)[number],
  use: (nc: NatsConnection) => Promise<T>,
  signal = AbortSignal.timeout(CONNECT_MS),
): Promise<T> {
  const { creds, nkey, tls } = nats_users[user]!;
  let reason = 'no answer';
  const nc = await connectNats({
    servers,
    user,
    ...(creds && { credsFile: creds }),
    ...(nkey && { nkeyFile: nkey }),
    ...(tls && { tls }),
    name: 'callboard',
    onRefused: ({ message }) => (reason = message),
    signal,
  }).catch((cause: unknown) => {
    if (!signal.aborted) throw new Failure(messageOf(cause));
    throw new Failure(`${servers} does not let ${user} in: ${reason}. callboard doctor says more.`);
  });
  try {
    return await use(nc);
  } finally {
    await nc.close();
  }
}

/** Who is at the terminal, for the record. In a container a user may have a number only. */
export const OPERATOR = `${userName()}@callboard`;

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return `uid-${process.getuid?.()}`;
  }
}

type Doing = Pick<AuditFact, 'what'> & Partial<AuditFact>;

/** Acts as the operator, once what is about to be done is on record; `use` may have more to record. */
export async function asOperator<T>(
  stack: StackAddress,
  doing: Doing | undefined,
  use: (nc: NatsConnection, audit: Audit) => Promise<T>,
): Promise<T> {
  return asUser(stack, 'operator', async (nc) => {
    const audit = new AuditTrail(nc, { app: 'cli', instance: 'callboard' });
    try {
      if (doing) await audit.record(operatorFact(doing));
      return await use(nc, audit);
    } finally {
      await audit.close();
    }
  });
}

export function operatorFact(doing: Doing): AuditFact {
  return { tenantId: '', ...doing, kind: 'operator', who: { userId: OPERATOR } };
}
