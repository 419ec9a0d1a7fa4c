/* eslint-disable @typescript-eslint/no-require-imports -- CommonJS: see below */
/**
 * A Backstage backend as anybody's is, from Backstage's own packages and unmodified. What a site adds to its backend, it adds here with
 * BACKSTAGE_FEATURES: modules by path, separated by commas.
 *
 * CommonJS, so that NODE_PATH says where the packages are installed, which need not be beside this file.
 */
const { createBackend } = require('@backstage/backend-defaults');

const PLUGINS = ['auth', 'catalog', 'events', 'mcp-actions', 'notifications', 'signals'];

const backend = createBackend();
for (const plugin of PLUGINS) backend.add(require(`@backstage/plugin-${plugin}-backend`));
for (const path of (process.env.BACKSTAGE_FEATURES ?? '').split(',').filter(Boolean)) backend.add(require(path));
void backend.start();
