/** What the specs of the audit writer share: the real app in a process of its own, and what an operator sees of its ledger. */
import { CheckpointSigner, type VerifyReport } from '@callboard/audit';
import { LedgerControl, type LedgerSource } from '@callboard/jetstream';
import { verifyLedger } from '@callboard/ledger';
import { startApp, type TestApp, type TestNats } from '@callboard/testing';

const MAIN = new URL('./main.js', import.meta.url);
const SEED = Buffer.alloc(32, 5);
export const PUBLIC_KEY = new CheckpointSigner(SEED).publicKey;

export const startWriter = (nats: TestNats, instance: string, env: NodeJS.ProcessEnv): Promise<TestApp> =>
  startApp(
    nats,
    { app: 'audit-writer', main: MAIN, instance },
    {
      CALLBOARD_AUDIT_SEALING_KEY: Buffer.alloc(32, 6).toString('base64'),
      CALLBOARD_AUDIT_SIGNING_KEY: SEED.toString('base64'),
      CALLBOARD_AUDIT_CHECKPOINT_MS: '300',
      ...env,
    },
  );

/** Asks the writer as an operator does. */
export async function ledgerOf(nats: TestNats): Promise<LedgerControl> {
  return new LedgerControl(await nats.connect('operator'));
}

export async function verifyAll(nats: TestNats, source: LedgerSource): Promise<VerifyReport> {
  return verifyLedger(source, await nats.connect('sre'), PUBLIC_KEY);
}
