/** Faults by which tenants would meet: `npm run faults -- tenants --mutation all --operations 3000`. */
import type { Mutation } from '../mutations.js';

export const TENANT_MUTATIONS: readonly Mutation[] = [
  {
    name: 'one-tenant',
    what: 'whoever has a token is of one tenant',
    file: 'libs/access/dist/static-tokens.js',
    find: 'const principal = { tenantId, userId,',
    replace: "const principal = { tenantId: 'acme', userId,",
  },
  {
    name: 'events-of-all',
    what: 'events are read whatever their tenant',
    file: 'libs/jetstream/dist/event-reader.js',
    find: "if (scope === 'every tenant')",
    replace: 'if (scope)',
  },
  {
    name: 'any-session',
    what: "a session is whoever's that has its id",
    file: 'apps/mcp-frontend/dist/sessions/session-records.js',
    find: 'if (tenantId !== principal.tenantId || userId !== principal.userId)',
    replace: 'if (false)',
  },
];
