/**
 * One run with two tenants: the same deployment, the same names, mixed operations of both at once; every answer is judged as it comes, and in the end
 * everything that is stored.
 */
import { STREAM } from '@callboard/jetstream';
import type { TestStack } from '@callboard/testing';
import { jetstreamManager } from '@nats-io/jetstream';
import { Random } from '../random.js';
import { rejectedOn, withinStack, type StackEnd } from '../within-stack.js';
import { isLater, judge, judgeStored, type TenantFinding } from './judge.js';
import { Operations, type UserClient } from './operations.js';
import { configureTwoTenants } from './two-tenants.js';

export interface TenantOptions {
  seed: number;
  operations: number;
  usersEach: number;
  /** Operations under way at once, of each user. */
  callersEach: number;
  frontEnds: number;
  runners: number;
  folder: string;
}

export interface TenantReport extends StackEnd {
  findings: TenantFinding[];
  /** By kind. */
  done: Map<string, number>;
  later: number;
  stored: Map<string, number>;
  loadMs: number;
}

/** Of each tenant's subjects the second token is the tenant; of those with a partition the third. */
const STORED: [stream: string, tenantAt: number][] = [
  [STREAM.commands, 2],
  [STREAM.outcomes, 1],
  [STREAM.progress, 1],
  [STREAM.events, 1],
  [STREAM.audit, 1],
];
const READ_AT_ONCE = 64;
const TOLD_EVERY = 10_000;
const MOST_FINDINGS = 1_000;

/** @throws Error when the run could not be made; a rule that was broken is in the findings. */
export async function runTenants(
  options: TenantOptions,
  say: (line: string) => void,
  signal?: AbortSignal,
): Promise<TenantReport> {
  const { folder, frontEnds, runners, usersEach } = options;
  const tenants = await configureTwoTenants(folder, usersEach);
  const stack = {
    args: ['--config', tenants.configFile],
    replicas: { 'mcp-frontend': frontEnds, 'action-runner': runners },
    readyWithinMs: 60_000,
  };
  return withinStack(stack, async (started) => {
    const operations = new Operations(tenants, started.ready);
    try {
      await operations.begin();
      const seen = await Promise.race([operate(operations, options, say), rejectedOn(signal)]);
      say('reading everything that is stored');
      return { ...seen, stored: await readStored(started, seen.findings) };
    } finally {
      await operations.close();
    }
  });
}

async function operate(
  operations: Operations,
  { seed, operations: total, callersEach }: TenantOptions,
  say: (line: string) => void,
) {
  const findings: TenantFinding[] = [];
  const done = new Map<string, number>();
  let [begun, later] = [0, 0];
  const from = performance.now();
  const operateAs = async (client: UserClient, random: Random): Promise<void> => {
    while (begun < total && findings.length < MOST_FINDINGS) {
      const n = ++begun;
      const { asked, ask } = operations.next(client, n, random);
      const answered = await ask();
      const finding = judge(asked, answered);
      if (finding) findings.push(finding);
      if (isLater(answered)) later += 1;
      done.set(asked.kind, (done.get(asked.kind) ?? 0) + 1);
      if (n % TOLD_EVERY === 0) say(`${n} of ${total} operations, ${findings.length} findings`);
    }
  };
  await Promise.all(
    operations.clients.flatMap((client, c) =>
      Array.from({ length: callersEach }, (_, i) => operateAs(client, new Random(seed + 7919 * c + i))),
    ),
  );
  return { findings, done, later, loadMs: performance.now() - from };
}

/** Returns how many messages there are of each stream; what is wrong with them is added to the findings. */
async function readStored(stack: TestStack, findings: TenantFinding[]): Promise<Map<string, number>> {
  const nc = await stack.connect('sre');
  const counts = new Map<string, number>();
  try {
    const jsm = await jetstreamManager(nc, { checkAPI: false });
    for (const [stream, tenantAt] of STORED) {
      const { first_seq: first, last_seq: last } = (await jsm.streams.info(stream)).state;
      let next = Math.max(1, first);
      let count = 0;
      const read = async (): Promise<void> => {
        while (next <= last) {
          const message = await jsm.direct.getMessage(stream, { seq: next++ });
          if (!message) continue;
          count += 1;
          const finding = judgeStored(stream, message.subject.split('.')[tenantAt] ?? '', message.string());
          if (finding && findings.length < MOST_FINDINGS) findings.push(finding);
        }
      };
      await Promise.all(Array.from({ length: READ_AT_ONCE }, read));
      counts.set(stream, count);
    }
  } finally {
    await nc.close();
  }
  return counts;
}
