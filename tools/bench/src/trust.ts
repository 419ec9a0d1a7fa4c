/**
 * `trust`: what it costs a call that its caller is known, that policy is asked, and that it is on record. Processor time in this process of the code
 * that does it, up to the publish of a record: what nats-server does with records is in `cost`. Beside it, in the same rounds, two things that every
 * machine can do: the call's envelope as JSON with its SHA-256, and a bare signature verified.
 */
import { createHash, generateKeyPairSync, sign, verify } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  Access,
  Gate,
  Policies,
  callerOf,
  commandCallerOf,
  runActionOf,
  toolResource,
  type Principal,
} from '@callboard/access';
import { defineAction } from '@callboard/actions';
import {
  MemoryAudit,
  begunAttempt,
  endedAttempts,
  parseRecord,
  submittedCommand,
  writeRecord,
  type AuditFact,
} from '@callboard/audit';
import type { CommandEnvelope } from '@callboard/envelope';
import { startTestIssuer } from '@callboard/testing';
import { z } from 'zod';
import type { Bench, BenchContext } from './bench.js';
import { benchCommand } from './commands.js';
import { align } from './report.js';
import { spread } from './statistics.js';

const POLICIES = fileURLToPath(new URL('../../../examples/policies', import.meta.url));
const SERVER = '/mcp';
const PUBLIC_URL = 'http://callboard.example';
const RESOURCE = { server: '', url: `${PUBLIC_URL}${SERVER}` };
const REMEMBER_S = 3_600;
const GOAL_US = 150;
const ROUNDS = 7;
/** Of processor time: however busy the machine, as much is done in each. */
const WINDOW_MS = 400;
const QUICK_WINDOW_MS = 40;
/** Between two looks at what was used. */
const CHUNK = 20;

/** Of whoever an action is run for; what it says of itself is what a service would announce. */
const { descriptor: ACTION } = defineAction({
  id: 'bench.trusted',
  description: 'Returns the text.',
  input: z.object({ text: z.string() }),
  attributes: { read_only: true, open_world: false },
  run: ({ text }) => text,
});
const ORIGIN = { app: 'bench', instance: 'bench-1' };

interface Step {
  name: string;
  /** How often a call does it: of a caller that is known, and of one that was never seen. */
  times: { known: number; fresh: number };
  /** Does it once; the number is another one each time. @throws Error where what comes out is wrong */
  work(n: number): void | Promise<void>;
}

export const trust: Bench = {
  name: 'trust',
  title: 'what a call spends on authentication, policy and audit records: processor time in this process',
  async run(context) {
    const directory = await mkdtemp(join(context.directory, 'trust-'));
    const issuer = await startTestIssuer({
      user: 'user:default/jane',
      claims: { groups: ['platform', 'on-call'] },
      scopes: ['use'],
    });
    const accessFile = async (rememberS: number) => {
      const path = join(directory, `access-${rememberS}.yaml`);
      const written = { public_url: PUBLIC_URL, anonymous: false, remember_s: rememberS };
      const groups = { prefix: 'group:default/' };
      await writeFile(path, JSON.stringify({ ...written, issuers: [{ issuer: issuer.url, tenant: 'acme', groups }] }));
      return Access.open({ httpHost: '127.0.0.1', tokensFile: '', access: path });
    };
    const accesses: Access[] = [];
    const policies = await Policies.open(POLICIES);
    try {
      for (const rememberS of [REMEMBER_S, 0]) accesses.push(await accessFile(rememberS));
      const token = await issuer.token(RESOURCE.url);
      const [remembering, forgetful] = accesses;
      const { principal } = await authenticated(remembering!, token);
      const steps = stepsOf({ remembering: remembering!, forgetful: forgetful!, token, principal, policies });
      return await measure(steps, context);
    } finally {
      for (const access of accesses) access.close();
      policies.close();
      await issuer.stop();
      await rm(directory, { recursive: true, force: true });
    }
  },
};

async function authenticated({ authenticator }: Access, token: string): Promise<{ principal: Principal }> {
  const authentication = await authenticator.authenticate(`Bearer ${token}`, RESOURCE);
  if (!authentication.ok) throw new Error(`the caller was refused: ${authentication.why ?? authentication.reason}`);
  return authentication;
}

interface Subject {
  remembering: Access;
  forgetful: Access;
  token: string;
  principal: Principal;
  policies: Policies;
}

function stepsOf({ remembering, forgetful, token, principal, policies }: Subject): Step[] {
  const gate = new Gate(policies, new MemoryAudit());
  const command = commandOf(principal);
  const stored = Buffer.from(JSON.stringify(command));
  const isAllowed = (allowed: boolean) => {
    if (!allowed) throw new Error('policy denied what it allows');
  };
  const connects = (who: Principal) =>
    isAllowed(
      gate.allows({
        principal: who,
        action: 'connect',
        resource: { type: 'Server', id: SERVER },
        circumstances: { server: SERVER },
      }),
    );
  const mayRun = (who: Parameters<Gate['allows']>[0]['principal']) =>
    isAllowed(
      gate.allows({
        principal: who,
        action: runActionOf(ACTION),
        resource: toolResource(ACTION),
        circumstances: { server: SERVER, priority: 'normal' },
      }),
    );
  // In a group that nobody else is in: no answer that is remembered is theirs.
  const stranger = (n: number): Principal => ({
    ...principal,
    groups: [...principal.groups, `group:default/team-${n}`],
  });
  const record = (fact: AuditFact) => {
    if (writeRecord(fact, ORIGIN).data.byteLength === 0) throw new Error('a record is empty');
  };
  const key = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const signature = sign('sha256', stored, key.privateKey);
  return [
    {
      name: 'envelope as JSON, SHA-256',
      times: { known: 0, fresh: 0 },
      work: () => void createHash('sha256').update(JSON.stringify(command)).digest('base64url'),
    },
    {
      name: 'a bare ES256 signature',
      times: { known: 0, fresh: 0 },
      work: () => isAllowed(verify('sha256', stored, key.publicKey, signature)),
    },
    {
      name: 'token: looked up',
      times: { known: 1, fresh: 0 },
      work: async () => void (await authenticated(remembering, token)),
    },
    {
      name: 'token: verified',
      times: { known: 0, fresh: 1 },
      work: async () => void (await authenticated(forgetful, token)),
    },
    { name: 'policy, may connect: remembered', times: { known: 1, fresh: 0 }, work: () => connects(principal) },
    { name: 'policy, may connect: decided', times: { known: 0, fresh: 1 }, work: (n) => connects(stranger(n)) },
    { name: 'policy, acceptance: remembered', times: { known: 1, fresh: 0 }, work: () => mayRun(principal) },
    { name: 'policy, acceptance: decided', times: { known: 0, fresh: 1 }, work: (n) => mayRun(stranger(n)) },
    {
      // Each command is read anew, so that its caller is no object that was seen before.
      name: 'policy, at run time: remembered',
      times: { known: 1, fresh: 0 },
      work: () => mayRun(callerOf(command)),
    },
    {
      name: 'policy, at run time: decided',
      times: { known: 0, fresh: 1 },
      work: (n) => mayRun(callerOf({ ...command, groups: stranger(n).groups as string[] })),
    },
    { name: 'record: submitted', times: { known: 1, fresh: 1 }, work: () => record(submittedCommand(command)) },
    { name: 'record: begun', times: { known: 1, fresh: 1 }, work: () => record(begunAttempt(command, 1)) },
    {
      name: 'record: ended',
      times: { known: 1, fresh: 1 },
      work: () => record(endedAttempts(command, { status: 'succeeded', attempts: 1 })),
    },
  ];
}

function commandOf(principal: Principal): CommandEnvelope {
  const command = benchCommand('bench', 'trusted', { text: 'call 1234567' }, 'user:default/jane');
  const { tenantId, userId, groups } = principal;
  const who = { tenant_id: tenantId, user_id: userId, groups: [...groups] };
  return { ...command, ...who, caller: commandCallerOf(principal, SERVER) };
}

/** Each step in every round, one after the other, so that what the machine does meanwhile meets all of them. */
async function measure(steps: Step[], { quick, say }: BenchContext) {
  const wrong = checkRecords();
  const took = new Map<Step, number[]>(steps.map((step) => [step, []]));
  let n = 0;
  for (let round = 0; round <= (quick ? 1 : ROUNDS); round++) {
    for (const step of steps) {
      const us = await cpuUsOf(step, () => n++, quick ? QUICK_WINDOW_MS : WINDOW_MS);
      // The first round compiles and warms.
      if (round > 0) took.get(step)!.push(us);
    }
  }
  const median = (step: Step) => spread(took.get(step)!).median;
  const unit = median(steps[0]!);
  const rows = steps.map((step) => {
    const { median: us, min, max } = spread(took.get(step)!);
    const times = [step.times.known, step.times.fresh].map((count) => (count > 0 ? String(count) : ''));
    return [
      `  ${step.name}`,
      `${us.toFixed(2)} (${min.toFixed(2)} to ${max.toFixed(2)})`,
      (us / unit).toFixed(1),
      ...times,
    ];
  });
  const sum = (of: keyof Step['times']) => steps.reduce((total, step) => total + step.times[of] * median(step), 0);
  const [known, fresh] = [sum('known'), sum('fresh')];
  const head = ['  step', 'CPU us', 'times the envelope', 'of a known caller', 'of a new one'];
  const sums = ['  together, CPU us', '', '', known.toFixed(1), fresh.toFixed(1)];
  say(
    `  a call of a known caller: ${known.toFixed(1)} us (goal: below ${GOAL_US}), of a new one ${fresh.toFixed(1)} us`,
  );
  return { comparisons: [], wrong, details: align([head, ...rows, sums]) };
}

async function cpuUsOf({ work }: Step, next: () => number, windowMs: number): Promise<number> {
  const before = process.cpuUsage();
  let done = 0;
  let spentUs = 0;
  do {
    for (let i = 0; i < CHUNK; i++) {
      const doing = work(next());
      if (doing) await doing;
    }
    done += CHUNK;
    const { user, system } = process.cpuUsage(before);
    spentUs = user + system;
  } while (spentUs < windowMs * 1_000);
  return spentUs / done;
}

/** Records that nobody could read would cost little. */
function checkRecords(): string[] {
  const command = benchCommand('bench', 'trusted', { text: 'secret-free' }, 'key');
  const { data } = writeRecord(submittedCommand(command), ORIGIN);
  const { what, correlation_id: id, personal } = parseRecord(data);
  const isWhole = what === 'submitted' && id === command.correlation_id && personal.user_id === command.user_id;
  return isWhole ? [] : ['a record does not say who called what'];
}
