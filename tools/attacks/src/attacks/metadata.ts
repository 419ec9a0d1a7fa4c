/** Issuers that are trusted, and whose metadata lead whoever reads them to where nobody must come. */
import { echo, type Attack } from '../attack.js';
import type { Lie } from '../spec-issuer.js';

const NAMES: Record<Lie, string> = {
  'metadata elsewhere': 'whose metadata are a redirect to the inside',
  'keys elsewhere': 'whose keys are a redirect to the inside',
  'another name': 'whose metadata are of another issuer, on the inside',
  'a file': 'whose keys are a file',
  'another protocol': 'whose keys are to be fetched by another protocol',
  'credentials in the address': 'whose keys are fetched with credentials of its choice',
  'no end': 'whose metadata do not end',
};

export const METADATA: Attack[] = (Object.keys(NAMES) as Lie[]).map((lie) => ({
  name: `a token of an issuer ${NAMES[lie]}`,
  attempt: async (target) => {
    const before = target.farSide.inside;
    const answer = await echo(target, { token: target.liars.get(lie)!.token() });
    const came = target.farSide.inside - before;
    return came === 0 ? answer : { ...answer, code: `${came} requests to the inside` };
  },
  refused: { status: 503, code: 'unavailable' },
}));
