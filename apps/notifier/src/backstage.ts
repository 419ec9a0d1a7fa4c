/**
 * The notifications API of one Backstage, and what an answer of it means for what happens next.
 *
 * Network errors, 5xx, 408 and 429 say "not now". So do two answers that only look final: 404 while Backstage starts and its plug-ins are not
 * there yet, and the 400 in which it wraps whatever keeps it from finding or storing recipients. Every other 4xx is final.
 */
import { contextNow } from '@callboard/tracing';
import { neverConnected, withTimeout } from '@callboard/http';
import { bodyOf, type Notification } from './notification.js';

export interface BackstageTarget {
  /** Of the backend: `https://backstage.example.com`. */
  url: string;
  /** A service's; its subject is the origin of what is sent with it. */
  token: string;
}

export type Sent =
  | { kind: 'sent'; delivered: number }
  /** Never: the same request would be answered in the same way. */
  | { kind: 'refused'; code: string; reason: string }
  /** `reached`: it may have been delivered all the same. */
  | { kind: 'not_now'; reached: boolean; reason: string; retryAfterMs: number | undefined };

const MOST_ANSWER_BYTES = 4 * 1024 * 1024;
const MOST_REASON_CHARS = 300;
const READY_MS = 5_000;

/** @throws the signal's reason when that fires */
export async function post(
  { url, token }: BackstageTarget,
  notification: Notification,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Sent> {
  const body = bodyOf(notification);
  let status: number;
  let text: string;
  let retryAfterMs: number | undefined;
  try {
    const response = await fetch(`${url}/api/notifications/notifications`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...contextNow() },
      body,
      // A redirect would carry the token to somebody whom nobody has named.
      redirect: 'manual',
      signal: withTimeout(signal, timeoutMs),
    });
    status = response.status;
    retryAfterMs = retryAfter(response.headers.get('retry-after'));
    text = await bounded(response);
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    return { kind: 'not_now', reached: !neverConnected(error), reason: (error as Error).name, retryAfterMs: undefined };
  }
  if (status >= 200 && status < 300) return { kind: 'sent', delivered: countOf(text) };
  const reason = `HTTP ${status}`;
  const notNow = { kind: 'not_now', reached: true, reason, retryAfterMs } as const;
  if (status >= 500 || status === 408 || status === 429 || isAboutRecipients(status, text)) return notNow;
  if (status === 404 && !(await isReady(url, signal))) return notNow;
  return { kind: 'refused', code: CODES[status] ?? 'action_failed', reason: `${reason}${saidOf(text)}` };
}

const CODES: Record<number, string> = {
  400: 'invalid_arguments',
  401: 'unauthorized',
  403: 'forbidden',
  404: 'not_found',
  413: 'payload_too_large',
};

/** Our recipients are well formed, so this is a catalog or a database that is not there now. */
function isAboutRecipients(status: number, text: string): boolean {
  return status === 400 && messageOf(text).startsWith('Failed to send user notifications');
}

async function isReady(url: string, signal: AbortSignal): Promise<boolean> {
  try {
    const within = withTimeout(signal, READY_MS);
    const answer = await fetch(`${url}/.backstage/health/v1/readiness`, { signal: within, redirect: 'manual' });
    await answer.body?.cancel();
    return answer.ok;
  } catch {
    return false;
  }
}

async function bounded(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength;
    if (size > MOST_ANSWER_BYTES) break;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** Seconds, or a date. */
function retryAfter(value: string | null): number | undefined {
  if (!value) return undefined;
  const ms = /^\d+$/.test(value) ? Number(value) * 1_000 : Date.parse(value) - Date.now();
  return Number.isFinite(ms) && ms > 0 ? ms : undefined;
}

function countOf(text: string): number {
  try {
    const stored = JSON.parse(text) as unknown;
    return Array.isArray(stored) ? stored.length : 0;
  } catch {
    return 0;
  }
}

function messageOf(text: string): string {
  try {
    const { error } = JSON.parse(text) as { error?: { message?: unknown } };
    return typeof error?.message === 'string' ? error.message : '';
  } catch {
    return '';
  }
}

/** Backstage's own words, of one line and short. */
function saidOf(text: string): string {
  const line = messageOf(text).split('\n', 1)[0]!;
  return line === '' ? '' : `: ${line.slice(0, MOST_REASON_CHARS)}`;
}
