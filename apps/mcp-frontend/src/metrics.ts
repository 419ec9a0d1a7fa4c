import { refusals } from '@callboard/http';
import { gauge } from '@callboard/telemetry';
import { ADMISSION_LIMITS, type Admission } from './admission.js';

/** Shows how many commands have not ended, and how often another was refused. */
export function watchAdmission(admission: Admission): Admission {
  for (const limit of ADMISSION_LIMITS) refusals.inc({ limit }, 0);
  admission.onRefusal = (limit) => refusals.inc({ limit });
  gauge('callboard_commands_open', 'Commands that were accepted here and have not ended', () => admission.open);
  return admission;
}
