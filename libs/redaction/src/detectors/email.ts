/** E-mail addresses: an `@`, what may stand left of it, and a domain right of it; and the written-out form, `jane (at) example dot org`. */
import { AT, isDigit, isWordChar, WRITTEN } from '../text/chars.js';
import type { Span } from '../types.js';
import type { Detector, Sample } from './detector.js';

const LOCAL = new Set([..."!#$%&'*+-/=?^_`{|}~."].map((char) => char.charCodeAt(0)));
/** Allowed in an address, but more often the end of what stands before it. */
const OPENERS = new Set([..."'=/?&{}|`!#$%*^"].map((char) => char.charCodeAt(0)));
const WRITTEN_OUT =
  /(?<![\w.])[a-z0-9][\w.+-]{0,63}\s{0,2}[([{<]\s?at\s?[)\]}>]\s{0,2}[a-z0-9-]{1,63}(?:\s{0,2}(?:[([{<]\s?(?:dot|\.)\s?[)\]}>]|\.|\sdot\s)\s{0,2}[a-z0-9-]{2,63}){1,4}|(?<![\w.])[a-z0-9][\w.+-]{0,63} at [a-z0-9-]{1,63}(?: dot [a-z0-9-]{2,63}){1,4}/dg;

export const email: Detector = {
  name: 'email',
  type: 'EMAIL',
  strong: true,
  detect(sample: Sample): Span[] {
    const { text } = sample;
    const spans: Span[] = [];
    if ((sample.traits.has & AT) !== 0) {
      let floor = 0;
      for (let at = text.indexOf('@'); at !== -1; at = text.indexOf('@', at + 1)) {
        const start = localStart(text, at, floor);
        const end = domainEnd(text, at + 1);
        if (start < at && end > at + 1 && !isInUrl(text, at)) {
          spans.push({ start, end, type: 'EMAIL', detector: 'email' });
          floor = end;
        } else {
          floor = at + 1;
        }
      }
    }
    if ((sample.traits.has & WRITTEN) !== 0) {
      for (const match of sample.lower().matchAll(WRITTEN_OUT)) {
        spans.push({
          start: match.index,
          end: match.index + match[0].length,
          type: 'EMAIL',
          detector: 'email.written_out',
        });
      }
    }
    return spans;
  },
};

/** `scheme://name:password@host`: credentials, which another detector cuts. */
function isInUrl(text: string, at: number): boolean {
  const before = text.slice(Math.max(0, at - 128), at);
  return /:\/\/[^\s\/@"'<>:]{0,64}:[^\s\/@"'<>]{0,64}$/.test(before);
}

function localStart(text: string, at: number, floor: number): number {
  if (text[at - 1] === '"') {
    const open = text.lastIndexOf('"', at - 2);
    return open >= Math.max(floor, at - 66) ? open : at;
  }
  let i = at;
  if (text.startsWith('[bot]', at - 5)) i = at - 5;
  while (i > floor && (isWordChar(text.charCodeAt(i - 1)) || LOCAL.has(text.charCodeAt(i - 1)))) i--;
  // What begins with an opener is cut there: `to=jane@…`, `'jane@…`, `?mail=jane@…`.
  for (let k = i; k < at; k++) if (OPENERS.has(text.charCodeAt(k))) i = k + 1;
  while (i < at && (text[i] === '.' || text[i] === '-')) i++;
  return i;
}

/** End of the domain that begins here; the same index when there is none. */
function domainEnd(text: string, from: number): number {
  if (text[from] === '[') {
    const literal = /^\[(?:IPv6:)?[0-9a-fA-F:.]{3,45}\]/.exec(text.slice(from, from + 52));
    return literal === null ? from : from + literal[0].length;
  }
  let end = from;
  let dot = -1;
  for (; end < text.length && end - from < 254; end++) {
    const code = text.charCodeAt(end);
    if (code === 46) {
      if (end === from || !isWordChar(text.charCodeAt(end + 1))) break;
      dot = end;
    } else if (code !== 45 && code !== 95 && !isWordChar(code)) break;
  }
  while (end > from && text[end - 1] === '-') end--;
  if (dot === -1 || end - dot < 3) return from;
  // `name@1.2.3-rc.one` is a version; `jane@192.0.2.1` is not.
  if (/^v?\d+\.\d/.test(text.slice(from, from + 8))) {
    return /^\d{1,3}(?:\.\d{1,3}){3}$/.test(text.slice(from, end)) ? end : from;
  }
  return isDigit(text.charCodeAt(dot + 1)) ? from : end;
}
