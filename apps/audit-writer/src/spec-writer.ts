/** What the specs of the audit writer share: the real app in a process of its own, and what an operator sees of its ledger. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { CheckpointSigner, type VerifyReport } from '@callboard/audit';
import { LedgerControl, verifyLedger, type LedgerSource } from '@callboard/ledger';
import type { TestNats } from '@callboard/testing';

const MAIN = new URL('./main.js', import.meta.url);
const SEED = Buffer.alloc(32, 5);
export const PUBLIC_KEY = new CheckpointSigner(SEED).publicKey;

export interface StartedWriter {
  output(): string;
  metrics(): Promise<string>;
  stop(): Promise<number | null>;
  kill(): Promise<void>;
}

export async function startWriter(nats: TestNats, instance: string, env: NodeJS.ProcessEnv): Promise<StartedWriter> {
  const child = fork(MAIN, {
    execArgv: [],
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    env: {
      ...process.env,
      CALLBOARD_NATS_URL: nats.url,
      CALLBOARD_NATS_CREDS: nats.credsFile('audit-writer'),
      CALLBOARD_INSTANCE: instance,
      CALLBOARD_AUDIT_SEALING_KEY: Buffer.alloc(32, 6).toString('base64'),
      CALLBOARD_AUDIT_SIGNING_KEY: SEED.toString('base64'),
      CALLBOARD_AUDIT_CHECKPOINT_MS: '300',
      ...env,
    },
  });
  let output = '';
  for (const stream of [child.stdout!, child.stderr!])
    stream.setEncoding('utf8').on('data', (text) => (output += text));
  const exited = once(child, 'exit');
  const ready = await Promise.race([once(child, 'message'), exited.then(() => undefined)]);
  if (!ready) throw new Error(`the audit writer did not start:\n${output}`);
  const [{ ports }] = ready as [{ ports: { ops: number } }];
  const end = async (signal: 'SIGTERM' | 'SIGKILL') => {
    child.kill(signal);
    await exited;
    return child.exitCode;
  };
  return {
    output: () => output,
    metrics: async () => (await fetch(`http://127.0.0.1:${ports.ops}/metrics`)).text(),
    stop: () => end('SIGTERM'),
    kill: async () => void (await end('SIGKILL')),
  };
}

/** Asks the writer as an operator does. */
export async function ledgerOf(nats: TestNats): Promise<LedgerControl> {
  return new LedgerControl(await nats.connect('operator'));
}

export async function verifyAll(nats: TestNats, source: LedgerSource): Promise<VerifyReport> {
  return verifyLedger(source, await nats.connect('sre'), PUBLIC_KEY);
}
