/** Payment cards: 13 to 19 digits, in groups or not, that begin as issuers' numbers do and satisfy Luhn. */
import { isDigit, isWordChar } from '../text/chars.js';
import type { Span } from '../types.js';
import type { Detector, Sample } from './detector.js';

export const card: Detector = {
  name: 'card',
  type: 'CREDIT_CARD',
  strong: true,
  detect({ text, traits }: Sample): Span[] {
    if (traits.digits < 13) return [];
    const spans: Span[] = [];
    for (let i = 0; i < text.length; i++) {
      if (!isDigit(text.charCodeAt(i))) continue;
      const end = runEnd(text, i);
      const glued = i > 0 && isWordChar(text.charCodeAt(i - 1));
      if (glued || end - i < SHORTEST_GROUP) {
        i = end;
        continue;
      }
      const groups = groupsAt(text, i);
      spans.push(...cardsIn(text, groups));
      i = groups.at(-1)!.end;
    }
    return spans;
  },
};

interface Group {
  start: number;
  end: number;
}

/** No group of a card but the last is shorter. */
const SHORTEST_GROUP = 4;

function runEnd(text: string, from: number): number {
  let end = from;
  while (end < text.length && isDigit(text.charCodeAt(end))) end++;
  return end;
}

/** The groups of digits from here on that are separated by one space, hyphen or dot each, up to a short one. */
function groupsAt(text: string, from: number): Group[] {
  const groups: Group[] = [];
  for (let start = from; ;) {
    const end = runEnd(text, start);
    groups.push({ start, end });
    const code = text.charCodeAt(end);
    const separated = (code === 32 || code === 45 || code === 46 || code === 0xa0) && isDigit(text.charCodeAt(end + 1));
    if (!separated || end - start < SHORTEST_GROUP) return groups;
    start = end + 1;
  }
}

function cardsIn(text: string, groups: Group[]): Span[] {
  const spans: Span[] = [];
  for (let first = 0; first < groups.length; first++) {
    // No group of a card but the last is shorter than four digits: what begins so is passed over, however long the run.
    if (groups[first]!.end - groups[first]!.start < 4) continue;
    let digits = '';
    let best = -1;
    for (let last = first; last < groups.length; last++) {
      const { start, end } = groups[last]!;
      if (digits.length + end - start > 19 || (last > first + 1 && groups[last - 1]!.end - groups[last - 1]!.start < 4))
        break;
      digits += text.slice(start, end);
      if (isWordChar(text.charCodeAt(end)) && end < text.length) continue;
      if (isCard(digits) && (last === first || groupedLikeACard(groups, first, last))) best = last;
    }
    if (best === -1) continue;
    spans.push({ start: groups[first]!.start, end: groups[best]!.end, type: 'CREDIT_CARD', detector: 'card' });
    first = best;
  }
  return spans;
}

/** 4-4-4-4, 4-6-5, 4-6-4, 6-13: no group of a card is shorter than three digits, and the first has four or six. */
function groupedLikeACard(groups: Group[], first: number, last: number): boolean {
  for (let k = first; k < last; k++) {
    const size = groups[k]!.end - groups[k]!.start;
    if (size < 4) return false;
  }
  return true;
}

export function isCard(digits: string): boolean {
  if (digits.length < 13 || digits.length > 19 || !/^(?:3[0-9]|4|5[0-9]|6[0-9]|2[2-7]|1800)/.test(digits)) return false;
  if (/^(\d)\1+$/.test(digits)) return false;
  return luhn(digits);
}

export function luhn(digits: string): boolean {
  let sum = 0;
  for (let i = 0; i < digits.length; i++) {
    let digit = digits.charCodeAt(digits.length - 1 - i) - 48;
    if (i % 2 === 1) digit = digit > 4 ? digit * 2 - 9 : digit * 2;
    sum += digit;
  }
  return sum % 10 === 0;
}
