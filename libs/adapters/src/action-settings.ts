/** What the author of an adapter file may say about an action, whatever its far side is; and how the file's schema says it. */
import type { ActionAttributes, Ordering, RetryPolicy } from '@callboard/actions';
import { record } from '@callboard/config';

export interface ActionSettings {
  title?: string;
  attributes?: Partial<ActionAttributes>;
  deadline_ms?: number;
  retry?: Partial<RetryPolicy>;
  ordering?: Ordering;
}

export const count = (minimum: number) => ({ type: 'integer', minimum });
/** A map of texts, in which `${NAME}` may stand for a secret. */
export const texts = { type: 'object', default: {}, additionalProperties: { type: 'string' } };
export const nameRules = {
  include: { type: 'array', items: { type: 'string', minLength: 1 }, default: ['*'] },
  exclude: { type: 'array', items: { type: 'string', minLength: 1 }, default: [] },
};

export const settings = {
  title: { type: 'string' },
  attributes: record({
    read_only: { type: 'boolean' },
    destructive: { type: 'boolean' },
    idempotent: { type: 'boolean' },
    open_world: { type: 'boolean' },
  }),
  deadline_ms: count(1),
  retry: record({ max_attempts: count(1), backoff_ms: count(0), max_backoff_ms: count(0) }),
  ordering: {
    if: { type: 'string' },
    then: { enum: ['principal', 'none'] },
    else: record({ argument: { type: 'string', minLength: 1 } }, ['argument']),
  },
};
