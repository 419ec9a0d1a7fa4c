import { LIMITS, fingerprint, isWellFormed, type JsonObject } from '@callboard/envelope';
import type { ActionDescriptor } from './descriptor.js';

/**
 * The ordering key of a command whose caller named none. Keys that come from an argument carry the action's tool, so that
 * `demo.append` to key `1` and `git.push` to repository `1` do not wait for each other.
 */
export function defaultOrderingKey(
  descriptor: ActionDescriptor,
  command: { args: JsonObject; userId: string; correlationId: string },
): string {
  if (descriptor.ordering === 'none') return command.correlationId;
  if (descriptor.ordering === 'principal') return command.userId;
  const value = command.args[descriptor.ordering.argument];
  if (typeof value !== 'string' && typeof value !== 'number') return command.userId;
  const tool = descriptor.id.split('.', 1)[0];
  const key = `${tool}:${value}`;
  // What no key can hold is still one key for everyone who names it.
  return key.length <= LIMITS.nameChars && isWellFormed(key) ? key : `${tool}:${fingerprint(value)}`;
}
