/** The topic of a held event, for its letter: as it is, unless it holds something private itself. */
import { redact } from '@callboard/redaction';

const HIDDEN = 'private';
/** Nothing is made with it. */
const NO_KEY = new Uint8Array(32);
const MOST_REMEMBERED = 1_000;
const shown = new Map<string, string>();

/** A topic is short and of few characters by its form, so that this takes no thread of its own. */
export function shownTopic(topic: string): string {
  const known = shown.get(topic);
  if (known !== undefined) return known;
  const redaction = redact({}, { key: NO_KEY, tenant: '', attributes: { type: topic } });
  const answer = redaction.ok && redaction.findings.length === 0 ? topic : HIDDEN;
  if (shown.size < MOST_REMEMBERED) shown.set(topic, answer);
  return answer;
}
