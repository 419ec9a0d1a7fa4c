/** The issuers of an access file: does each answer, under the name by which tokens are held against it, with keys? */
import { askIssuer, readAccess, type AccessSettings } from '@callboard/access';
import { messageOf } from '../failure.js';
import { failed, ok, type Finding } from './finding.js';

const FIX =
  'the issuer in the access file must be, to the letter, what its own metadata say, and reachable from the front ends: docs/access.md';

export async function checkIssuers(accessFile: string): Promise<Finding[]> {
  let settings: AccessSettings;
  try {
    settings = await readAccess(accessFile);
  } catch (error) {
    return [failed('access', 'file_unusable', messageOf(error), 'mend the file: a front end does not start with it')];
  }
  const { issuers, backstages } = settings;
  return Promise.all([
    ...issuers.map(({ issuer, jwksUri }) => told(issuer, askIssuer(issuer, jwksUri))),
    ...backstages.map(({ url }) => told(url, askIssuer(url, `${url}/api/auth/.well-known/jwks.json`))),
  ]);
}

async function told(name: string, asking: Promise<{ keys: number }>): Promise<Finding> {
  try {
    const { keys } = await asking;
    return ok('issuer', `${name} answers, with ${keys} keys`);
  } catch (error) {
    const { cause } = error as { cause?: { code?: string } };
    const reason = cause?.code ? `${messageOf(error)} (${cause.code})` : messageOf(error);
    return failed('issuer', 'issuer_bad', `${name}: ${reason}`, FIX);
  }
}
