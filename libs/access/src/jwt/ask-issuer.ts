/** Whether an issuer could vouch for a token now; for whoever looks after an installation. Nothing is kept. */
import { fetchJson } from './issuer-http.js';
import { discover } from './issuer-metadata.js';
import { TokenRefused } from './jwt-issuer.js';

/**
 * Asks as the front end does: for the metadata, unless the address of the keys is configured, and for the keys.
 * @throws TokenRefused saying what is wrong with the answer, and what `fetch` throws without one
 */
export async function askIssuer(issuer: string, jwksUri?: string): Promise<{ keys: number }> {
  const uri = jwksUri ?? (await discover(issuer)).jwks_uri;
  const { keys } = ((await fetchJson(uri)) ?? {}) as { keys?: unknown };
  if (!Array.isArray(keys) || keys.length === 0)
    throw new TokenRefused('the keys of its issuer are none', 'unavailable');
  return { keys: keys.length };
}
