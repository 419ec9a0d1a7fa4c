import type { BackstageCredentials } from '@backstage/backend-plugin-api';
import { NotAllowedError } from '@backstage/errors';

/**
 * The token with which a user came to Backstage, which keeps it beside the credentials without naming it in their type.
 * @throws NotAllowedError when it is not a user who is calling
 */
export function userToken(credentials: BackstageCredentials): string {
  const { principal, token } = credentials as BackstageCredentials & { token?: unknown };
  if (!isUser(principal) || typeof token !== 'string') {
    throw new NotAllowedError('There is no user here whose token could be passed on to Callboard');
  }
  return token;
}

export function isUser(principal: unknown): boolean {
  return (principal as { type?: unknown }).type === 'user';
}
