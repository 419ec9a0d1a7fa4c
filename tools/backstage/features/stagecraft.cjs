/* eslint-disable @typescript-eslint/no-require-imports -- CommonJS, as start.cjs is */
/**
 * What a site could add to its backend, for specs: a plug-in with actions of every kind, a sign-in without a password, and a permission
 * policy with one rule. Actions tell of their effects in a file, which a power cut does not take away.
 *
 * `stagecraft` of the configuration: `log` is that file; `edition` (1 or 2) is what the action `cue` looks like.
 */
const { appendFileSync } = require('node:fs');
const { createHash } = require('node:crypto');
const { setTimeout: delay } = require('node:timers/promises');
const {
  coreServices,
  createBackendFeatureLoader,
  createBackendModule,
  createBackendPlugin,
  createServiceFactory,
} = require('@backstage/backend-plugin-api');
const { actionsRegistryServiceRef } = require('@backstage/backend-plugin-api/alpha');
const backstageErrors = require('@backstage/errors');
const {
  authProvidersExtensionPoint,
  createProxyAuthProviderFactory,
  createProxyAuthenticator,
} = require('@backstage/plugin-auth-node');
const { AuthorizeResult, createPermission } = require('@backstage/plugin-permission-common');

const READ_ONLY = { readOnly: true, idempotent: true, destructive: false };
const trapdoor = createPermission({ name: 'stagecraft.trapdoor', attributes: { action: 'read' } });

function registerActions(registry, config) {
  const tell = (line) => appendFileSync(config.getString('stagecraft.log'), `${line}\n`);
  const nothing = (z) => z.object({});
  const register = (name, description, attributes, schema, action, more = {}) =>
    registry.register({ name, title: name, description, attributes, schema, action, ...more });

  const slow = (z) => z.object({ what: z.string(), ms: z.number().int().optional() });
  const done = (z) => z.object({ done: z.string() });
  for (const [name, attributes] of [
    ['look', { readOnly: true }],
    ['light', { destructive: false, idempotent: true }],
    ['strike', {}],
  ]) {
    register(name, `Does something slowly: ${name}`, attributes, { input: slow, output: done }, async ({ input }) => {
      tell(`${name} ${input.what}`);
      await delay(input.ms ?? 0);
      return { output: { done: input.what } };
    });
  }

  const mishap = (z) => z.object({ error: z.string(), message: z.string() });
  for (const [name, attributes] of [
    ['fail', {}],
    ['fail-reading', { readOnly: true }],
  ]) {
    register(name, 'Fails as it is told', attributes, { input: mishap, output: nothing }, ({ input }) => {
      tell(`${name} ${input.error}`);
      throw new (backstageErrors[input.error] ?? Error)(input.message);
    });
  }

  const cue = (z) =>
    config.getOptionalNumber('stagecraft.edition') === 2
      ? z.object({ number: z.number(), side: z.enum(['left', 'right']) })
      : z.object({ number: z.number() });
  register('cue', 'Gives a cue', {}, { input: cue, output: nothing }, async () => ({ output: {} }));
  register(
    'who-am-i',
    'Tells who calls',
    READ_ONLY,
    { input: nothing, output: (z) => z.object({}).passthrough() },
    async ({ credentials }) => {
      const { type, subject, userEntityRef } = credentials.principal;
      return { output: { type, name: subject ?? userEntityRef } };
    },
  );
  register(
    'curtain',
    'Says something that looks like a result of MCP',
    READ_ONLY,
    { input: nothing, output: (z) => z.object({ content: z.string() }) },
    async () => ({ output: { content: 'velvet' } }),
  );
  register(
    'miscount',
    'Breaks its own promise',
    {},
    { input: nothing, output: (z) => z.object({ count: z.number() }) },
    async () => ({ output: { count: 'many' } }),
  );
  register('bow', 'Says nothing', {}, { input: nothing, output: (z) => z.void() }, async () => undefined);
  register(
    'safe',
    'Opens the safe',
    READ_ONLY,
    {
      input: nothing,
      output: (z) => z.object({ opened: z.string() }),
      secrets: (z) => z.object({ combination: z.string() }),
    },
    async ({ secrets }) => ({ output: { opened: createHash('sha256').update(secrets.combination).digest('hex') } }),
  );
  register(
    'trapdoor',
    'Not for everybody',
    READ_ONLY,
    { input: nothing, output: nothing },
    async () => ({ output: {} }),
    {
      visibilityPermission: trapdoor,
    },
  );
  // No name for a tool; and a pattern that only a careless regular expression engine takes.
  register('fly loft!', 'Has a name that MCP does not allow', {}, { input: nothing, output: nothing }, async () => ({
    output: {},
  }));
  const careless = (z) => z.object({ rope: z.string().regex(new RegExp('\\_')) });
  register('rope', 'Has a schema that cannot be used', {}, { input: careless, output: nothing }, async () => ({
    output: {},
  }));
}

const plugin = createBackendPlugin({
  pluginId: 'stagecraft',
  register(env) {
    env.registerInit({
      deps: { registry: actionsRegistryServiceRef, config: coreServices.rootConfig },
      init: async ({ registry, config }) => registerActions(registry, config),
    });
  },
});

/** `GET /api/auth/stagedoor/refresh` with the header `X-Stagedoor: NAME` signs user NAME in. */
const signIn = createBackendModule({
  pluginId: 'auth',
  moduleId: 'stagedoor',
  register(env) {
    env.registerInit({
      deps: { providers: authProvidersExtensionPoint },
      init: async ({ providers }) => {
        const authenticator = createProxyAuthenticator({
          defaultProfileTransform: async () => ({ profile: {} }),
          initialize: () => undefined,
          authenticate: async ({ req }) => ({ result: { name: req.headers['x-stagedoor'] } }),
        });
        const signInResolver = ({ result }, context) => {
          const ref = `user:default/${result.name}`;
          return context.issueToken({ claims: { sub: ref, ent: [ref] } });
        };
        providers.registerProvider({
          providerId: 'stagedoor',
          factory: createProxyAuthProviderFactory({ authenticator, signInResolver }),
        });
      },
    });
  },
});

/** Everything is allowed, but no user may see the trapdoor. */
const permissions = createServiceFactory({
  service: coreServices.permissions,
  deps: {},
  factory: () => {
    const decide = async (requests, { credentials }) =>
      requests.map(({ permission }) => ({
        result:
          permission.name === trapdoor.name && credentials.principal.type === 'user'
            ? AuthorizeResult.DENY
            : AuthorizeResult.ALLOW,
      }));
    return { authorize: decide, authorizeConditional: decide };
  },
});

module.exports = createBackendFeatureLoader({
  *loader() {
    yield plugin;
    yield signIn;
    yield permissions;
  },
});
