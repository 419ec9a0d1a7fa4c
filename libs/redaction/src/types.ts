/** The words that all parts of this library share: JSON, what can be found, and where in a text it was found. */

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** What a found value is. The name is what stands in its place: `[EMAIL:7f3a]`. */
export const ENTITY_TYPES = [
  'PERSON',
  'USER',
  'EMAIL',
  'PHONE',
  'ADDRESS',
  'ZIP',
  'CREDIT_CARD',
  'IBAN',
  'ACCOUNT',
  'NATIONAL_ID',
  'DOB',
  'IP',
  'MAC',
  'SECRET',
  'TEXT',
] as const;
export type EntityType = (typeof ENTITY_TYPES)[number];

/** A found value: UTF-16 offsets into the text that it was found in, end excluded. */
export interface Span {
  start: number;
  end: number;
  type: EntityType;
  detector: string;
}
