/**
 * What is asked of an issuer over HTTP. Only configured addresses and those that a configured issuer names of itself are asked, over https, or
 * http where the issuer itself is configured with it; no redirect is followed, and nothing is read beyond a size and a time.
 */
import { TokenRefused } from './jwt-issuer.js';

export const TIMEOUT_MS = 5_000;
const MAX_BYTES = 256 * 1024;

/** The credentials of a client, as RFC 6749 writes them. */
export function basicAuthorization(clientId: string, clientSecret: string): string {
  const encoded = [clientId, clientSecret].map(encodeURIComponent).join(':');
  return `Basic ${Buffer.from(encoded).toString('base64')}`;
}

/** @throws TokenRefused `unavailable` for any answer but a good one, and what `fetch` throws without an answer */
export async function fetchJson(url: string, init: RequestInit = {}): Promise<unknown> {
  const { status, body } = await askIssuer(url, init);
  if (status < 200 || status > 299) throw new TokenRefused(`its issuer answers ${status}`, 'unavailable');
  if (body === undefined) throw new TokenRefused('its issuer answers with something else', 'unavailable');
  return body;
}

/**
 * Any answer; its body is undefined where it is no JSON.
 * @throws TokenRefused `unavailable` for one that is too large, and what `fetch` throws without an answer
 */
export async function askIssuer(url: string, init: RequestInit): Promise<{ status: number; body: unknown }> {
  const response = await fetch(url, { ...init, redirect: 'error', signal: AbortSignal.timeout(TIMEOUT_MS) });
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += (chunk as Uint8Array).length;
    if (size > MAX_BYTES) throw new TokenRefused('its issuer answers with too much', 'unavailable');
    chunks.push(chunk as Uint8Array);
  }
  const { status } = response;
  try {
    return { status, body: JSON.parse(Buffer.concat(chunks).toString()) as unknown };
  } catch {
    return { status, body: undefined };
  }
}

/** @throws TokenRefused when an issuer sends us where it must not */
export function checkFarUrl(url: unknown, issuer: string): string {
  const wrong = new TokenRefused('its issuer names an address that is not asked', 'unavailable');
  if (typeof url !== 'string' || !URL.canParse(url)) throw wrong;
  const { protocol, origin } = new URL(url);
  if (protocol === 'https:' || (protocol === 'http:' && origin === new URL(issuer).origin)) return url;
  throw wrong;
}
