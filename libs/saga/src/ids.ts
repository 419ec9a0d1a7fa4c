import { createHash } from 'node:crypto';
import type { Doing } from './fact.js';

/**
 * The correlation id of one attempt of a saga at one of its steps, or at undoing it: `s_` and 43 characters, the same however often it is
 * worked out. So a command that is sent again after a crash is the same command, and the stream refuses it.
 */
export function sagaCorrelationId(
  tenantId: string,
  sagaId: string,
  step: string,
  doing: Doing,
  attempt: number,
): string {
  return `s_${hashOf([tenantId, sagaId, step, doing, attempt]).toString('base64url')}`;
}

/** A number from 0.5 to 1 that looks like chance and is always the same: what spreads retries that would come at once. */
export function spreadOf(...parts: readonly unknown[]): number {
  return 0.5 + hashOf(parts).readUInt16BE(0) / 0x1_0000 / 2;
}

function hashOf(parts: readonly unknown[]): Buffer {
  return createHash('sha256').update(JSON.stringify(parts)).digest();
}
