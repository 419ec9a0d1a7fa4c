/** The built-in detectors, in the order in which they run. */
import type { Detector } from './detector.js';
import { address } from './address.js';
import { birthDate } from './birth-date.js';
import { card } from './card.js';
import { email } from './email.js';
import { iban } from './iban.js';
import { ip, mac } from './ip.js';
import { labelled } from './labelled.js';
import { nationalId } from './national-id.js';
import { person } from './person.js';
import { phone } from './phone.js';
import { secretPrefix } from './secret-prefix.js';
import { secretStructure } from './secret-structure.js';

export const DETECTORS: readonly Detector[] = [
  secretStructure,
  secretPrefix,
  labelled,
  email,
  iban,
  card,
  nationalId,
  ip,
  mac,
  phone,
  birthDate,
  address,
  person,
];

export const DETECTOR_NAMES: readonly string[] = DETECTORS.map(({ name }) => name);
