/** Destroys the keys of a tenant, of its pseudonyms and in the ledger. */
import { FilterControl, LedgerControl } from '@callboard/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { OPERATOR } from '../running-stack.js';

export interface ForgottenKeys {
  /** Absent where only a person was forgotten. */
  pseudonym_keys?: number;
  ledger_keys: number;
}

/**
 * The ledger's keys last: with them goes who is behind the records of what was done before.
 * @param user only this person of the tenant
 * @throws CallboardError when no filter or no audit writer runs, or it cannot be done now
 */
export async function forgetKeys(nc: NatsConnection, tenant: string, user?: string): Promise<ForgottenKeys> {
  const pseudonyms = user === undefined && (await new FilterControl(nc).ask('forget', { tenant })).destroyed;
  const asked = { tenant, by: OPERATOR, ...(user !== undefined && { user }) };
  const { keys } = await new LedgerControl(nc).ask('erase', asked);
  return { ...(user === undefined && { pseudonym_keys: Number(pseudonyms) }), ledger_keys: keys };
}

export function toldKeys({ pseudonym_keys: pseudonymKeys = 0, ledger_keys: ledgerKeys }: ForgottenKeys): string {
  return `Destroyed: ${pseudonymKeys} ${pseudonymKeys === 1 ? 'key' : 'keys'} of pseudonyms, ${ledgerKeys} of the ledger.`;
}
