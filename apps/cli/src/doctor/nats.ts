/** The NATS of a stack: does it let our users in, is it new enough, does its clock go with ours, and may each user what is declared? */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { USER_INFO, connectNats, type DeclaredUser, type NatsTls } from '@callboard/jetstream';
import { MINIMUM_VERSION, isFit, permissionsOf } from '@callboard/nats-server';
import type { NatsConnection } from '@nats-io/transport-node';
import type { NatsUserFiles, StackAddress } from '../running-stack.js';
import { failed, ok, warning, type Finding } from './finding.js';

const CONNECT_MS = 10_000;
const ANSWER_MS = 5_000;
/** Deadlines are set by the clock of a front end and kept by that of nats-server: they are off by as much. */
const SKEW_WARNS_MS = 1_000;
const SKEW_FAILS_MS = 10_000;
const PERMISSIONS_FIX =
  'write them again with callboard nats config (or upgrade the chart) and reload the servers: docs/nats.md#when-permissions-change';

/** Why a server did not let us in, as the client or the server says it, and the way out. The first that fits. */
const REFUSALS: readonly [RegExp, code: string, fix: string][] = [
  [
    /certificate has expired|CERT_HAS_EXPIRED|expired certificate/i,
    'certificate_expired',
    'renew the certificate and reload the server; a client takes a renewed one at its next connect',
  ],
  [
    /unable to verify|self.signed|unable to get|unknown authority/i,
    'certificate_not_trusted',
    'name the authority that signed the certificate of the server in CALLBOARD_NATS_TLS_CA',
  ],
  [
    /does not match certificate|altnames/i,
    'certificate_of_another_host',
    'call the server by a name that is in its certificate, in CALLBOARD_NATS_URL',
  ],
  [
    /authentication timeout/i,
    'nats_slow',
    'we, or the server, were too busy to answer each other in time: ask again, and look at the load of both machines',
  ],
  [
    /authorization violation|authentication|user authentication/i,
    'user_not_known',
    'the server does not know this nkey, or not yet: reload it with the accounts.conf of now',
  ],
  [
    /does not support 'tls'/i,
    'no_tls',
    'the server has no TLS: configure it, or use nats:// and none of the variables of TLS',
  ],
  [
    /is not there|may not be read|does not hold/,
    'credentials_unusable',
    'the files of the users are named by CALLBOARD_NATS_USERS, CALLBOARD_NATS_NKEY or CALLBOARD_NATS_CREDS',
  ],
  [/refused|ENOTFOUND|EAI_AGAIN|no answer/i, 'nats_unreachable', 'is a server there, and is CALLBOARD_NATS_URL right?'],
];

export function refusalOf(reason: string): { code: string; fix: string } {
  const [, code, fix] = REFUSALS.find(([pattern]) => pattern.test(reason)) ?? [
    /$/,
    'nats_refuses',
    'docs/nats.md#when-an-app-does-not-connect has what it may be',
  ];
  return { code, fix };
}

/** A connection, or the reason why there is none. Who gets the connection closes it. */
async function enter(servers: string, user: string, files: NatsUserFiles): Promise<NatsConnection | string> {
  let reason = 'no answer';
  const enough = new AbortController();
  const timer = setTimeout(() => enough.abort(), CONNECT_MS);
  try {
    return await connectNats({
      servers,
      user,
      name: 'callboard doctor',
      ...(files.creds && { credsFile: files.creds }),
      ...(files.nkey && { nkeyFile: files.nkey }),
      ...(files.tls && { tls: files.tls }),
      // The first reason says most: what comes later may be of a server that has had enough of us.
      onRefused: ({ message }) => {
        reason = message;
        enough.abort();
      },
      signal: enough.signal,
    });
  } catch (error) {
    return enough.signal.aborted ? reason : (error as Error).message;
  } finally {
    clearTimeout(timer);
  }
}

export interface NatsReport {
  findings: Finding[];
  /** Users that were let in: what else is to be seen can be looked at as them. */
  entered: ReadonlySet<string>;
}

/** @param usersFolder where there are files of more users than commands need */
export async function checkNats(
  { nats_url: servers, nats_users }: StackAddress,
  declared: readonly DeclaredUser[],
  usersFolder: string | undefined,
): Promise<NatsReport> {
  const refused = new Map<string, string[]>();
  const entered = new Set<string>();
  const differing: string[] = [];
  const findings: Finding[] = [];
  let compared = 0;
  const looked = await Promise.all(
    declared.map(async (user) => {
      const files = nats_users[user.name] ?? filesIn(usersFolder, user.name, nats_users['sre']?.tls);
      if (!files) return undefined;
      const nc = await enter(servers, user.name, files);
      if (typeof nc === 'string') {
        refused.set(nc, [...(refused.get(nc) ?? []), user.name]);
        return undefined;
      }
      entered.add(user.name);
      const knowsWho = files.creds !== undefined || files.nkey !== undefined;
      return { user, nc, differences: knowsWho ? await differencesOf(nc, user) : [] };
    }),
  );
  for (const one of looked) {
    if (!one) continue;
    compared += 1;
    if (one.differences.length > 0) differing.push(`${one.user.name} ${one.differences.join('; ')}`);
  }
  const connections = looked.flatMap((one) => (one ? [one.nc] : []));
  const [first] = connections;
  if (first) findings.push(...serverFindings(first), ...(await clockFindings(looked)));
  await Promise.all(connections.map((nc) => nc.close()));
  for (const [reason, users] of refused) {
    const { code, fix } = refusalOf(reason);
    findings.push(failed('NATS', code, `${servers} does not let ${users.join(', ')} in: ${reason}`, fix));
  }
  if (compared > 0) {
    findings.push(
      differing.length === 0
        ? ok('permissions', `of ${compared} of ${declared.length} users, as declared`)
        : failed('permissions', 'permissions_differ', differing.join('. '), PERMISSIONS_FIX),
    );
  }
  return { findings, entered };
}

function filesIn(folder: string | undefined, user: string, tls: NatsTls | undefined): NatsUserFiles | undefined {
  if (folder === undefined) return undefined;
  const creds = join(folder, `${user}.creds`);
  const nkey = join(folder, `${user}.nk`);
  const file = existsSync(creds) ? { creds } : existsSync(nkey) ? { nkey } : undefined;
  return file && { ...file, ...(tls && { tls }) };
}

function serverFindings(nc: NatsConnection): Finding[] {
  const version = nc.info?.version ?? '';
  const plain = /^\d+\.\d+\.\d+/.exec(version)?.[0];
  if (plain === undefined || !isFit(plain)) {
    const finding = `nats-server ${version || 'of no version'}; ${MINIMUM_VERSION} or newer is needed`;
    return [failed('NATS', 'nats_too_old', finding, `run nats-server ${MINIMUM_VERSION} or newer, on every node`)];
  }
  return [ok('NATS', `nats-server ${version} at ${nc.getServer()}`)];
}

type Looked = { user: DeclaredUser; nc: NatsConnection } | undefined;

/** Asked of a stream, because nats-server tells its time nowhere else to everybody. */
async function clockFindings(looked: readonly Looked[]): Promise<Finding[]> {
  const asking = looked.find((one) => one?.user.name === 'sre' || one?.user.name === 'provisioner');
  if (!asking) return [];
  const from = Date.now();
  const answer = await asking.nc
    .request('$JS.API.STREAM.INFO.COMMANDS', '', { timeout: ANSWER_MS })
    .catch(() => undefined);
  const took = Date.now() - from;
  const at = Date.parse(answer?.json<{ ts?: string }>().ts ?? '');
  // Without JetStream or the stream there is another finding.
  if (!Number.isFinite(at)) return [];
  const skewMs = Math.round(at - (from + took / 2));
  // What the answer took is how little we know.
  const surely = Math.max(0, Math.abs(skewMs) - took);
  const finding = `nats-server is ${Math.abs(skewMs)} ms ${skewMs < 0 ? 'behind' : 'ahead of'} this machine`;
  const fix =
    'set both clocks by NTP: deadlines, schedules and the ages of tokens are off by as much, on each machine that differs';
  if (surely >= SKEW_FAILS_MS) return [failed('clock', 'clock_skew', finding, fix)];
  if (surely >= SKEW_WARNS_MS) return [warning('clock', 'clock_skew', finding, fix)];
  return [ok('clock', finding)];
}

interface Grants {
  publish?: { allow?: string[]; deny?: string[] };
  subscribe?: { allow?: string[]; deny?: string[] };
  responses?: object;
}

/** Where what the server grants a connection is not what is declared. */
async function differencesOf(nc: NatsConnection, user: DeclaredUser): Promise<string[]> {
  const answer = await nc.request(USER_INFO, '', { timeout: ANSWER_MS }).catch(() => undefined);
  if (!answer) return ['may not ask what it may do: its permissions are of an older version'];
  const { data } = answer.json<{ data?: { permissions?: Grants } }>();
  const actual = data?.permissions;
  if (!actual) return ['may do everything'];
  const expected = permissionsOf(user) as Grants & { allow_responses?: object };
  const differences = (['publish', 'subscribe'] as const).flatMap((verb) =>
    (['allow', 'deny'] as const).flatMap((kind) => {
      const [is, should] = [actual[verb]?.[kind] ?? [], expected[verb]?.[kind] ?? []];
      return [
        ...tell(
          should.filter((subject) => !is.includes(subject)),
          kind === 'allow' ? `may not ${verb}` : `may ${verb}`,
        ),
        ...tell(
          is.filter((subject) => !should.includes(subject)),
          kind === 'allow' ? `may ${verb}` : `may not ${verb}`,
        ),
      ];
    }),
  );
  if (Boolean(actual.responses) !== Boolean(expected.allow_responses)) {
    differences.push(actual.responses ? 'may answer requests' : 'may not answer requests');
  }
  return differences;
}

const SHOWN = 3;

function tell(subjects: readonly string[], what: string): string[] {
  if (subjects.length === 0) return [];
  const more = subjects.length > SHOWN ? ` and ${subjects.length - SHOWN} more` : '';
  return [`${what} ${subjects.slice(0, SHOWN).join(', ')}${more}`];
}
