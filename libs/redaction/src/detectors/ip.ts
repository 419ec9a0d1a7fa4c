/**
 * IP and MAC addresses. Loopback, unspecified and mask addresses name nobody and stay; so do versions of four numbers, and the `::` of
 * program text.
 */
import { COLON } from '../text/chars.js';
import type { Span } from '../types.js';
import type { Detector, Sample } from './detector.js';

const OCTET = '(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)';
const V4 = new RegExp(`(?<![\\w.-])${OCTET}(?:\\.${OCTET}){3}(?![\\w-]|\\.\\d)`, 'g');
const V6 = /(?<![\w:.])[0-9a-fA-F:]{3,45}(?:\d{0,3}(?:\.\d{1,3}){3})?(?:%[a-zA-Z0-9]{1,15})?(?![\w:])/g;
const MAC =
  /(?<![\w:-])[0-9a-fA-F]{2}([:-])(?:[0-9a-fA-F]{2}\1){4}[0-9a-fA-F]{2}(?![\w:-])|(?<![\w.])[0-9a-fA-F]{4}\.[0-9a-fA-F]{4}\.[0-9a-fA-F]{4}(?![\w.])/g;
const NOBODY = /^(?:127\.|0\.0\.0\.0$|255\.255\.|169\.254\.169\.254$)/;
const VERSION_BEFORE = /(?:version|ver|v|release|rev|chrome|safari|firefox|edg|tag|@)[\s:=/"']{0,3}$/i;

export const ip: Detector = {
  name: 'ip',
  type: 'IP',
  strong: false,
  detect({ text, traits }: Sample): Span[] {
    const spans: Span[] = [];
    if (traits.digits >= 4 && text.includes('.')) {
      for (const match of text.matchAll(V4)) {
        if (NOBODY.test(match[0]) || VERSION_BEFORE.test(text.slice(Math.max(0, match.index - 14), match.index)))
          continue;
        spans.push({ start: match.index, end: match.index + match[0].length, type: 'IP', detector: 'ip.v4' });
      }
    }
    if ((traits.has & COLON) !== 0) {
      for (const match of text.matchAll(V6)) {
        if (!isV6(match[0])) continue;
        spans.push({ start: match.index, end: match.index + match[0].length, type: 'IP', detector: 'ip.v6' });
      }
    }
    return spans;
  },
};

export const mac: Detector = {
  name: 'mac',
  type: 'MAC',
  strong: false,
  detect({ text, traits }: Sample): Span[] {
    if ((traits.has & COLON) === 0 && (traits.digits < 2 || !/[.-]/.test(text))) return [];
    return Array.from(text.matchAll(MAC), (match) => ({
      start: match.index,
      end: match.index + match[0].length,
      type: 'MAC' as const,
      detector: 'mac',
    }));
  },
};

/** Eight groups, or a `::` with three groups at least that are not all clock-like. */
function isV6(text: string): boolean {
  const address = text.replace(/%.*$/, '');
  if (!address.includes(':')) return false;
  const halves = address.split('::');
  if (halves.length > 2 || /:::/.test(address)) return false;
  const groups = address.split(':').filter((group) => group !== '');
  if (groups.slice(0, -1).some((group) => !/^[0-9a-fA-F]{1,4}$/.test(group))) return false;
  const last = groups.at(-1) ?? '';
  const tail = last.includes('.') ? 2 : 1;
  if (tail === 1 && !/^[0-9a-fA-F]{1,4}$/.test(last)) return false;
  const count = groups.length - 1 + tail;
  if (halves.length === 1) return count === 8 && !/^:|:$/.test(address);
  return count >= 2 && count < 8 && /[0-9]/.test(address) && groups.some((group) => group.length >= 3);
}
