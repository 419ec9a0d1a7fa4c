/** Dates that are said to be somebody's birthday. Other dates stay. */
import type { Span } from '../types.js';
import type { Detector, Sample } from './detector.js';

const DATE =
  /(?<![\w.-])(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](?:\d{4}|\d{2})|\d{1,2}(?:st|nd|rd|th)?\.? (?:of )?[A-Za-zäéû]{3,10}\.?,? \d{4}|(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}\.? \d{1,2}(?:st|nd|rd|th)?,? \d{4})(?![\w-])/gi;
const BIRTH =
  /(?:\bborn\b|\bbirth|\bdob\b|d\.o\.b|geboren|\bgeb\.|geburts|\bnée?\b|naissance|nacid[oa]|nacimiento|nat[oa] il|nascita|nascid[oa]|nascimento|urodz|födel|född|geboorte|syntym|рожд|родил|出生|生年月日)/;

export const birthDate: Detector = {
  name: 'birth_date',
  type: 'DOB',
  strong: false,
  detect(sample: Sample): Span[] {
    if (sample.traits.digits < 4 || !BIRTH.test(sample.lower())) return [];
    return Array.from(sample.text.matchAll(DATE))
      .filter(({ index }) => BIRTH.test(sample.lower().slice(Math.max(0, index - 40), index)))
      .map(({ index, 0: date }) => ({
        start: index,
        end: index + date.length,
        type: 'DOB' as const,
        detector: 'birth_date',
      }));
  },
};
