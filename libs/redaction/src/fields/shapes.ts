/** Known payload shapes: objects whose kind says what their fields are, beyond the names of the fields. */
import type { Json } from '../types.js';

/** What an object says about the fields below it. */
export interface Shape {
  /** Its names and display names are of things, not of persons. */
  things: boolean;
  /** Everything below its `data` and `stringData` is secret. */
  secret: boolean;
}

const THINGS = new Set(['component', 'api', 'group', 'system', 'domain', 'resource', 'location', 'template']);

export function shapeOf(object: { [key: string]: Json }): Shape | undefined {
  const kind = object['kind'];
  const version = object['apiVersion'];
  if (typeof kind !== 'string' || typeof version !== 'string') return undefined;
  if (kind === 'Secret' && version === 'v1') return { things: true, secret: true };
  if (THINGS.has(kind.toLowerCase())) return { things: true, secret: false };
  return undefined;
}

/** `component:default/payments`, `user:default/jane.doe`: names of catalog entities, which survive. */
export function isEntityRef(text: string): boolean {
  return (
    text.length <= 190 &&
    /^[a-z][a-z0-9-]{1,40}:(?:[a-zA-Z0-9][\w.-]{0,62}\/)?[a-zA-Z0-9][\w.-]{0,62}$/.test(text) &&
    !/^(?:https?|ftp|mailto|tel|password|token|secret):/.test(text)
  );
}
