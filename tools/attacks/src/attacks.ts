/** The table: all attacks, by what they are aimed at. */
import type { Attack } from './attack.js';
import { CALLBACKS } from './attacks/callbacks.js';
import { CREDENTIALS } from './attacks/credentials.js';
import { EVENTS } from './attacks/events.js';
import { NAMES_OF_SITES, SMUGGLING } from './attacks/http.js';
import { CONFUSION, SIZES, SLOW } from './attacks/messages.js';
import { METADATA } from './attacks/metadata.js';
import { OTHERS } from './attacks/others.js';
import { POLICIES } from './attacks/policies.js';
import { ELSEWHERE, SUBJECTS } from './attacks/subjects.js';
import { LIMITED, TOKENS } from './attacks/tokens.js';

export const ATTACKS: Record<string, Attack[]> = {
  'a credential that is none': CREDENTIALS,
  'a token of an issuer': TOKENS,
  'what a credential is not good for': LIMITED,
  'a request that two readers would read differently': SMUGGLING,
  'a request under the name of another site': NAMES_OF_SITES,
  'a message that says two things at once': CONFUSION,
  'a message beyond measure': SIZES,
  'a message that never ends': SLOW,
  "what is somebody else's": OTHERS,
  'a report of a far side': CALLBACKS,
  'an event of a sender': EVENTS,
  'a name that is more than a name': SUBJECTS,
  'an address that leads elsewhere': ELSEWHERE,
  'metadata that lead elsewhere': METADATA,
  'a way around a policy': POLICIES,
};
