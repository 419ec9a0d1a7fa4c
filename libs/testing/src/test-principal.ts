import type { Principal } from '@callboard/access';

/** Somebody who came with a static token. */
export function testPrincipal(tenantId: string, userId: string, more: Partial<Principal> = {}): Principal {
  return { tenantId, userId, groups: [], via: 'static', ...more };
}
